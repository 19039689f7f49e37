//! From the bytes of a file to pixels, with a stated outcome for every kind of file that a folder may hold.
//!
//! The format is read from the content, never from the name. JPEG is decoded here: other decoders paint what is missing
//! of a picture grey, and a training run would learn from the grey. TIFF has a part of its own; every other format goes to
//! the `image` crate. Size limits are checked on the header, before pixels are allocated.

mod exif;
mod jpeg;
mod tiff;
mod webp;

use std::io::{self, Cursor};

use densesiam_text::{Kind, Sort};
use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::image::RgbImage;
use crate::panics::caught_silently;

/// What a picture may cost before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest accepted `width * height`, in pixels. Beside its result a JPEG takes 1 byte for each sample while it is
    /// decoded, a progressive one 3 at most: of 3 samples a pixel, or 4 with black.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 100 million pixels: 300 MB decoded, beyond any camera and short of a decompression bomb.
    fn default() -> Self {
        Self { max_pixels: 100_000_000 }
    }
}

/// Why bytes did not become a picture. Every variant is about this one file, whose path is said by the caller.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The file has no bytes.
    #[error("the file is empty; copy or download it again")]
    Empty,
    /// No known picture format begins like this.
    #[error("not a picture: it begins with {start:?}, which no JPEG, PNG, BMP, GIF, WebP or TIFF file does")]
    NotAPicture {
        /// The first bytes, made readable.
        start: String,
    },
    /// The picture is in a format that is not read, whatever its name says.
    #[error("it is {kind}, and that format is not read; convert it to JPEG or PNG")]
    OtherFormat {
        /// The format.
        kind: Kind,
    },
    /// A picture format, or a flavour of one, that is not decoded here.
    #[error("{format} of a kind that is not supported ({reason}); convert it to an ordinary JPEG or PNG")]
    Unsupported {
        /// The format that the content showed.
        format: String,
        /// The decoder's own words.
        reason: String,
    },
    /// The header announces more pixels than the limit.
    #[error(
        "{width} x {height} pixels exceed the limit of {max_pixels}; shrink the picture or raise the limit"
    )]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The limit it broke.
        max_pixels: u64,
    },
    /// The data ends before the picture does.
    #[error(
        "the {format} data ends before the picture does; the file was cut short, copy or download it again"
    )]
    Truncated {
        /// The format that the content showed.
        format: String,
    },
    /// The data contradicts its format.
    #[error("damaged {format} data ({reason}); copy or download the file again")]
    Damaged {
        /// The format that the content showed.
        format: String,
        /// The decoder's own words.
        reason: String,
    },
    /// The decoder panicked: its bug, but one that only this file brings out.
    #[error("the decoder failed on this file ({message}); save the picture anew, or remove it")]
    DecoderPanicked {
        /// What the panic said.
        message: String,
    },
}

impl DecodeError {
    /// The kind of fault in a few words that are the same for all files of that kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAPicture { .. } => "not a picture",
            Self::OtherFormat { .. } | Self::Unsupported { .. } => "not supported",
            Self::TooLarge { .. } => "too large",
            Self::Truncated { .. } => "truncated",
            Self::Damaged { .. } => "damaged",
            Self::DecoderPanicked { .. } => "decoder failed",
        }
    }
}

/// Decodes a picture of any supported format to 8-bit RGB, upright (EXIF orientation applied, transparency dropped,
/// 16-bit samples scaled down, the first frame of an animation, CMYK as Adobe stores it).
///
/// # Errors
/// A [`DecodeError`] that says what is wrong with the bytes.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, DecodeError> {
    let mut image = RgbImage::default();
    decode_into(bytes, limits, &mut image)?;
    Ok(image)
}

/// As [`decode`], into an image whose memory is used again. After an error its content is unspecified.
///
/// # Errors
/// A [`DecodeError`] that says what is wrong with the bytes.
pub fn decode_into(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage) -> Result<(), DecodeError> {
    guarded(|| decode_any(bytes, limits, image))
}

/// Width and height of a picture in pixels, upright as [`decode`] makes it, from its header alone.
///
/// # Errors
/// A [`DecodeError`] if no picture begins there, or its header does not say its size.
pub fn upright_size(bytes: &[u8]) -> Result<[u32; 2], DecodeError> {
    let size = caught_silently(|| header_size(bytes));
    let (size, orientation) = size.unwrap_or_else(|message| Err(DecodeError::DecoderPanicked { message }))?;
    check_size("picture", size[0].into(), size[1].into(), &DecodeLimits { max_pixels: u64::MAX })?;
    Ok(if orientation.is_some_and(lies_on_its_side) { [size[1], size[0]] } else { size })
}

