//! Small files of the kinds that data sets are made of.

use std::fs;
use std::path::Path;

use png::{BitDepth, ColorType};

/// Writes a PNG of the given kind; `pixels` as they are stored.
pub(crate) fn write_png(
    path: &Path,
    (width, height): (u32, u32),
    colour: ColorType,
    depth: BitDepth,
    pixels: &[u8],
) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == ColorType::Indexed {
        // Colours that are nothing like their indices.
        encoder.set_palette((0..=255u8).flat_map(|i| [255 - i, i.wrapping_mul(37), 128]).collect::<Vec<_>>());
    }
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

/// Writes an 8-bit label map.
pub(crate) fn write_label(path: &Path, size: (u32, u32), values: &[u8]) {
    write_png(path, size, ColorType::Grayscale, BitDepth::Eight, values);
}

/// Writes a grey picture; the format follows the name.
pub(crate) fn write_picture(path: &Path, (width, height): (u32, u32)) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150])).save(path).unwrap();
}
