//! TIFF: of either format, in strips or tiles, samples side by side or in planes, and of every kind of colours that is
//! common. The `tiff` crate unpacks the samples of grey pictures; what a file has otherwise is shown to it as such
//! pictures, by a directory of our own over the file's bytes. JPEGs within a TIFF are decoded as JPEGs are.

mod colours;
mod directory;
mod layout;

use std::io;

use image::metadata::Orientation;
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::{DecodeError, DecodeLimits, allocation_limit, check_size, decode_jpeg, exif, turn};
use crate::image::RgbImage;
use directory::Directory;
use layout::{Chunk, Colours, Layout};

pub(super) use directory::is_tiff;

/// The numbers of the fields that are looked at.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const COLOURS: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const STRIP_HEIGHT: u16 = 278;
    pub(super) const STRIP_LENGTHS: u16 = 279;
    pub(super) const PLANES: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const PALETTE: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_LENGTHS: u16 = 325;
    pub(super) const FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const LUMA: u16 = 529;
    pub(super) const SUBSAMPLING: u16 = 530;
    pub(super) const RANGE: u16 = 532;
}

/// Width and height of the first picture of a file before it is turned, from its header.
pub(super) fn header_size(bytes: &[u8]) -> Result<[u32; 2], DecodeError> {
    let directory = Directory::first(bytes).ok_or_else(truncated)?;
    let side = |tag| directory.number(tag).and_then(|side| u32::try_from(side).ok());
    match (side(tag::WIDTH), side(tag::HEIGHT)) {
        (Some(width), Some(height)) => Ok([width, height]),
        _ => Err(damaged("a header without width and height")),
    }
}

/// Decodes the first picture of a file to 8-bit RGB, upright.
///
/// # Errors
/// A [`DecodeError`] that says what is wrong with the bytes.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage) -> Result<(), DecodeError> {
    let directory = Directory::first(bytes).ok_or_else(truncated)?;
    let layout = Layout::of(&directory)?;
    check_size("TIFF", layout.width as u64, layout.height as u64, limits)?;
    let (width, height) = (u32::try_from(layout.width), u32::try_from(layout.height));
    let too_long = |_| damaged("a side that is too long");
    (image.width, image.height) = (width.map_err(too_long)?, height.map_err(too_long)?);
    image.pixels = if layout.is_jpeg() {
        of_jpegs(&directory, &layout, limits)?
    } else {
        colours::to_rgb(samples(&directory, &layout, limits)?, &layout, &directory)?
    };
    // A TIFF begins as EXIF data does.
    turn(image, exif::orientation(bytes).unwrap_or(Orientation::NoTransforms));
    Ok(())
}

/// [`Layout::kept`] samples of every pixel, in 8 bits.
fn samples(
    directory: &Directory<'_>,
    layout: &Layout,
    limits: &DecodeLimits,
) -> Result<Vec<u8>, DecodeError> {
    let read = |number| unpack(directory, layout, number, limits);
    let (each, kept) = (layout.samples_each(), layout.kept());
    if layout.is_subsampled() {
        let [x, y] = layout.subsampling;
        let ([across, _], size) = (layout.units(), x * y + 2);
        let units = colours::eight_bits(&read(0)?, layout, across, (size, size))?;
        return Ok(colours::from_units(&units, layout, across));
    }
    if layout.pictures() == 1 {
        return colours::eight_bits(&read(0)?, layout, layout.width, (each, kept));
    }
    let mut samples = vec![0; layout.width * layout.height * kept];
    for number in 0..kept {
        let plane = colours::eight_bits(&read(number)?, layout, layout.width, (1, 1))?;
        samples.chunks_exact_mut(kept).zip(plane).for_each(|(pixel, sample)| pixel[number] = sample);
    }
    Ok(samples)
}

