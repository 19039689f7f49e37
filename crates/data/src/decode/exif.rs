//! How the camera was held: the one field of EXIF that says something about pixels.

use image::ImageFormat;
use image::metadata::Orientation;

use super::webp;

/// The number of the field.
const ORIENTATION: u64 = 0x112;

/// The EXIF data of a file that is no JPEG. A TIFF has the same fields itself.
pub(super) fn within(bytes: &[u8], format: ImageFormat) -> Option<&[u8]> {
    match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp::exif(bytes),
        ImageFormat::Tiff => Some(bytes),
        _ => None,
    }
}

/// The EXIF chunk of a PNG, which may stand before its pixels or after.
fn png(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (length, chunk) = rest.split_first_chunk()?;
        let (name, data) = chunk.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        if name == b"eXIf" {
            return data.get(..length);
        }
        // Four bytes of checksum.
        rest = data.get(length.checked_add(4)?..)?;
    }
}

/// How a picture with this EXIF data is to be turned: by whole numbers of any type, in either order of bytes, for
/// cameras differ in them.
pub(super) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let numbers = Numbers { tiff, big_endian: tiff.starts_with(b"MM") };
    if !numbers.big_endian && !tiff.starts_with(b"II") {
        return None;
    }
    match numbers.read(2, 2)? {
        42 => orientation_in(&numbers, numbers.read(4, 4)?, 4),
        // BigTIFF: the same with numbers of 8 bytes.
        43 => orientation_in(&numbers, numbers.read(8, 8)?, 8),
        _ => None,
    }
}

/// Looks for the field in the directory at a place, where counts and offsets have so many bytes.
fn orientation_in(numbers: &Numbers, directory: u64, size: u64) -> Option<Orientation> {
    let count_size = if size == 4 { 2 } else { 8 };
    let fields = numbers.read(directory, count_size)?;
    let places = (0..fields).map(|field| directory + count_size + field * (4 + 2 * size));
    // Where there is nothing any more, there are no further fields, however many are announced.
    let mut tags = places.map_while(|place| Some((place, numbers.read(place, 2)?)));
    let (field, _) = tags.find(|&(_, tag)| tag == ORIENTATION)?;
    let value_size = size_of_whole_number(numbers.read(field + 2, 2)?)?;
    if numbers.read(field + 4, size)? != 1 || value_size > size {
        return None;
    }
    let value = numbers.read(field + 4 + size, value_size)?;
    Orientation::from_exif(value.try_into().ok()?)
}

/// Bytes of a value by the number of its type; `None` for texts, fractions and whatever is no whole number.
fn size_of_whole_number(kind: u64) -> Option<u64> {
    match kind {
        1 | 6 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 13 => Some(4),
        16..=18 => Some(8),
        _ => None,
    }
}

/// Numbers by their place in a file, in its own order of bytes; nothing where it has ended.
struct Numbers<'a> {
    tiff: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    fn read(&self, place: u64, size: u64) -> Option<u64> {
        let (start, end) = (usize::try_from(place).ok()?, usize::try_from(place.checked_add(size)?).ok()?);
        let bytes = self.tiff.get(start..end)?;
        let append = |number, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) })
    }
}
