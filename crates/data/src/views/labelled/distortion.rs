//! The colours of a crop as they were drawn, and the four operations that change them.
//!
//! After each operation the levels are whole numbers again, cut off and not rounded. Contrast blends with black, unlike
//! in [`crate::views::Photometric`].

use densesiam_random::{ChaCha8Rng, RngExt};

use super::CropSettings;
use crate::opencv::hsv;
use crate::views::photometric::{around_one, chance, uniform};

/// What happens to the colours of one crop; `None` leaves an operation out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distortion {
    /// What is added to all levels, first of all; in levels of 255.
    pub brightness: Option<f64>,
    /// Factor of all levels.
    pub contrast: Option<f64>,
    /// Whether contrast comes before saturation and hue, rather than after them.
    pub contrast_first: bool,
    /// Factor of the saturation of 8-bit HSV.
    pub saturation: Option<f64>,
    /// Turn of the hue after that, in steps of two degrees.
    pub hue: Option<i32>,
}

impl Distortion {
    /// Every number is drawn, whether it is used or not, so that changing one setting leaves all other draws unchanged.
    pub(super) fn draw(settings: &CropSettings, rng: &mut ChaCha8Rng) -> Self {
        let mut drawn = |range| {
            let (used, number) = (chance(settings.jitter_probability, rng), uniform(range, rng));
            used.then_some(number)
        };
        let brightness = drawn([-settings.brightness, settings.brightness]);
        let contrast = drawn(around_one(settings.contrast));
        let saturation = drawn(around_one(settings.saturation));
        let turned = chance(settings.jitter_probability, rng);
        // The reference draws from -18 to 17, without 18.
        let steps = (settings.hue * f64::from(hsv::TURN)).round() as i32;
        let hue = rng.random_range(-steps..steps.max(1 - steps));
        let contrast_first = chance(0.5, rng);
        Self { brightness, contrast, contrast_first, saturation, hue: turned.then_some(hue) }
    }

    /// Changes interleaved RGB pixels, each on its own.
    pub fn apply(&self, pixels: &mut [u8]) {
        let contrast = |pixels: &mut [u8]| {
            if let Some(factor) = self.contrast {
                scale_levels(pixels, factor as f32, 0.0);
            }
        };
        if let Some(offset) = self.brightness {
            scale_levels(pixels, 1.0, offset as f32);
        }
        if self.contrast_first {
            contrast(pixels);
        }
        if let Some(factor) = self.saturation {
            hsv::change(pixels, factor as f32, 0);
        }
        if let Some(steps) = self.hue {
            hsv::change(pixels, 1.0, steps.rem_euclid(hsv::TURN));
        }
        if !self.contrast_first {
            contrast(pixels);
        }
    }
}

fn scale_levels(pixels: &mut [u8], factor: f32, offset: f32) {
    let changed: [u8; 256] = std::array::from_fn(|level| (level as f32 * factor + offset) as u8);
    pixels.iter_mut().for_each(|level| *level = changed[usize::from(*level)]);
}
