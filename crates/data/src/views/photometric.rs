//! The colours of a view as they were drawn, and the tools that every augmentation needs to draw them: checks of the
//! settings, and the two distributions.

use densesiam_random::{ChaCha8Rng, RngExt};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

/// One of the four colour operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JitterOperation {
    /// Blend with black.
    Brightness,
    /// Blend with the mean grey of the view.
    Contrast,
    /// Blend with the grey of each pixel.
    Saturation,
    /// Turn of the colour circle.
    Hue,
}

/// The colour jitter of one view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Weight of the view against black; 1 leaves it unchanged.
    pub brightness: f64,
    /// Weight of the view against its mean grey; 1 leaves it unchanged.
    pub contrast: f64,
    /// Weight of the view against its grey version; 1 leaves it unchanged.
    pub saturation: f64,
    /// Turns of the colour circle, within -0.5 and 0.5.
    pub hue: f64,
    /// The order in which the four are applied.
    pub order: [JitterOperation; 4],
}

impl Jitter {
    /// Whether an operation does anything: its parameter is not the neutral one.
    pub(super) fn changes(&self, operation: JitterOperation) -> bool {
        match operation {
            JitterOperation::Brightness => self.brightness != 1.0,
            JitterOperation::Contrast => self.contrast != 1.0,
            JitterOperation::Saturation => self.saturation != 1.0,
            JitterOperation::Hue => self.hue != 0.0,
        }
    }
}

/// What happens to the colours of one view after the crop: jitter, then grayscale, then blur, then solarisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Photometric {
    /// Colour jitter, or none.
    pub jitter: Option<Jitter>,
    /// Whether the view loses its colours.
    pub grayscale: bool,
    /// Standard deviation of the Gaussian blur in pixels of the view, or no blur.
    pub blur_sigma: Option<f64>,
    /// Whether levels from 128 on are inverted, last of all.
    pub solarize: bool,
}

impl Photometric {
    /// Leaves the colours unchanged.
    pub const IDENTITY: Self = Self { jitter: None, grayscale: false, blur_sigma: None, solarize: false };
}

/// A number that is the same for both views, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerView {
    /// Of both views.
    Both(f64),
    /// Of the first and of the second view.
    Each([f64; 2]),
}

impl PerView {
    /// The number of a view, 0 or 1.
    pub fn of(self, view: usize) -> f64 {
        match self {
            Self::Both(number) => number,
            Self::Each(numbers) => numbers[view],
        }
    }
}

/// True with this probability; uses one number of the stream.
pub(crate) fn chance(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    rng.random::<f64>() < probability
}

/// Uniform in `[low, high)`; uses one number of the stream.
pub(super) fn uniform([low, high]: [f64; 2], rng: &mut ChaCha8Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// The range of the factor of brightness, contrast or saturation.
pub(super) fn around_one(strength: f64) -> [f64; 2] {
    [(1.0 - strength).max(0.0), 1.0 + strength]
}

/// Checks the settings that all augmentations have: the strengths of brightness, contrast and saturation, of hue, and
/// the probabilities of jitter, grayscale, blur and flip.
pub(super) fn require_photometric(
    strengths: [f64; 3],
    hue: f64,
    probabilities: [f64; 4],
) -> Result<(), SettingError> {
    let keys = ["augment.brightness", "augment.contrast", "augment.saturation"];
    for (key, strength) in keys.into_iter().zip(strengths) {
        require(strength.is_finite() && strength >= 0.0, key, &strength, "a finite number from 0")?;
    }
    within("augment.hue", hue, 0.0..=0.5, "turns of the colour circle")?;
    let keys = [
        "augment.jitter_probability",
        "augment.grayscale_probability",
        "augment.blur_probability",
        "augment.flip_probability",
    ];
    for (key, probability) in keys.into_iter().zip(probabilities) {
        within(key, probability, 0.0..=1.0, "(a probability)")?;
    }
    Ok(())
}

/// Checks a range of two numbers, above 0 and at most `top`.
pub(super) fn require_range(
    key: &'static str,
    range: [f64; 2],
    top: f64,
    allowed: &'static str,
) -> Result<(), SettingError> {
    let [low, high] = range;
    let holds = low > 0.0 && low <= high && high <= top;
    require(holds, key, &format!("[{low}, {high}]"), allowed)
}
