//! TIFFs of every common kind, each beside its pixels as Pillow, libtiff or the arrays that it was made of have them:
//! `NAME.tif`, and `NAME.rgb` of two little-endian 16-bit numbers, width and height, and RGB bytes.

use std::fs;
use std::path::{Path, PathBuf};

use densesiam_data::decode::{DecodeError, DecodeLimits, decode};
use densesiam_data::image::RgbImage;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/assets/tiff");

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "tif"));
    files.sort();
    files
}

fn decode_file(path: &Path) -> Result<RgbImage, DecodeError> {
    decode(&fs::read(path).unwrap(), &DecodeLimits::default())
}

fn expected(path: &Path) -> Option<RgbImage> {
    let bytes = fs::read(path.with_extension("rgb")).ok()?;
    let side = |place: usize| u32::from(u16::from_le_bytes([bytes[place], bytes[place + 1]]));
    Some(RgbImage { width: side(0), height: side(2), pixels: bytes[4..].to_vec() })
}

#[test]
fn every_kind_has_its_pixels() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in files() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(expected) = expected(&path) else { continue };
        // Of chroma libraries round differently, and of JPEGs they differ in the cosines besides.
        let most = if name.starts_with("jpeg") {
            4
        } else if name.starts_with("ycbcr") {
            2
        } else {
            0
        };
        compared += 1;
        match decode_file(&path) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(found) if (found.width, found.height) != (expected.width, expected.height) => {
                wrong.push(format!("{name}: {} x {}", found.width, found.height));
            }
            Ok(found) => {
                let pairs = || found.pixels.iter().zip(&expected.pixels);
                let largest = pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                if largest > most {
                    wrong.push(format!("{name}: a pixel is {largest} off"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 40, "{compared}");
}

#[test]
fn kinds_that_are_not_decoded_are_named() {
    for (name, words) in [
        ("refused_signed", "with a sign"),
        ("refused_float_beyond", "not within 0 and 1"),
        ("refused_zstd", "ZSTD"),
        ("refused_lab", "L*a*b*"),
    ] {
        let error = decode_file(&Path::new(FOLDER).join(format!("{name}.tif"))).unwrap_err();
        assert!(matches!(error, DecodeError::Unsupported { .. }), "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}

#[test]
fn a_tiff_cut_anywhere_is_refused_or_whole() {
    for path in files() {
        let bytes = fs::read(&path).unwrap();
        let Ok(whole) = decode(&bytes, &DecodeLimits::default()) else { continue };
        for length in (1..bytes.len()).step_by(11) {
            match decode(&bytes[..length], &DecodeLimits::default()) {
                // What is cut off may be a field that is not looked at.
                Ok(cut) => assert!(cut == whole, "{} cut at {length}", path.display()),
                Err(error) => assert!(!matches!(error, DecodeError::DecoderPanicked { .. }), "{error}"),
            }
        }
    }
}

/// Damage may go unnoticed within pixels, but it must never stop the program.
#[test]
fn damaged_tiffs_do_not_panic() {
    let limits = DecodeLimits { max_pixels: 1 << 16 };
    for path in files() {
        let bytes = fs::read(&path).unwrap();
        for (round, place) in (0..bytes.len()).rev().step_by(5).enumerate() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << (round % 8);
            if let Err(DecodeError::DecoderPanicked { message }) = decode(&damaged, &limits) {
                panic!("{} with byte {place} damaged: {message}", path.display());
            }
        }
    }
}
