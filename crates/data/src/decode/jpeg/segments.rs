//! The parts of a file. Each begins with a marker, and nearly all say how long they are.

use memchr::memchr_iter;

/// The marker with which a file begins.
pub(super) const START_OF_IMAGE: u8 = 0xd8;
/// The marker with which a picture ends.
pub(super) const END_OF_IMAGE: u8 = 0xd9;

/// A marker, less its first byte of 0xff, and what belongs to it.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) content: &'a [u8],
}

/// The segments from some place on, as far as they are whole.
///
/// Bytes between segments are skipped: some programs fill up with zeros, and no pixel is in them.
pub(super) struct Segments<'a> {
    /// What comes next: a segment, or the codes of a scan whose header was the last.
    pub(super) rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// All of `jpeg` but its first marker.
    pub(super) fn of(jpeg: &'a [u8]) -> Self {
        Self { rest: jpeg.get(2..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let (marker, rest) = next_marker(self.rest)?;
        let length = match marker {
            START_OF_IMAGE | END_OF_IMAGE => 0,
            // A length counts its own two bytes.
            _ => usize::from(u16::from_be_bytes(*rest.first_chunk()?)).max(2),
        };
        let (segment, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Segment { marker, content: segment.get(2..).unwrap_or_default() })
    }
}

/// The next marker that begins a segment or ends the picture, and what follows it. Skipped are a scan's codes with
/// their stuffed zeros and restarts, fill bytes, and the one other marker without a segment.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    memchr_iter(0xff, bytes).find_map(|place| {
        let (&marker, rest) = bytes[place + 1..].split_first()?;
        (!matches!(marker, 0x00 | 0x01 | 0xd0..=0xd7 | 0xff)).then_some((marker, rest))
    })
}

/// Whether the picture's own end of image is there. An embedded thumbnail has an end of its own, within a segment, and
/// what follows the end does not count: phones append films and depth maps.
pub(super) fn ends_with_its_picture(jpeg: &[u8]) -> bool {
    // Where another picture begins, this one has not ended.
    let mut ends = Segments::of(jpeg).map(|segment| segment.marker);
    ends.find(|&marker| matches!(marker, START_OF_IMAGE | END_OF_IMAGE)) == Some(END_OF_IMAGE)
}

/// What keeps a picture with such a `marker` from being decoded here.
pub(super) fn unsupported_coding(marker: u8) -> Option<&'static str> {
    Some(match marker {
        0xc3 => "lossless coding",
        0xc5 | 0xc6 | 0xde | 0xdf => "hierarchical coding",
        0xc7 => "hierarchical lossless coding",
        0xc8 => "a coding reserved for extensions",
        0xc9 | 0xca | 0xcc => "arithmetic coding",
        0xcb => "lossless arithmetic coding",
        0xcd..=0xcf => "hierarchical arithmetic coding",
        0xf7 => "JPEG-LS, another lossless coding",
        _ => return None,
    })
}
