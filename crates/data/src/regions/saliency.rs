//! Saliency without a trained model: the maximum symmetric surround (Achanta and Süsstrunk, "Saliency detection using
//! maximum symmetric surround", ICIP 2010). Ours where a method was published with maps of a model that is not at hand.

use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};

use super::raster::Raster;
use super::smooth::Planes;
use crate::image::RgbImage;

/// How salient pixels are found: by how far their colour is from the mean colour of the largest rectangle around them
/// that lies within the picture and of which they are the middle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymmetricSurround {
    /// Standard deviation of the Gaussian that smooths the picture first, in pixels.
    pub sigma: f64,
}

impl Default for SymmetricSurround {
    /// About the binomial filter of 5 x 5 pixels in the paper.
    fn default() -> Self {
        Self { sigma: 1.0 }
    }
}

/// Largest distances in CIELAB that are differences of nobody's picture but of rounding.
const NOTHING: f64 = 1e-6;

impl SymmetricSurround {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for a setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("sigma", self.sigma, 0.0..=50.0, "pixels")
    }

    /// The saliency of each pixel, scaled so that the picture's most salient pixel has 255 and its least salient 0; all
    /// 0 where no pixel stands out. Memory: about 100 bytes a pixel.
    pub fn saliency(&self, picture: &RgbImage) -> Raster<u8> {
        let colours = lab(picture);
        let sums = Sums::of(&colours);
        let smooth = colours.smoothed(self.sigma);
        let across = smooth.width;
        let distance = |(pixel, colour): (usize, &[f64; 3])| {
            let mean = sums.surround(pixel % across, pixel / across);
            let square = |channel: usize| (mean[channel] - colour[channel]).powi(2);
            (square(0) + square(1) + square(2)).sqrt()
        };
        let distances: Vec<f64> = smooth.values.as_chunks().0.iter().enumerate().map(distance).collect();
        let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let range = distances.iter().copied().fold(0.0, f64::max) - least;
        let level = |distance: f64| {
            if range > NOTHING { ((distance - least) / range * 255.0).round() as u8 } else { 0 }
        };
        let values = distances.into_iter().map(level).collect();
        Raster { width: picture.width, height: picture.height, values }
    }
}

/// The picture in CIELAB (sRGB, white of D65).
fn lab(picture: &RgbImage) -> Planes {
    let linear: [f64; 256] = std::array::from_fn(|level| {
        let level = level as f64 / 255.0;
        if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
    });
    let root = |share: f64| if share > 0.008_856 { share.cbrt() } else { 7.787 * share + 16.0 / 116.0 };
    let colour = |rgb: &[u8; 3]| {
        let [r, g, b] = rgb.map(|level| linear[usize::from(level)]);
        let x = root((0.412_453 * r + 0.357_580 * g + 0.180_423 * b) / 0.950_456);
        let y = root(0.212_671 * r + 0.715_160 * g + 0.072_169 * b);
        let z = root((0.019_334 * r + 0.119_193 * g + 0.950_227 * b) / 1.088_754);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    };
    let values = picture.pixels.as_chunks().0.iter().flat_map(colour).collect();
    Planes { width: picture.width as usize, height: picture.height as usize, values }
}

/// Sums over all pixels above and to the left, so that the sum over any rectangle takes four of them.
struct Sums {
    width: usize,
    height: usize,
    /// `(height + 1) * (width + 1)` colours.
    sums: Vec<[f64; 3]>,
}

impl Sums {
    fn of(planes: &Planes) -> Self {
        let Planes { width, height, ref values } = *planes;
        let across = width + 1;
        let mut sums = vec![[0.0; 3]; across * (height + 1)];
        for (pixel, colour) in values.as_chunks::<3>().0.iter().enumerate() {
            let here = (pixel / width + 1) * across + pixel % width + 1;
            let (above, left, corner) = (sums[here - across], sums[here - 1], sums[here - across - 1]);
            sums[here] = [0, 1, 2].map(|c| above[c] + left[c] - corner[c] + colour[c]);
        }
        Self { width, height, sums }
    }

    /// The mean colour of the largest rectangle of which the pixel in column `x` and row `y` is the middle.
    fn surround(&self, x: usize, y: usize) -> [f64; 3] {
        let (right, down) = (x.min(self.width - 1 - x), y.min(self.height - 1 - y));
        let across = self.width + 1;
        let (left, top) = (x - right, (y - down) * across);
        let (end, bottom) = (x + right + 1, (y + down + 1) * across);
        let area = ((2 * right + 1) * (2 * down + 1)) as f64;
        let at = |place: usize| self.sums[place];
        let corners = [at(bottom + end), at(bottom + left), at(top + end), at(top + left)];
        [0, 1, 2].map(|c| (corners[0][c] - corners[1][c] - corners[2][c] + corners[3][c]) / area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::draw_picture;

    fn painted(size: [u32; 2], colour: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        let [width, height] = size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        RgbImage { width, height, pixels: pixels.flat_map(|(x, y)| colour(x, y)).collect() }
    }

    #[test]
    fn a_red_square_on_grass_stands_out() {
        let square = |x, y| (20..32).contains(&x) && (14..26).contains(&y);
        let picture = painted([60, 40], |x, y| if square(x, y) { [200, 30, 30] } else { [60, 140, 50] });
        let saliency = SymmetricSurround::default().saliency(&picture);
        let mean = |inside: bool| {
            let pixels = (0..40).flat_map(|y| (0..60).map(move |x| (x, y)));
            let chosen = pixels.filter(|&(x, y)| square(x, y) == inside);
            let levels: Vec<_> =
                chosen.map(|(x, y)| f64::from(saliency.values[(y * 60 + x) as usize])).collect();
            levels.iter().sum::<f64>() / levels.len() as f64
        };
        assert!(mean(true) > 150.0 && mean(false) < 40.0, "{} {}", mean(true), mean(false));
    }

    #[test]
    fn nothing_stands_out_of_one_colour() {
        for size in [[1, 1], [1, 9], [50, 40]] {
            let saliency = SymmetricSurround::default().saliency(&painted(size, |_, _| [77, 130, 201]));
            assert!(saliency.values.iter().all(|&level| level == 0));
            assert_eq!(saliency.values.len(), (size[0] * size[1]) as usize);
        }
    }

    /// The surround of the outermost pixels is the row or column that they lie in.
    #[test]
    fn the_surround_is_symmetric_and_within_the_picture() {
        let picture = draw_picture((37, 29), 1, 0).image;
        let colours = lab(&picture);
        let sums = Sums::of(&colours);
        for (x, y) in [(0, 0), (36, 28), (0, 14), (18, 14), (17, 3), (35, 20)] {
            let (right, down) = (x.min(36 - x), y.min(28 - y));
            let rows = y - down..=y + down;
            let pixels = rows.flat_map(|row| (x - right..=x + right).map(move |column| row * 37 + column));
            let lightness: Vec<f64> = pixels.map(|pixel| colours.values[pixel * 3]).collect();
            let mean = lightness.iter().sum::<f64>() / lightness.len() as f64;
            assert!((sums.surround(x, y)[0] - mean).abs() < 1e-9, "{x} {y}");
        }
    }

    #[test]
    fn white_is_100_and_has_no_colour() {
        let [l, a, b] = lab(&painted([1, 1], |_, _| [255; 3])).values[..] else { panic!() };
        assert!((l - 100.0).abs() < 1e-3 && a.abs() < 1e-2 && b.abs() < 1e-2, "{l} {a} {b}");
    }
}
