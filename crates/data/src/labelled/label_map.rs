//! Label maps: PNG files whose pixel values are label values, read by index and mapped to classes.
//!
//! Palette PNGs (VOC, COCO-Stuff tools) carry the label as the palette *index*; the colours are only for viewing. The
//! general picture decoder would return the colours, so label maps have a separate decoder.

use std::array;
use std::io::{self, Cursor};

use png::{BitDepth, ColorType, Transformations};

use super::{Meaning, Taxonomy, VOID};
use crate::decode::DecodeLimits;
use crate::index::Place;

/// The class of each pixel of a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width` class numbers, row by row; 255 ([`VOID`]) is void.
    pub classes: Vec<u8>,
}

/// Why a file is not a label map of its data set.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file cannot be read.
    #[error("cannot read the label map {place}: {source}")]
    Read {
        /// The label map.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not a complete PNG.
    #[error(
        "{place} is not a readable PNG ({reason}); label maps are 8-bit grey or palette PNGs, copy the file again"
    )]
    NotPng {
        /// The label map.
        place: String,
        /// What the decoder said.
        reason: String,
    },
    /// The pixels are colours, or wider than 8 bits.
    #[error(
        "{place} holds {kind} pixels; a label map is a grey or palette PNG of at most 8 bits whose pixel values (palette \
         indices) are the label values: use the data set's index maps, not its coloured pictures"
    )]
    NotIndexed {
        /// The label map.
        place: String,
        /// What the pixels are, for example `8-bit RGB`.
        kind: String,
    },
    /// The header announces more pixels than the limit.
    #[error("{place}: {width} x {height} pixels exceed the limit of {max_pixels}")]
    TooLarge {
        /// The label map.
        place: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit that it exceeds.
        max_pixels: u64,
    },
    /// A pixel has a value that the taxonomy does not know.
    #[error(
        "{place}: label value {value} in column {x}, row {y} is outside the taxonomy {taxonomy} of {classes} classes; \
         choose the taxonomy that these labels were made for"
    )]
    Outside {
        /// The label map.
        place: String,
        /// The value found.
        value: u8,
        /// Column of the first such pixel, from 0.
        x: u32,
        /// Row of the first such pixel, from 0.
        y: u32,
        /// Name of the taxonomy.
        taxonomy: String,
        /// Its number of classes.
        classes: usize,
    },
    /// Picture and label map do not fit each other.
    #[error(
        "the picture {picture} has {} x {} pixels, its label map {label} has {} x {}; both must have one size \
         (a picture that its EXIF data turn is turned before this is checked)",
        picture_size[0], picture_size[1], label_size[0], label_size[1]
    )]
    Sizes {
        /// The picture.
        picture: String,
        /// Its width and height in pixels.
        picture_size: [u32; 2],
        /// The label map.
        label: String,
        /// Its width and height in pixels.
        label_size: [u32; 2],
    },
}

impl LabelMap {
    /// Reads a label map and maps its values to classes, void to 255.
    ///
    /// # Errors
    /// A [`LabelError`] that names the file, and for a value outside the taxonomy the value and its pixel.
    pub fn read(place: &Place<'_>, taxonomy: &Taxonomy, limits: &DecodeLimits) -> Result<Self, LabelError> {
        let mut map = read_values(place, limits)?;
        map.map(taxonomy, place)?;
        Ok(map)
    }

    /// As [`LabelMap::read`], from the bytes at `place`; `place` is for error messages.
    ///
    /// # Errors
    /// A [`LabelError`] that names the file, and for a value outside the taxonomy the value and its pixel.
    pub fn decode(
        bytes: &[u8],
        place: &Place<'_>,
        taxonomy: &Taxonomy,
        limits: &DecodeLimits,
    ) -> Result<Self, LabelError> {
        let mut map = decode_indices(bytes, place, limits)?;
        map.map(taxonomy, place)?;
        Ok(map)
    }

    /// Replaces label values by class numbers.
    fn map(&mut self, taxonomy: &Taxonomy, place: &Place<'_>) -> Result<(), LabelError> {
        let outside = |&value: &u8| taxonomy.meaning(value) == Meaning::Outside;
        if let Some(pixel) = self.classes.iter().position(outside) {
            let (x, y) = (pixel as u32 % self.width, pixel as u32 / self.width);
            let (value, place) = (self.classes[pixel], place.to_string());
            let (taxonomy, classes) = (taxonomy.name.clone(), taxonomy.classes.len());
            return Err(LabelError::Outside { place, value, x, y, taxonomy, classes });
        }
        let classes: [u8; 256] = array::from_fn(|value| taxonomy.class_of(value as u8).unwrap_or(VOID));
        self.classes.iter_mut().for_each(|value| *value = classes[usize::from(*value)]);
        Ok(())
    }
}

/// A label map that holds its label values instead of classes.
pub(super) fn read_values(place: &Place<'_>, limits: &DecodeLimits) -> Result<LabelMap, LabelError> {
    let mut bytes = Vec::new();
    place.read_into(&mut bytes).map_err(|source| LabelError::Read { place: place.to_string(), source })?;
    decode_indices(&bytes, place, limits)
}

/// The pixel values of a PNG as stored: grey levels unscaled, palette indices unexpanded.
fn decode_indices(bytes: &[u8], place: &Place<'_>, limits: &DecodeLimits) -> Result<LabelMap, LabelError> {
    let explain = |error: png::DecodingError| LabelError::NotPng {
        place: place.to_string(),
        reason: error.to_string(),
    };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    // A colour profile is not needed for labels, and a few kilobytes of it can unpack to many megabytes.
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(explain)?;
    let (width, height) = (header.width, header.height);
    let bits = bits_of_an_index(header.color_type, header.bit_depth)
        .map_err(|kind| LabelError::NotIndexed { place: place.to_string(), kind })?;
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        let max_pixels = limits.max_pixels;
        return Err(LabelError::TooLarge { place: place.to_string(), width, height, max_pixels });
    }
    let mut reader = decoder.read_info().map_err(explain)?;
    let mut packed = vec![0; reader.output_buffer_size().unwrap_or_default()];
    let frame = reader.next_frame(&mut packed).map_err(explain)?;
    if bits == 8 {
        // A pixel is a byte, and no row is padded.
        packed.truncate(frame.buffer_size());
        return Ok(LabelMap { width, height, classes: packed });
    }
    let rows = packed.chunks(frame.line_size.max(1));
    let classes = rows.flat_map(|row| unpacked(row, bits).take(width as usize)).collect();
    Ok(LabelMap { width, height, classes })
}

/// The bits of one pixel or, if the pixels are not indices, what they are, in words.
fn bits_of_an_index(colour: ColorType, depth: BitDepth) -> Result<u8, String> {
    match (colour, depth) {
        (ColorType::Grayscale | ColorType::Indexed, depth) if depth != BitDepth::Sixteen => Ok(depth as u8),
        (colour, depth) => Err(format!("{}-bit {colour:?}", depth as u8)),
    }
}

/// The values of a row. If `bits` (1, 2, 4 or 8) is below 8, a byte holds several values, with the leftmost in the
/// highest bits.
fn unpacked(row: &[u8], bits: u8) -> impl Iterator<Item = u8> + '_ {
    let mask = u8::MAX >> (8 - bits);
    row.iter().flat_map(move |&byte| (0..8 / bits).rev().map(move |place| (byte >> (place * bits)) & mask))
}
