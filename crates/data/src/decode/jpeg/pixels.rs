//! Samples to pixels.

use multiversion::multiversion;

use super::enlarge::Enlarged;

/// Pixels that are converted at once.
const AT_ONCE: usize = 64;

/// All samples of one component, row by row.
pub(super) struct Plane {
    /// How many samples of a row belong to the picture.
    pub(super) width: usize,
    /// How many rows belong to the picture.
    pub(super) height: usize,
    /// How many columns of the picture one sample is for.
    pub(super) across: usize,
    /// How many rows of the picture one sample is for.
    pub(super) down: usize,
    /// How far rows are apart: units reach beyond the picture's edge.
    pub(super) stride: usize,
    pub(super) samples: Vec<u8>,
}

impl Plane {
    /// How many samples of a row are in blocks that every scan has.
    pub(super) fn columns(&self) -> usize {
        self.width.next_multiple_of(8)
    }

    /// How many rows are in blocks that every scan has.
    pub(super) fn rows(&self) -> usize {
        self.height.next_multiple_of(8)
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.stride..][..self.columns()]
    }
}

/// Writes planes as the pixels of a picture of some width. One plane is grey; of more, the first three are red, green
/// and blue, or `differences` says that they are luma and what blue and red differ from it by. A fourth is black; with
/// it, numbers say how much ink there is not, as Adobe's programs have them.
#[multiversion(targets = "simd")]
pub(super) fn to_rgb(planes: &[Plane], differences: bool, width: usize, pixels: &mut [u8]) {
    let mut planes: Vec<_> = planes.iter().map(Enlarged::new).collect();
    for (row, pixels) in pixels.chunks_exact_mut(3 * width).enumerate() {
        let [first, second, third, black @ ..] = &mut planes[..] else {
            grey(&planes[0].row(row)[..width], pixels);
            continue;
        };
        let colours = [first, second, third].map(|plane| &plane.row(row)[..width]);
        if differences {
            from_differences(colours, pixels);
        } else {
            together(colours, pixels);
        }
        if let [black] = black {
            without_ink(&black.row(row)[..width], differences, pixels);
        }
    }
}

fn grey(samples: &[u8], pixels: &mut [u8]) {
    for (pixel, &sample) in pixels.as_chunks_mut().0.iter_mut().zip(samples) {
        *pixel = [sample; 3];
    }
}

fn together([red, green, blue]: [&[u8]; 3], pixels: &mut [u8]) {
    let pixels = pixels.as_chunks_mut().0.iter_mut();
    for (((pixel, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
        *pixel = [red, green, blue];
    }
}

/// Colours that lack cyan, magenta and yellow (or, by `differences`, that have them) become darker with black.
fn without_ink(black: &[u8], differences: bool, pixels: &mut [u8]) {
    for (pixel, &black) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(black) {
        *pixel = pixel.map(|colour| product(if differences { 255 - colour } else { colour }, black));
    }
}

/// The product of two shares of 255, rounded.
fn product(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

#[inline(always)]
fn from_differences([luma, blue, red]: [&[u8]; 3], pixels: &mut [u8]) {
    let (luma, luma_rest) = luma.as_chunks::<AT_ONCE>();
    let (blue, blue_rest) = blue.as_chunks::<AT_ONCE>();
    let (red, red_rest) = red.as_chunks::<AT_ONCE>();
    let (pixels, pixels_rest) = pixels.as_chunks_mut::<{ 3 * AT_ONCE }>();
    for (((pixels, luma), blue), red) in pixels.iter_mut().zip(luma).zip(blue).zip(red) {
        convert(luma, blue, red, pixels);
    }
    let pixels_rest = pixels_rest.as_chunks_mut().0.iter_mut();
    for (((pixel, &luma), &blue), &red) in pixels_rest.zip(luma_rest).zip(blue_rest).zip(red_rest) {
        *pixel = rgb(luma, blue, red);
    }
}

/// Whole arrays, and colours apart before they are joined: so the compiler makes vectors of both loops.
#[inline(always)]
fn convert(luma: &[u8; AT_ONCE], blue: &[u8; AT_ONCE], red: &[u8; AT_ONCE], pixels: &mut [u8; 3 * AT_ONCE]) {
    let (mut r, mut g, mut b) = ([0; AT_ONCE], [0; AT_ONCE], [0; AT_ONCE]);
    for i in 0..AT_ONCE {
        [r[i], g[i], b[i]] = rgb(luma[i], blue[i], red[i]);
    }
    for i in 0..AT_ONCE {
        pixels[3 * i] = r[i];
        pixels[3 * i + 1] = g[i];
        pixels[3 * i + 2] = b[i];
    }
}

/// JFIF's conversion (BT.601, full range), in 16384ths.
#[inline(always)]
fn rgb(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    let luma = (i32::from(luma) << 14) + (1 << 13) - 1;
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    let clamped = |value: i32| (value >> 14).clamp(0, 255) as u8;
    [clamped(luma + 22970 * red), clamped(luma - 11700 * red - 5638 * blue), clamped(luma + 29032 * blue)]
}
