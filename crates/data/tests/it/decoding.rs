//! What becomes of every kind of file that a folder may hold.

use std::io::Cursor;

use densesiam_data::decode::{DecodeError, DecodeLimits, decode};
use densesiam_data::demo::draw_picture;
use densesiam_data::image::RgbImage;
use densesiam_random::{Key, Purpose, RngExt};
use image::{DynamicImage, ImageFormat};

pub(crate) fn decode_default(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    decode(bytes, &DecodeLimits::default())
}

pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn picture() -> DynamicImage {
    let RgbImage { width, height, pixels } = draw_picture((67, 45), 5, 0).image;
    DynamicImage::ImageRgb8(image::RgbImage::from_raw(width, height, pixels).unwrap())
}

/// Whether a pixel is within 6 levels of a colour.
pub(crate) fn near(image: &RgbImage, x: u32, y: u32, colour: [u8; 3]) -> bool {
    image.pixel(x, y).iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 6)
}

#[test]
fn lossless_formats_come_back_exactly_whatever_their_flavour() {
    let original = picture();
    let bytes = original.to_rgb8().into_raw();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let decoded = decode_default(&encode(&original, format)).unwrap();
        assert_eq!((decoded.width, decoded.height), (67, 45));
        assert_eq!(decoded.pixels, bytes, "{format:?}");
    }
    for flavour in [
        DynamicImage::ImageRgb16(original.to_rgb16()),
        DynamicImage::ImageRgba8(original.to_rgba8()),
        DynamicImage::ImageRgba16(original.to_rgba16()),
    ] {
        assert_eq!(decode_default(&encode(&flavour, ImageFormat::Png)).unwrap().pixels, bytes);
    }
}

#[test]
fn gray_pictures_become_three_equal_channels() {
    let gray = DynamicImage::ImageLuma8(picture().to_luma8());
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let decoded = decode_default(&encode(&gray, format)).unwrap();
        assert_eq!(decoded.pixels.len(), 67 * 45 * 3);
        assert!(decoded.pixels.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    }
    let gray16 = DynamicImage::ImageLuma16(picture().to_luma16());
    assert_eq!(decode_default(&encode(&gray16, ImageFormat::Png)).unwrap().pixels.len(), 67 * 45 * 3);
}

#[test]
fn one_pixel_is_a_picture() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif] {
        let decoded = decode_default(&encode(&DynamicImage::new_rgb8(1, 1), format)).unwrap();
        assert_eq!((decoded.width, decoded.height, decoded.pixels.len()), (1, 1, 3));
    }
}

#[test]
fn cmyk_as_adobe_stores_it_gets_its_colours_back() {
    let decoded = decode_default(include_bytes!("../assets/cmyk.jpg")).unwrap();
    assert_eq!((decoded.width, decoded.height), (32, 32));
    for ((x, y), colour) in
        [((8, 8), [255, 0, 0]), ((24, 8), [0, 255, 0]), ((8, 24), [127; 3]), ((24, 24), [255; 3])]
    {
        assert!(near(&decoded, x, y, colour), "{:?} is not {colour:?}", decoded.pixel(x, y));
    }
}

#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    for bytes in [encode(&picture(), ImageFormat::Jpeg), include_bytes!("../assets/progressive.jpg").to_vec()]
    {
        assert!(decode_default(&bytes).is_ok());
        for length in 4..bytes.len() {
            let error = decode_default(&bytes[..length]).expect_err("a cut picture was accepted");
            assert_eq!(
                error,
                DecodeError::Truncated { format: "JPEG".into() },
                "cut at {length} of {}",
                bytes.len()
            );
        }
    }
}

/// A baseline and a progressive JPEG with a segment put in front and bytes after the end; how long each is without
/// the latter.
fn jpegs_with(front: &[u8], trailer: &[u8]) -> [(Vec<u8>, usize); 2] {
    [encode(&picture(), ImageFormat::Jpeg), include_bytes!("../assets/progressive.jpg").to_vec()].map(
        |plain| {
            let whole = [&plain[..2], front, &plain[2..]].concat();
            let length = whole.len();
            ([&whole, trailer].concat(), length)
        },
    )
}