fn header_size(bytes: &[u8]) -> Result<([u32; 2], Option<Orientation>), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if jpeg::is_one(bytes) {
        return jpeg::header_size(bytes);
    }
    if tiff::is_tiff(bytes) {
        return Ok((tiff::header_size(bytes)?, exif::orientation(bytes)));
    }
    let format =
        image::guess_format(bytes).map_err(|_| DecodeError::NotAPicture { start: readable_start(bytes) })?;
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let (width, height) = reader.into_dimensions().map_err(|error| other_error(format, error))?;
    Ok(([width, height], exif::within(bytes, format).and_then(exif::orientation)))
}

fn lies_on_its_side(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// One file that a decoder trips over must not end a run of days.
fn guarded(decode: impl FnOnce() -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    caught_silently(decode).unwrap_or_else(|message| Err(DecodeError::DecoderPanicked { message }))
}

fn decode_any(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if jpeg::is_one(bytes) {
        return decode_jpeg(bytes, limits, image);
    }
    if let Some(format) = jpeg::namesake(bytes) {
        let reason = "another format than JPEG".to_owned();
        return Err(DecodeError::Unsupported { format: format.to_owned(), reason });
    }
    if tiff::is_tiff(bytes) {
        return tiff::decode(bytes, limits, image);
    }
    match image::guess_format(bytes) {
        Ok(format) => decode_other(bytes, format, limits, image),
        Err(_) => match Kind::of(bytes) {
            Some(kind) if kind.sort == Sort::Picture => Err(DecodeError::OtherFormat { kind }),
            _ => Err(DecodeError::NotAPicture { start: readable_start(bytes) }),
        },
    }
}

fn readable_start(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(12)];
    start
        .iter()
        .map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' })
        .collect()
}

fn decode_jpeg(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage) -> Result<(), DecodeError> {
    if let Some(orientation) = jpeg::decode(bytes, limits, image)? {
        turn(image, orientation);
    }
    Ok(())
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    limits: &DecodeLimits,
    image: &mut RgbImage,
) -> Result<(), DecodeError> {
    let explain = |error| other_error(format, error);
    let name = format!("{format:?}").to_uppercase();
    if format == ImageFormat::WebP {
        for (width, height) in webp::lossy_frames(bytes) {
            check_size(&name, width, height, limits)?;
        }
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(allocation_limit(limits));
    let decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    check_size(&name, width.into(), height.into(), limits)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(explain)?;
    let orientation = exif::within(bytes, format).and_then(exif::orientation);
    decoded.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    *image = from_dynamic(decoded);
    Ok(())
}

/// Room for 16-bit RGBA of the largest accepted picture: what the decoders may allocate beside it.
fn allocation_limit(limits: &DecodeLimits) -> Limits {
    let mut allocation = Limits::no_limits();
    allocation.max_alloc = Some(limits.max_pixels.saturating_mul(8).max(1 << 20));
    allocation
}

fn other_error(format: ImageFormat, error: ImageError) -> DecodeError {
    let name = format!("{format:?}").to_uppercase();
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: name }
        }
        ImageError::Unsupported(reason) => {
            DecodeError::Unsupported { format: name, reason: reason.to_string() }
        }
        other => DecodeError::Damaged { format: name, reason: other.to_string() },
    }
}

/// A GIF may have sides of 0, by which what comes later would divide.
fn check_size(format: &str, width: u64, height: u64, limits: &DecodeLimits) -> Result<(), DecodeError> {
    let max_pixels = limits.max_pixels;
    if width == 0 || height == 0 {
        let reason = format!("{width} x {height} pixels are no picture");
        return Err(DecodeError::Damaged { format: format.into(), reason });
    }
    if width * height > max_pixels {
        return Err(DecodeError::TooLarge { width, height, max_pixels });
    }
    Ok(())
}

fn turn(image: &mut RgbImage, orientation: Orientation) {
    if orientation == Orientation::NoTransforms {
        return;
    }
    let pixels = std::mem::take(&mut image.pixels);
    if let Some(buffer) = image::RgbImage::from_raw(image.width, image.height, pixels) {
        let mut turned = DynamicImage::ImageRgb8(buffer);
        turned.apply_orientation(orientation);
        *image = from_dynamic(turned);
    }
}

fn from_dynamic(decoded: DynamicImage) -> RgbImage {
    let buffer = decoded.into_rgb8();
    RgbImage { width: buffer.width(), height: buffer.height(), pixels: buffer.into_raw() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_is_an_error_of_its_file() {
        let error = guarded(|| panic!("index out of bounds")).unwrap_err();
        assert_eq!(error, DecodeError::DecoderPanicked { message: "index out of bounds".into() });
        assert_eq!(guarded(|| Err(DecodeError::Empty)), Err(DecodeError::Empty));
    }
}
