//! Pictures taken with a turned camera come out upright, whatever the format and the type of the field that says so.

use std::io::Cursor;

use densesiam_data::decode::upright_size;
use densesiam_data::image::RgbImage;
use image::{DynamicImage, ImageFormat, ImageReader};

use crate::decoding::{decode_default, encode, near, picture};

/// The number of the field.
const ORIENTATION: u16 = 0x112;

/// EXIF data with one field of one value, a whole number of some type: of a camera on its side, to be turned by 90
/// degrees to the right.
fn exif(big_endian: bool, kind: u16) -> Vec<u8> {
    let ordered = |number: &[u8]| match big_endian {
        true => number.iter().rev().copied().collect(),
        false => number.to_vec(),
    };
    let size = match kind {
        1 | 6 => 1,
        3 | 8 => 2,
        _ => 4,
    };
    let mut value = ordered(&6u32.to_le_bytes()[..size]);
    value.resize(4, 0);
    let start = if big_endian { b"MM" } else { b"II" };
    let fields = [ordered(&1u16.to_le_bytes()), field(ordered, ORIENTATION, kind, value)].concat();
    [&start[..], &ordered(&42u16.to_le_bytes()), &ordered(&8u32.to_le_bytes()), &fields, &[0; 4]].concat()
}

fn field(ordered: impl Fn(&[u8]) -> Vec<u8>, tag: u16, kind: u16, value: Vec<u8>) -> Vec<u8> {
    [ordered(&tag.to_le_bytes()), ordered(&kind.to_le_bytes()), ordered(&1u32.to_le_bytes()), value].concat()
}

/// Every type of whole numbers, signed and pointers too, in both orders.
fn all_exif() -> impl Iterator<Item = Vec<u8>> {
    let orders = [false, true].into_iter();
    orders.flat_map(|big_endian| [1, 3, 4, 6, 8, 9, 13].map(|kind| exif(big_endian, kind)))
}

fn assert_upright(bytes: &[u8]) {
    let (upright, decoded) = (picture(), decode_default(bytes).unwrap());
    assert_eq!((decoded.width, decoded.height), (upright.width(), upright.height()));
    assert!(decoded.pixels == upright.to_rgb8().into_raw());
    assert_eq!(upright_size(bytes), Ok([upright.width(), upright.height()]));
}

#[test]
fn a_turned_camera_gives_an_upright_picture() {
    for bytes in [&include_bytes!("../assets/exif6.jpg")[..], include_bytes!("../assets/progressive.jpg")] {
        let decoded = decode_default(bytes).unwrap();
        assert_eq!((decoded.width, decoded.height), (48, 32));
        for ((x, y), colour) in [((12, 3), [255; 3]), ((6, 24), [255, 0, 0]), ((40, 24), [0, 0, 255])] {
            assert!(near(&decoded, x, y, colour), "{:?} is not {colour:?}", decoded.pixel(x, y));
        }
    }
}

#[test]
fn jpeg_with_any_type_of_number() {
    let plain = encode(&picture().rotate270(), ImageFormat::Jpeg);
    let upright =
        DynamicImage::ImageRgb8(rgb(decode_default(&plain).unwrap())).rotate90().to_rgb8().into_raw();
    for exif in all_exif() {
        let length = (exif.len() as u16 + 8).to_be_bytes();
        let segment = [&[0xff, 0xe1][..], &length, b"Exif\0\0", &exif].concat();
        let turned = [&plain[..2], &segment, &plain[2..]].concat();
        assert!(decode_default(&turned).unwrap().pixels == upright, "{exif:?}");
    }
}

fn rgb(image: RgbImage) -> image::RgbImage {
    image::RgbImage::from_raw(image.width, image.height, image.pixels).unwrap()
}

#[test]
fn png_with_any_type_of_number_before_its_pixels_or_after() {
    let plain = encode(&picture().rotate270(), ImageFormat::Png);
    let end = plain.len() - 12;
    for exif in all_exif() {
        let named = [b"eXIf", &exif[..]].concat();
        let checksum = densesiam_fixtures::fuzz::crc32(&named).to_be_bytes();
        let chunk = [&(exif.len() as u32).to_be_bytes()[..], &named, &checksum].concat();
        // After the header, and before the end.
        for place in [33, end] {
            assert_upright(&[&plain[..place], &chunk, &plain[place..]].concat());
        }
    }
}

#[test]
fn webp_with_any_type_of_number_even_if_its_file_lies() {
    let plain = encode(&picture().rotate270(), ImageFormat::WebP);
    for exif in all_exif() {
        assert_upright(&webp_with(&plain, &exif));
        assert_upright(&webp_with(&plain, &[b"Exif\0\0", &exif[..]].concat()));
    }
    let exif = exif(true, 3);
    let turned = webp_with(&plain, &exif);
    // A last chunk that is announced as longer than it is: as it is so short, nothing in it is lost.
    let mut longer = turned.clone();
    let place = longer.len() - exif.len() - 4;
    longer[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode_default(&longer), decode_default(&turned));
}

/// A lossless WebP of the plain kind, as the kind that may have metadata.
fn webp_with(plain: &[u8], exif: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let filled = if data.len().is_multiple_of(2) { &[][..] } else { &[0] };
        [&name[..], &(data.len() as u32).to_le_bytes(), data, filled].concat()
    };
    let size = ImageReader::new(Cursor::new(plain)).with_guessed_format().unwrap().into_dimensions().unwrap();
    let [width, height] = [size.0, size.1].map(|side| (side - 1).to_le_bytes());
    let header = [&[1 << 3, 0, 0, 0], &width[..3], &height[..3]].concat();
    let chunks = [b"WEBP", &chunk(b"VP8X", &header)[..], &plain[12..], &chunk(b"EXIF", exif)].concat();
    chunk(b"RIFF", &chunks)
}

/// A TIFF has the field among those that describe its pixels.
#[test]
fn tiff_with_any_type_of_number() {
    for exif in all_exif() {
        let big_endian = exif.starts_with(b"MM");
        let ordered = |number: &[u8]| match big_endian {
            true => number.iter().rev().copied().collect::<Vec<_>>(),
            false => number.to_vec(),
        };
        let long = |tag: u16, value: u32| field(ordered, tag, 4, ordered(&value.to_le_bytes()));
        let described = [
            long(0x100, 2),
            long(0x101, 1),
            long(0x102, 8),
            long(0x103, 1),
            long(0x106, 1),
            long(0x111, 122),
            exif[10..22].to_vec(),
            long(0x116, 1),
            long(0x117, 2),
        ];
        let count = ordered(&(described.len() as u16).to_le_bytes());
        let tiff = [&exif[..8], &count, &described.concat(), &[0; 4], &[10, 200]].concat();
        assert_eq!(tiff.len(), 124);
        let decoded = decode_default(&tiff).unwrap();
        assert_eq!((decoded.width, decoded.height), (1, 2), "{exif:?}");
        assert_eq!(decoded.pixels, [10, 10, 10, 200, 200, 200]);
    }
}