/// The samples of picture `number` as they are stored.
fn unpack(
    directory: &Directory<'_>,
    layout: &Layout,
    number: usize,
    limits: &DecodeLimits,
) -> Result<DecodingResult, DecodeError> {
    let most = allocation_limit(limits).max_alloc.unwrap_or(u64::MAX);
    if layout.row_bytes().is_none_or(|bytes| bytes > most) {
        return Err(unsupported("rows that take more memory than a picture may"));
    }
    let mut room = Limits::unlimited();
    room.decoding_buffer_size = usize::try_from(most).unwrap_or(usize::MAX);
    let decoder = Decoder::new(directory.under(&layout.fields(number)?)).map_err(explain)?;
    decoder.with_limits(room).read_image().map_err(explain)
}

/// A picture that is made of JPEGs.
fn of_jpegs(
    directory: &Directory<'_>,
    layout: &Layout,
    limits: &DecodeLimits,
) -> Result<Vec<u8>, DecodeError> {
    let colours_known = matches!(layout.colours, Colours::BlackIsZero | Colours::Rgb | Colours::YCbCr);
    if !colours_known || layout.pictures() > 1 || layout.samples != layout.kept() {
        return Err(unsupported("JPEG-compressed, of colours that are not grey, RGB or YCbCr side by side"));
    }
    let tables = directory.bytes(tag::JPEG_TABLES).unwrap_or_default();
    let mut pixels = vec![0; layout.width * layout.height * 3];
    let mut part = RgbImage::default();
    for chunk in layout.chunks(0)? {
        let bytes = directory.span(chunk.offset, chunk.length);
        decode_jpeg(&jpeg(tables, bytes, layout.colours), limits, &mut part)?;
        place(&part, &chunk, layout, &mut pixels)?;
    }
    Ok(pixels)
}

/// A JPEG of a chunk, with the tables that all chunks share, which end in an end of image, and with a marker that says
/// whether its colours are RGB: in a TIFF the directory does.
fn jpeg(tables: &[u8], chunk: &[u8], colours: Colours) -> Vec<u8> {
    const START: [u8; 2] = [0xff, 0xd8];
    const END: [u8; 2] = [0xff, 0xd9];
    let adobe = |transform| [&b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"[..], &[transform]].concat();
    let colours = match colours {
        Colours::Rgb => adobe(0),
        Colours::YCbCr => adobe(1),
        _ => Vec::new(),
    };
    let tables = tables.strip_prefix(&START).unwrap_or(tables);
    let tables = tables.strip_suffix(&END).unwrap_or(tables);
    [&START[..], &colours, tables, chunk.strip_prefix(&START).unwrap_or(chunk)].concat()
}

/// Copies a part into its place in the picture; what it is filled up with lies beyond.
fn place(part: &RgbImage, chunk: &Chunk, layout: &Layout, pixels: &mut [u8]) -> Result<(), DecodeError> {
    let width = chunk.width.min(layout.width - chunk.x);
    let height = chunk.height.min(layout.height - chunk.y);
    if (part.width as usize) < width || (part.height as usize) < height {
        return Err(damaged("a JPEG that is smaller than its part of the picture"));
    }
    let into = pixels.chunks_exact_mut(3 * layout.width).skip(chunk.y).take(height);
    for (row, from) in into.zip(part.pixels.chunks_exact(3 * part.width as usize)) {
        row[3 * chunk.x..][..3 * width].copy_from_slice(&from[..3 * width]);
    }
    Ok(())
}

fn truncated() -> DecodeError {
    DecodeError::Truncated { format: "TIFF".into() }
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged { format: "TIFF".into(), reason: reason.into() }
}

fn unsupported(reason: &str) -> DecodeError {
    DecodeError::Unsupported { format: "TIFF".into(), reason: reason.into() }
}

fn explain(error: TiffError) -> DecodeError {
    match error {
        TiffError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => truncated(),
        TiffError::UnsupportedError(reason) => unsupported(&reason.to_string()),
        TiffError::LimitsExceeded => unsupported("samples that take more memory than a picture may"),
        other => damaged(&other.to_string()),
    }
}
