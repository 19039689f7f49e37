//! Colour operations on planar `f32` strips that stay in the first-level cache; levels are within `[0, 255]`.
//!
//! The semantics are Pillow's and torchvision's (blends, clamped after every operation), without their rounding to
//! 8 bits in between. Every loop is free of branches, of fused multiply-add and of reordered sums, so that each
//! instruction set that it is compiled for gives the same bits.

use multiversion::multiversion;

/// Pixels of one strip: three strips of `f32` take 12 kB.
pub(super) const STRIP: usize = 1024;

/// Three strips of equal length: red, green, blue.
pub(super) struct Strip<'a> {
    pub(super) red: &'a mut [f32],
    pub(super) green: &'a mut [f32],
    pub(super) blue: &'a mut [f32],
}

/// A colour operation with all that it needs to know about the whole view.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// Weight against a constant grey: black for brightness, the mean grey for contrast.
    Blend { factor: f32, grey: f32 },
    /// Weight against the grey of the pixel.
    Saturation { factor: f32 },
    /// Turn of the colour circle, in turns.
    Hue { turns: f32 },
}

impl Operation {
    /// Applies the operation to one strip.
    pub(super) fn apply(self, strip: &mut Strip<'_>) {
        match self {
            Operation::Blend { factor, grey } => {
                for plane in [&mut *strip.red, &mut *strip.green, &mut *strip.blue] {
                    blend(plane, factor, grey);
                }
            }
            Operation::Saturation { factor } => saturate(strip.red, strip.green, strip.blue, factor),
            Operation::Hue { turns } => turn_hue(strip.red, strip.green, strip.blue, turns),
        }
    }
}

/// ITU-R 601 luma, Pillow's conversion to `L` before its rounding.
#[inline(always)]
fn luma(red: f32, green: f32, blue: f32) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// As `f32::clamp`, in a form that compiles to one minimum and one maximum.
#[inline(always)]
fn level(value: f32) -> f32 {
    let above = if value > 0.0 { value } else { 0.0 };
    if above < 255.0 { above } else { 255.0 }
}

/// The nearest integer to a level, by the bits of its sum with 2^23; vectorises where a saturating cast does not.
#[inline(always)]
fn rounded(value: f32) -> u32 {
    (value + 8_388_608.0).to_bits() & 0xff
}

/// Interleaved bytes to planes.
#[multiversion(targets = "simd")]
pub(super) fn split(pixels: &[u8], red: &mut [f32], green: &mut [f32], blue: &mut [f32]) {
    let planes = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut());
    for (pixel, ((red, green), blue)) in pixels.chunks_exact(3).zip(planes) {
        *red = f32::from(pixel[0]);
        *green = f32::from(pixel[1]);
        *blue = f32::from(pixel[2]);
    }
}

/// Planes to interleaved bytes, rounded.
#[multiversion(targets = "simd")]
pub(super) fn join(red: &[f32], green: &[f32], blue: &[f32], pixels: &mut [u8]) {
    for (pixel, ((red, green), blue)) in pixels.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
        pixel[0] = rounded(*red) as u8;
        pixel[1] = rounded(*green) as u8;
        pixel[2] = rounded(*blue) as u8;
    }
}

#[multiversion(targets = "simd")]
fn blend(plane: &mut [f32], factor: f32, grey: f32) {
    let constant = (1.0 - factor) * grey;
    for value in plane {
        *value = level(factor * *value + constant);
    }
}

#[multiversion(targets = "simd")]
fn saturate(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f32) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let constant = (1.0 - factor) * luma(*red, *green, *blue);
        *red = level(factor * *red + constant);
        *green = level(factor * *green + constant);
        *blue = level(factor * *blue + constant);
    }
}

/// Sum of the rounded greys. They are integers, so the order of summation does not change the sum.
#[multiversion(targets = "simd")]
pub(super) fn grey_sum(red: &[f32], green: &[f32], blue: &[f32]) -> u32 {
    red.iter().zip(green).zip(blue).map(|((red, green), blue)| rounded(luma(*red, *green, *blue))).sum()
}

/// The grey of each pixel, into `red`.
#[multiversion(targets = "simd")]
pub(super) fn to_grey(red: &mut [f32], green: &[f32], blue: &[f32]) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        *red = luma(*red, *green, *blue);
    }
}

