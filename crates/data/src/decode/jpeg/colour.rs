//! Which colours the components of a picture are: nothing in a frame says so.

use super::frame::Frame;

/// What applications have noted before the first scan.
#[derive(Default)]
pub(super) struct Marks {
    jfif: bool,
    /// The number by which Adobe's programs name the transform.
    adobe: Option<u8>,
}

impl Marks {
    /// Looks at a segment that some application has added.
    pub(super) fn read(&mut self, marker: u8, content: &[u8]) {
        match (marker, content) {
            (0xe0, content) if content.starts_with(b"JFIF\0") && content.len() >= 14 => self.jfif = true,
            (0xee, &[b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                self.adobe = Some(transform);
            }
            _ => {}
        }
    }

    /// Whether the first three components of a `frame` are luma and what blue and red differ from it by. Where marks and
    /// names contradict each other, the Independent JPEG Group's decoder is followed, and so all that other programs
    /// show.
    pub(super) fn say_differences(&self, frame: &Frame) -> bool {
        match (frame.components.len(), self.adobe) {
            (4, transform) => transform.is_some_and(|transform| transform != 0),
            _ if self.jfif => true,
            (_, Some(transform)) => transform != 0,
            (_, None) => !frame.components.iter().map(|component| component.id).eq(*b"RGB"),
        }
    }
}
