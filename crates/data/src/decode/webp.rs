//! What of a WebP is looked at here, because its decoder takes memory by what the file says and not by what it holds.

/// Width and height of every lossy frame by its own header, those of an animation included. The file's header may say
/// otherwise, which the decoder notices once it has decoded the frame.
pub(super) fn lossy_frames(webp: &[u8]) -> Vec<(u64, u64)> {
    let file = chunks(after(webp, 12));
    // Before a frame of an animation stands where and how long it is shown.
    let of_animation = file.clone().filter(|(name, _)| *name == b"ANMF");
    let of_animation = of_animation.flat_map(|(_, data)| chunks(after(data, 16)));
    let lossy = file.chain(of_animation).filter(|(name, _)| *name == b"VP8 ");
    lossy.filter_map(|(_, frame)| size(frame)).collect()
}

/// What the camera has noted.
pub(super) fn exif(webp: &[u8]) -> Option<&[u8]> {
    chunks(after(webp, 12)).find(|(name, _)| *name == b"EXIF").map(|(_, exif)| exif)
}

fn size(frame: &[u8]) -> Option<(u64, u64)> {
    let (width, rest) = frame.get(6..)?.split_first_chunk()?;
    let side = |bytes: &[u8; 2]| u64::from(u16::from_le_bytes(*bytes) & 0x3fff);
    Some((side(width), side(rest.first_chunk()?)))
}

/// Names and contents, the last one perhaps cut; each is filled up to an even length.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> + Clone {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        bytes = after(rest, length.saturating_add(length % 2));
        Some((name, &rest[..length.min(rest.len())]))
    })
}

fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length..).unwrap_or_default()
}
