//! Label maps keep their indices, and what is no label map of the data set is refused by name.

use std::path::{Path, PathBuf};

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::Place;
use densesiam_data::labelled::{LabelMap, Taxonomy};
use png::{BitDepth, ColorType};

use crate::files::write_png;

/// Writes one PNG and reads it as a label map of VOC.
fn read(size: (u32, u32), colour: ColorType, depth: BitDepth, pixels: &[u8]) -> Result<LabelMap, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("label.png");
    write_png(&path, size, colour, depth, pixels);
    read_file(&path)
}

fn read_file(path: &Path) -> Result<LabelMap, String> {
    let place = Place::File(path.into());
    LabelMap::read(&place, &Taxonomy::voc2012(), &DecodeLimits::default()).map_err(|error| error.to_string())
}

#[test]
fn palette_and_grey_maps_give_their_indices() {
    let values = [0, 1, 20, 255, 7, 15];
    for colour in [ColorType::Indexed, ColorType::Grayscale] {
        let map = read((3, 2), colour, BitDepth::Eight, &values).unwrap();
        assert_eq!(map, LabelMap { width: 3, height: 2, classes: values.into() }, "{colour:?}");
    }
}

#[test]
fn indices_of_fewer_bits_are_unpacked_and_not_scaled() {
    // Three pixels to a row, padded to whole bytes.
    for (depth, packed, values) in [
        (BitDepth::Four, &[0x1f, 0x30, 0x20, 0xe0][..], [1, 15, 3, 2, 0, 14]),
        (BitDepth::Two, &[0b01_11_10_00, 0b00_01_11_00][..], [1, 3, 2, 0, 1, 3]),
        (BitDepth::One, &[0b1010_0000, 0b0110_0000][..], [1, 0, 1, 0, 1, 1]),
    ] {
        for colour in [ColorType::Indexed, ColorType::Grayscale] {
            if colour == ColorType::Indexed && depth != BitDepth::Four {
                continue; // the palette of `write_png` is longer than these depths allow
            }
            let found = read((3, 2), colour, depth, packed);
            assert_eq!(found.unwrap().classes, values, "{colour:?} {depth:?}");
        }
    }
}

#[test]
fn colours_and_wide_pixels_are_refused_with_what_they_are() {
    for (colour, depth, bytes, said) in [
        (ColorType::Rgb, BitDepth::Eight, 12, "8-bit Rgb"),
        (ColorType::Rgba, BitDepth::Eight, 16, "8-bit Rgba"),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, 8, "8-bit GrayscaleAlpha"),
        (ColorType::Grayscale, BitDepth::Sixteen, 8, "16-bit Grayscale"),
    ] {
        let message = read((2, 2), colour, depth, &vec![0; bytes]).unwrap_err();
        assert!(message.contains("label.png") && message.contains(said), "{message}");
        assert!(message.contains("index maps"), "{message}");
    }
}

#[test]
fn a_value_outside_the_taxonomy_is_named_with_its_pixel() {
    let message = read((3, 2), ColorType::Grayscale, BitDepth::Eight, &[0, 1, 2, 3, 99, 98]).unwrap_err();
    assert!(message.contains("label.png: label value 99 in column 1, row 1"), "{message}");
    assert!(message.contains("voc2012 of 21 classes"), "{message}");
}

#[test]
fn missing_and_damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("label.png");
    assert!(read_file(&path).unwrap_err().contains("label.png"));
    std::fs::write(&path, b"no png").unwrap();
    assert!(read_file(&path).unwrap_err().contains("not a readable PNG"));
    write_png(&path, (40, 40), ColorType::Grayscale, BitDepth::Eight, &[3; 1600]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    assert!(read_file(&path).unwrap_err().contains("not a readable PNG"));
    write_png(&path, (40, 40), ColorType::Grayscale, BitDepth::Eight, &[3; 1600]);
    let limits = DecodeLimits { max_pixels: 1599 };
    let error = LabelMap::read(&Place::File(path), &Taxonomy::voc2012(), &limits).unwrap_err();
    assert!(error.to_string().contains("40 x 40 pixels exceed the limit of 1599"), "{error}");
}