/// As phones append a film to a picture: the bytes after the end of image may look like anything.
#[test]
fn what_follows_the_end_of_a_jpeg_is_ignored() {
    let mut trailer: Vec<u8> = Key::new(3, Purpose::Demo).rng().random_iter().take(5000).collect();
    for (place, marker) in [(100, 0xd9), (900, 0xda), (2000, 0xd9), (4100, 0xd8), (4700, 0xda)] {
        trailer[place..place + 2].copy_from_slice(&[0xff, marker]);
    }
    for (bytes, length) in jpegs_with(&[], &trailer) {
        assert_eq!(decode_default(&bytes), decode_default(&bytes[..length]));
        assert!(decode_default(&bytes).is_ok());
    }
}

#[test]
fn the_end_of_an_embedded_thumbnail_is_not_the_end_of_the_picture() {
    let thumbnail = encode(&picture().thumbnail(20, 20), ImageFormat::Jpeg);
    let length = (thumbnail.len() + 8) as u16;
    let segment = [&[0xff, 0xe1], &length.to_be_bytes()[..], b"Thumb\0", &thumbnail].concat();
    for (bytes, length) in jpegs_with(&segment, &[]) {
        assert!(decode_default(&bytes).is_ok());
        for cut in 4..length {
            let error = decode_default(&bytes[..cut]).expect_err("a cut picture was accepted");
            assert_eq!(error, DecodeError::Truncated { format: "JPEG".into() }, "cut at {cut} of {length}");
        }
    }
}

#[test]
fn a_cut_png_is_refused() {
    let bytes = encode(&picture(), ImageFormat::Png);
    let error = decode_default(&bytes[..bytes.len() / 2]).unwrap_err();
    assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
}

#[test]
fn text_is_not_a_picture_and_says_how_it_begins() {
    let error = decode_default(b"<html>404 not found</html>").unwrap_err();
    assert!(error.to_string().contains("\"<html>404 no\""), "{error}");
    assert_eq!(decode_default(b""), Err(DecodeError::Empty));
}

#[test]
fn an_unsupported_format_is_named() {
    let error = decode_default(b"\x00\x00\x01\x00\x01\x00 icon").unwrap_err();
    assert!(matches!(&error, DecodeError::Unsupported { format, .. } if format == "ICO"), "{error}");
    // As telephones write it, under whatever name.
    let error = decode_default(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic").unwrap_err();
    assert_eq!(error.kind(), "not supported");
    assert!(error.to_string().starts_with("it is an HEIC picture, and"), "{error}");
}

/// Headers that announce 4 billion pixels: decoding them would allocate gigabytes, so that only a check of the header
/// can answer at once.
#[test]
fn a_huge_header_is_refused_before_anything_is_allocated() {
    let mut jpeg = encode(&picture(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let mut bmp = encode(&picture(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    for bytes in [jpeg, bmp] {
        let error = decode_default(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { max_pixels: 100_000_000, .. }), "{error}");
    }
    let limits = DecodeLimits { max_pixels: 67 * 45 - 1 };
    let error = decode(&encode(&picture(), ImageFormat::Png), &limits).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { width: 67, height: 45, max_pixels: 3014 }), "{error}");
}

/// Damage may go unnoticed inside entropy-coded data, but it must never stop the program.
#[test]
fn damaged_bytes_never_panic() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP]
    {
        let bytes = encode(&picture(), format);
        let limits = DecodeLimits { max_pixels: 1 << 20 };
        for (round, position) in (0..bytes.len()).step_by(1 + bytes.len() / 400).enumerate() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (round % 8);
            let panicked = matches!(decode(&damaged, &limits), Err(DecodeError::DecoderPanicked { .. }));
            assert!(!panicked, "{format:?} with byte {position} damaged");
        }
    }
}

/// What the fuzzer found, with its outcome; that it takes little memory is tested in `tests/fuzz.rs`.
#[test]
fn pictures_that_lie_about_themselves_are_refused_for_it() {
    let found = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/crashes/picture/");
        let limits = DecodeLimits { max_pixels: 1 << 16 };
        decode(&std::fs::read(format!("{folder}{name}")).unwrap(), &limits).unwrap_err()
    };
    assert!(matches!(found("field_too_long_0.tif"), DecodeError::Truncated { format } if format == "TIFF"));
    assert!(matches!(
        found("frame_beyond_its_canvas.webp"),
        DecodeError::TooLarge { width: 4576, height: 5120, .. }
    ));
    assert!(
        matches!(found("no_rows.gif"), DecodeError::Damaged { reason, .. } if reason.starts_with("13 x 0 "))
    );
    assert!(matches!(found("palette_not_of_threes.png"), DecodeError::DecoderPanicked { .. }));
}
