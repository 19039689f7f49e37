//! From samples to colours.

use tiff::decoder::DecodingResult;

use super::directory::Directory;
use super::layout::{Colours, Layout};
use super::{damaged, tag, unsupported};
use crate::decode::DecodeError;

/// The first `kept` of the `each` samples of every pixel in 8 bits: the brightest is 255, but an index of a palette stays
/// itself. `width` is that of the picture, whose rows begin at whole bytes where samples are narrower.
pub(super) fn eight_bits(
    read: &DecodingResult,
    layout: &Layout,
    width: usize,
    (each, kept): (usize, usize),
) -> Result<Vec<u8>, DecodeError> {
    match read {
        DecodingResult::U8(bytes) if layout.bits < 8 => Ok(narrow(bytes, layout, width * each, (each, kept))),
        DecodingResult::U8(samples) => Ok(each_of(samples, (each, kept), |sample| sample)),
        DecodingResult::U16(samples) => {
            Ok(each_of(samples, (each, kept), |sample| ((u32::from(sample) + 128) / 257) as u8))
        }
        DecodingResult::U32(samples) => Ok(each_of(samples, (each, kept), |sample| (sample >> 24) as u8)),
        DecodingResult::U64(samples) => Ok(each_of(samples, (each, kept), |sample| (sample >> 56) as u8)),
        DecodingResult::F16(samples) => shares(samples, (each, kept), |sample| f64::from(sample.to_f32())),
        DecodingResult::F32(samples) => shares(samples, (each, kept), f64::from),
        DecodingResult::F64(samples) => shares(samples, (each, kept), |sample| sample),
        _ => Err(unsupported("samples with a sign")),
    }
}

fn each_of<T: Copy>(samples: &[T], (each, kept): (usize, usize), byte: impl Fn(T) -> u8) -> Vec<u8> {
    samples.chunks_exact(each).flat_map(|pixel| &pixel[..kept]).map(|&sample| byte(sample)).collect()
}

/// Samples of 1 to 7 bits, of which a byte holds several, the first highest; every row of `row` samples begins a byte.
fn narrow(bytes: &[u8], layout: &Layout, row: usize, (each, kept): (usize, usize)) -> Vec<u8> {
    let (bits, most) = (layout.bits, (1usize << layout.bits) - 1);
    let scaled = |value: usize| if layout.colours == Colours::Palette { value } else { value * 255 / most };
    let sample = |bytes: &[u8], place: usize| {
        let (byte, bit) = (place * bits / 8, place * bits % 8);
        let pair =
            usize::from(bytes[byte]) << 8 | usize::from(bytes.get(byte + 1).copied().unwrap_or_default());
        scaled(pair >> (16 - bits - bit) & most) as u8
    };
    let rows = bytes.chunks_exact((row * bits).div_ceil(8).max(1));
    let of_row = |bytes| {
        let pixels = (0..row).step_by(each);
        pixels.flat_map(move |pixel| (pixel..pixel + kept).map(move |place| sample(bytes, place)))
    };
    rows.flat_map(of_row).collect()
}

/// Fractions are shares of the brightest, by custom; what is beyond 1 is of another measure, and nobody says of which.
fn shares<T: Copy>(
    samples: &[T],
    keep: (usize, usize),
    share: impl Fn(T) -> f64,
) -> Result<Vec<u8>, DecodeError> {
    if !samples.iter().all(|&sample| (0.0..=1.0).contains(&share(sample))) {
        return Err(unsupported("samples that are fractions and not within 0 and 1"));
    }
    Ok(each_of(samples, keep, |sample| (share(sample) * 255.0).round() as u8))
}