/// Turns the hue at constant value and chroma. With hue `h` in sixths of the circle, the channel with offset `n`
/// (red 5, green 3, blue 1) is `value - chroma * clamp(min(k, 4 - k), 0, 1)`, `k = (n + h) mod 6`.
#[multiversion(targets = "simd")]
fn turn_hue(red: &mut [f32], green: &mut [f32], blue: &mut [f32], turns: f32) {
    let sixths = turns * 6.0;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let (r, g, b) = (*red, *green, *blue);
        let high = if r > g { r } else { g };
        let value = if high > b { high } else { b };
        let low = if r < g { r } else { g };
        let chroma = value - if low < b { low } else { b };
        let from_blue = if value == g { b - r } else { r - g };
        let difference = if value == r { g - b } else { from_blue };
        let base_blue = if value == g { 2.0 } else { 4.0 };
        let base = if value == r { 0.0 } else { base_blue };
        let divisor = if chroma > 0.0 { chroma } else { 1.0 };
        let hue = difference / divisor + base + sixths;
        *red = value - chroma * distance_from_hue(hue + 5.0);
        *green = value - chroma * distance_from_hue(hue + 3.0);
        *blue = value - chroma * distance_from_hue(hue + 1.0);
    }
}

/// How much of the chroma a channel lacks, for `position` within -6 and 18 sixths.
#[inline(always)]
fn distance_from_hue(position: f32) -> f32 {
    let wrapped = if position >= 6.0 { position - 6.0 } else { position };
    let wrapped = if wrapped >= 6.0 { wrapped - 6.0 } else { wrapped };
    let wrapped = if wrapped < 0.0 { wrapped + 6.0 } else { wrapped };
    let mirrored = 4.0 - wrapped;
    let nearest = if wrapped < mirrored { wrapped } else { mirrored };
    let above = if nearest > 0.0 { nearest } else { 0.0 };
    if above < 1.0 { above } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 999 colours, among them all corners of the cube and greys.
    fn colours() -> [Vec<f32>; 3] {
        [1usize, 7, 31]
            .map(|stride| (0..999).map(|i| [0.0, 255.0, (i * stride % 256) as f32][i * stride % 3]).collect())
    }

    fn applied(operation: Operation, length: usize) -> [Vec<f32>; 3] {
        let [mut red, mut green, mut blue] = colours();
        for ((red, green), blue) in
            red.chunks_mut(length).zip(green.chunks_mut(length)).zip(blue.chunks_mut(length))
        {
            operation.apply(&mut Strip { red, green, blue });
        }
        [red, green, blue]
    }

    /// A strip of one pixel runs the scalar remainder of each loop, a long one its vectors: both give the same bits.
    #[test]
    fn vectors_and_scalars_agree_to_the_bit() {
        for operation in [
            Operation::Blend { factor: 1.37, grey: 101.0 },
            Operation::Saturation { factor: 0.61 },
            Operation::Hue { turns: -0.083 },
        ] {
            assert_eq!(applied(operation, 1), applied(operation, 999), "{operation:?}");
        }
    }

    #[test]
    fn a_whole_turn_of_the_hue_changes_nothing_and_a_third_moves_the_channels() {
        let [red, green, blue] = colours();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
        for turns in [0.0, 1.0, -1.0] {
            let found = applied(Operation::Hue { turns }, 999);
            assert!(near(&found[0], &red) && near(&found[1], &green) && near(&found[2], &blue));
        }
        let found = applied(Operation::Hue { turns: 1.0 / 3.0 }, 999);
        assert!(near(&found[0], &blue) && near(&found[1], &red) && near(&found[2], &green));
    }

    #[test]
    fn bytes_survive_the_way_to_planes_and_back() {
        let bytes: Vec<u8> = (0..3 * 257).map(|i| (i * 89 % 256) as u8).collect();
        let [mut red, mut green, mut blue] = [0, 1, 2].map(|_| vec![0.0; 257]);
        split(&bytes, &mut red, &mut green, &mut blue);
        assert_eq!([red[1], green[1], blue[1]], [3, 4, 5].map(|i| f32::from(bytes[i])));
        let mut back = vec![0; bytes.len()];
        join(&red, &green, &blue, &mut back);
        assert_eq!(bytes, back);
    }
}
