//! Local binary patterns, as scikit-image's `local_binary_pattern` computes them for 8 points at radius 1.

use crate::image::RgbImage;

/// How far a diagonal point lies from its pixel along each axis: the cosine of 45 degrees, rounded to five digits.
#[allow(clippy::approx_constant, reason = "the released patterns have these five digits and no more")]
const DIAGONAL: f64 = 0.70711;

/// The pattern of each pixel in each channel, `height * width` numbers a channel. A point around a pixel, from the
/// right anticlockwise, is one bit, the first the lowest: 1 where the picture there, bilinear and black outside, is no
/// darker than the pixel.
pub(super) fn local_binary_patterns(picture: &RgbImage) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|channel| of_channel(picture, channel))
}

fn of_channel(picture: &RgbImage, channel: usize) -> Vec<u8> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let across = width + 2;
    let mut padded = vec![0.0; across * (height + 2)];
    for (y, row) in picture.pixels.chunks_exact((width * 3).max(1)).enumerate() {
        let target = &mut padded[(y + 1) * across + 1..][..width];
        for (target, pixel) in target.iter_mut().zip(row.chunks_exact(3)) {
            *target = f64::from(pixel[channel]);
        }
    }
    let columns: Vec<_> = (0..width).map(shares).collect();
    let mut patterns = Vec::with_capacity(width * height);
    for y in 0..height {
        let [up, down] = shares(y);
        for (x, &[left, right]) in columns.iter().enumerate() {
            // The pixel's number in the padded picture.
            let here = (y + 1) * across + x + 1;
            let centre = padded[here];
            // Bilinear between four pixels, of which `corner` is the upper left one.
            let between = |corner: usize, down: f64, right: f64| {
                let row = |start: usize| (1.0 - right) * padded[start] + right * padded[start + 1];
                (1.0 - down) * row(corner) + down * row(corner + across)
            };
            let points = [
                padded[here + 1],
                between(here - across, up, right),
                padded[here - across],
                between(here - across - 1, up, left),
                padded[here - 1],
                between(here - 1, down, left),
                padded[here + across],
                between(here, down, right),
            ];
            let bit = |(place, &point): (usize, &f64)| u8::from(point - centre >= 0.0) << place;
            patterns.push(points.iter().enumerate().map(bit).sum());
        }
    }
    patterns
}

/// Where the diagonal points before and after a row or column lie between two of them. The subtraction rounds at the
/// size of `position`, and in flat areas the last bit decides.
fn shares(position: usize) -> [f64; 2] {
    let position = position as f64;
    [(position - DIAGONAL) - (position - 1.0), (position + DIAGONAL) - position]
}
