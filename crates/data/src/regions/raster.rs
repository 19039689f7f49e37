//! One number for each pixel of a picture, and how that is stored: as a grey PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Transformations};

/// Why bytes are not what was expected of a picture's regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They are of a picture of another width and height.
    OtherSize([u32; 2]),
    /// They cannot be read, for this reason.
    Damaged(String),
}

/// A number for each pixel: segments, saliency, parts of them seen in a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raster<T> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width` numbers, row by row.
    pub values: Vec<T>,
}

impl<T: Copy> Raster<T> {
    /// The values of these rows and columns: `rows.len() * columns.len()` pixels.
    pub(super) fn picked(&self, columns: &[usize], rows: &[usize]) -> Self {
        let row_of = |row: usize| &self.values[row * self.width as usize..][..self.width as usize];
        let values = rows.iter().flat_map(|&row| columns.iter().map(move |&column| row_of(row)[column]));
        Self { width: columns.len() as u32, height: rows.len() as u32, values: values.collect() }
    }
}

impl Raster<u16> {
    /// A grey PNG: of 8 bits if no value is above 255, else of 16.
    pub(super) fn to_png(&self) -> Result<Vec<u8>, String> {
        if self.values.iter().all(|&value| value <= u8::MAX.into()) {
            let values: Vec<u8> = self.values.iter().map(|&value| value as u8).collect();
            return to_png(self.width, self.height, BitDepth::Eight, &values);
        }
        let values: Vec<u8> = self.values.iter().flat_map(|value| value.to_be_bytes()).collect();
        to_png(self.width, self.height, BitDepth::Sixteen, &values)
    }

    /// A grey PNG of 8 or 16 bits and this width and height. Nothing of another size is unpacked.
    pub(super) fn from_png(bytes: &[u8], size: [u32; 2]) -> Result<Self, Fault> {
        let (depth, bytes) = from_png(bytes, size)?;
        let values = match depth {
            BitDepth::Sixteen => {
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
            }
            _ => bytes.into_iter().map(u16::from).collect(),
        };
        Ok(Self { width: size[0], height: size[1], values })
    }
}

impl Raster<u8> {
    /// A grey PNG of 8 bits.
    pub(super) fn to_png(&self) -> Result<Vec<u8>, String> {
        to_png(self.width, self.height, BitDepth::Eight, &self.values)
    }

    /// A grey PNG of 8 bits and this width and height. Nothing of another size is unpacked.
    pub(super) fn from_png(bytes: &[u8], size: [u32; 2]) -> Result<Self, Fault> {
        match from_png(bytes, size)? {
            (BitDepth::Eight, values) => Ok(Self { width: size[0], height: size[1], values }),
            _ => Err(Fault::Damaged("a PNG of 16 bits in place of 8".into())),
        }
    }
}

fn to_png(width: u32, height: u32, depth: BitDepth, values: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(depth);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(values)?;
        writer.finish()
    });
    written.map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn from_png(bytes: &[u8], [width, height]: [u32; 2]) -> Result<(BitDepth, Vec<u8>), Fault> {
    let explain = |error: png::DecodingError| Fault::Damaged(format!("no readable PNG: {error}"));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    // Neither is needed, and a few kilobytes of them can unpack to many megabytes.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(explain)?;
    let (depth, colour) = (header.bit_depth, header.color_type);
    if (header.width, header.height) != (width, height) {
        return Err(Fault::OtherSize([header.width, header.height]));
    }
    if colour != ColorType::Grayscale || !matches!(depth, BitDepth::Eight | BitDepth::Sixteen) {
        let kind = format!("a PNG of {}-bit {colour:?} in place of 8 or 16 bits of grey", depth as u8);
        return Err(Fault::Damaged(kind));
    }
    let mut reader = decoder.read_info().map_err(explain)?;
    let mut values = vec![0; reader.output_buffer_size().unwrap_or_default()];
    reader.next_frame(&mut values).map_err(explain)?;
    Ok((depth, values))
}
