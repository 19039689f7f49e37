//! The JPEG that nearly every file is, decoded in two thirds of the time that zune-jpeg takes: one scan, Huffman
//! codes, 8 bits, grey or YCbCr with chroma whole or halved either way.
//!
//! Pixels are zune-jpeg's, bit for bit. What is of another kind, or has the slightest fault, is left to zune-jpeg.

mod entropy;
mod frame;
mod pixels;
mod transform;

use std::ops::Range;

use multiversion::multiversion;
use multiversion::target::match_target;

use self::entropy::{Bits, EntropyCoded, read_block};
use self::frame::Frame;
use self::pixels::{Plane, to_rgb};

/// Decodes the JPEG `bytes` of `(width, height)` pixels, grey or YCbCr, to `height * width * 3` bytes in `pixels`.
/// `None` says that this picture is not for this decoder; `pixels` may hold anything then.
pub(super) fn decode_ordinary(bytes: &[u8], size: (usize, usize), pixels: &mut Vec<u8>) -> Option<()> {
    let frame = Frame::read(bytes).filter(|frame| (frame.width, frame.height) == size)?;
    let coded = EntropyCoded::read(frame.scan)?;
    let intervals = frame.units().div_ceil(frame.restart_interval);
    // Sizes are believed, and memory taken, only where there is data for them.
    if coded.intervals.len() != intervals || coded.bytes.len() < frame.fewest_bytes() {
        return None;
    }
    let mut planes: Vec<Plane> = frame.components.iter().map(|component| component.plane(&frame)).collect();
    for (index, interval) in coded.intervals.iter().enumerate() {
        let first = index * frame.restart_interval;
        let units = first..(first + frame.restart_interval).min(frame.units());
        let end = decode_units(&frame, units, Bits::new(&coded.bytes, interval.start), &mut planes)?;
        if end != interval.end {
            return None;
        }
    }
    pixels.resize(frame.width * frame.height * 3, 0);
    to_rgb(&planes, frame.width, pixels);
    Some(())
}

/// Decodes some of a frame's `units` into the `planes`, and says at which byte their codes end.
#[multiversion(targets = "simd")]
fn decode_units(frame: &Frame, units: Range<usize>, mut bits: Bits, planes: &mut [Plane]) -> Option<usize> {
    let mut predictions = [0; 3];
    for unit in units {
        let (row, column) = (unit / frame.unit_columns, unit % frame.unit_columns);
        for ((component, plane), prediction) in
            frame.components.iter().zip(&mut *planes).zip(&mut predictions)
        {
            for (down, across) in component.blocks() {
                let (row, column) = (row * component.vertical + down, column * component.horizontal + across);
                let (steps, stride) = (&component.steps, plane.width);
                let samples = plane.samples.get_mut((row * stride + column) * 8..)?;

                let mut block = [0; 64];
                let last = read_block(&mut bits, &component.dc, &component.ac, prediction, &mut block)?;
                if last == 0 {
                    transform::to_flat_samples(block[0], steps[0], samples, stride);
                    continue;
                }
                match_target! {
                    "x86_64+avx2" => transform::to_samples_avx2(&block, last, steps, samples, stride),
                    _ => transform::to_samples(&block, steps, samples, stride),
                }
            }
        }
    }
    Some(bits.byte_after())
}

#[cfg(test)]
mod tests {
    use zune_core::bytestream::ZCursor;
    use zune_core::options::DecoderOptions;
    use zune_jpeg::JpegDecoder;

    use super::*;

    /// Pictures of 45 x 39 pixels, made up of waves, edges and noise, in all samplings and some qualities.
    const PICTURES: [(&str, &[u8]); 9] = [
        ("whole chroma", include_bytes!("../../../tests/assets/jpeg/444.jpg")),
        ("chroma halved across", include_bytes!("../../../tests/assets/jpeg/422.jpg")),
        ("chroma halved down", include_bytes!("../../../tests/assets/jpeg/440.jpg")),
        ("chroma halved both ways", include_bytes!("../../../tests/assets/jpeg/420.jpg")),
        ("grey", include_bytes!("../../../tests/assets/jpeg/grey.jpg")),
        ("few coefficients", include_bytes!("../../../tests/assets/jpeg/coarse.jpg")),
        ("all coefficients", include_bytes!("../../../tests/assets/jpeg/fine.jpg")),
        ("restarts", include_bytes!("../../../tests/assets/jpeg/restarts.jpg")),
        ("codes of its own", include_bytes!("../../../tests/assets/jpeg/optimized.jpg")),
    ];

    fn decoded_here(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut pixels = Vec::new();
        let size = Frame::read(bytes).map(|frame| (frame.width, frame.height))?;
        decode_ordinary(bytes, size, &mut pixels).map(|()| pixels)
    }

    fn decoded_by_zune(bytes: &[u8]) -> Option<Vec<u8>> {
        JpegDecoder::new_with_options(ZCursor::new(bytes), DecoderOptions::default().set_strict_mode(true))
            .decode()
            .ok()
    }

    #[test]
    fn pixels_are_those_of_zune_jpeg() {
        for (name, bytes) in PICTURES {
            let pixels = decoded_here(bytes).unwrap_or_else(|| panic!("{name}: left to zune-jpeg"));
            assert!(Some(pixels) == decoded_by_zune(bytes), "{name}: other pixels");
        }
    }

    #[test]
    fn no_change_of_a_byte_gives_pixels_that_zune_jpeg_would_not() {
        for (name, original) in PICTURES {
            let mut bytes = original.to_vec();
            for place in 0..bytes.len() {
                for change in [0x01, 0x10, 0x80, 0xff] {
                    bytes[place] = original[place] ^ change;
                    let Some(pixels) = decoded_here(&bytes) else { continue };
                    assert!(
                        Some(pixels) == decoded_by_zune(&bytes),
                        "{name}: byte {place} changed by {change:#x}"
                    );
                }
                bytes[place] = original[place];
            }
        }
    }

    #[test]
    fn a_picture_cut_short_is_left_to_zune_jpeg() {
        for (name, bytes) in PICTURES {
            for length in 0..bytes.len() {
                assert!(decoded_here(&bytes[..length]).is_none(), "{name}: {length} bytes");
            }
        }
    }

    #[test]
    fn sizes_are_believed_where_there_is_data_for_them() {
        for (name, bytes) in PICTURES {
            let frame = Frame::read(bytes).unwrap();
            assert!(frame.fewest_bytes() < frame.scan.len(), "{name}");
            let mut bytes = bytes.to_vec();
            let header = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
            bytes[header + 5..header + 9].fill(0x08);
            assert!(Frame::read(&bytes).unwrap().fewest_bytes() > bytes.len(), "{name}");
        }
    }
}