/// Pixels of [`Layout::kept`] samples as RGB.
pub(super) fn to_rgb(
    samples: Vec<u8>,
    layout: &Layout,
    directory: &Directory<'_>,
) -> Result<Vec<u8>, DecodeError> {
    match layout.colours {
        Colours::Rgb => Ok(samples),
        Colours::BlackIsZero => Ok(samples.into_iter().flat_map(|grey| [grey; 3]).collect()),
        Colours::WhiteIsZero => Ok(samples.into_iter().flat_map(|grey| [255 - grey; 3]).collect()),
        Colours::Palette => {
            let palette = palette(directory, layout.bits)?;
            Ok(samples.into_iter().flat_map(|index| palette[usize::from(index)]).collect())
        }
        Colours::Cmyk => Ok(pixels::<4>(&samples).flat_map(cmyk_to_rgb).collect()),
        Colours::YCbCr => {
            let conversion = YCbCr::of(directory);
            Ok(pixels::<3>(&samples).flat_map(|pixel| conversion.to_rgb(pixel)).collect())
        }
    }
}

/// The pixels of units of `[x * y lumas, Cb, Cr]` that lie `across` beside each other.
pub(super) fn from_units(units: &[u8], layout: &Layout, across: usize) -> Vec<u8> {
    let [x, y] = layout.subsampling;
    let size = x * y + 2;
    let pixel = |column: usize, row: usize| {
        let unit = &units[(row / y * across + column / x) * size..][..size];
        [unit[row % y * x + column % x], unit[size - 2], unit[size - 1]]
    };
    (0..layout.height).flat_map(|row| (0..layout.width).flat_map(move |column| pixel(column, row))).collect()
}

fn pixels<const N: usize>(samples: &[u8]) -> impl Iterator<Item = [u8; N]> {
    samples.as_chunks::<N>().0.iter().copied()
}

/// Reds, then greens, then blues, each of 16 bits; some programs write 8 of them.
fn palette(directory: &Directory<'_>, bits: usize) -> Result<Vec<[u8; 3]>, DecodeError> {
    let (values, count) = (directory.numbers(tag::PALETTE), 1 << bits);
    if values.len() < 3 * count {
        return Err(damaged("a palette of too few colours"));
    }
    let wide = values.iter().any(|&value| value > 255);
    let byte = |place: usize| (if wide { values[place] >> 8 } else { values[place] }) as u8;
    Ok((0..count).map(|index| [0, 1, 2].map(|colour| byte(colour * count + index))).collect())
}

fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = |ink: u8| ((255 - u32::from(ink)) * (255 - u32::from(black)) + 127) / 255;
    [cyan, magenta, yellow].map(|ink| light(ink) as u8)
}

/// How luma and chroma become colours.
struct YCbCr {
    /// Shares of red, green and blue in luma.
    luma: [f32; 3],
    /// What is black and what is white in each sample.
    range: [[f32; 2]; 3],
}

impl YCbCr {
    fn of(directory: &Directory<'_>) -> Self {
        let luma = directory.fractions(tag::LUMA).and_then(|luma| luma.try_into().ok());
        let range = directory.fractions(tag::RANGE).filter(|range| range.len() == 6);
        let range = range.map_or([[0.0, 255.0], [128.0, 255.0], [128.0, 255.0]], |range| {
            [[range[0], range[1]], [range[2], range[3]], [range[4], range[5]]]
        });
        Self { luma: luma.unwrap_or([0.299, 0.587, 0.114]), range }
    }

    fn to_rgb(&self, samples: [u8; 3]) -> [u8; 3] {
        let within = |place: usize, most: f32| {
            let [black, white] = self.range[place];
            (f32::from(samples[place]) - black) * most / (white - black)
        };
        let (y, cb, cr) = (within(0, 255.0), within(1, 127.0), within(2, 127.0));
        let [of_red, of_green, of_blue] = self.luma;
        let (red, blue) = (y + 2.0 * (1.0 - of_red) * cr, y + 2.0 * (1.0 - of_blue) * cb);
        let green = (y - of_red * red - of_blue * blue) / of_green;
        [red, green, blue].map(|colour| colour.round().clamp(0.0, 255.0) as u8)
    }
}
