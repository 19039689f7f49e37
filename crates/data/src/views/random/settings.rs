//! The settings of two random views, and their allowed values.

use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};

use crate::resize::Interpolation;
use crate::views::PerView;
use crate::views::photometric::{require_photometric, require_range};

/// Settings of the two views, the table `augment` of a recipe. Defaults: the paper, section 5.1, after the paper's
/// pre-training appendix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomViews {
    /// Side of the square views in pixels, at least 1.
    pub size: u32,
    /// Smallest and largest crop as a share of the picture's area, within `(0, 1]`.
    pub scale: [f64; 2],
    /// Smallest and largest width over height of a crop, drawn log-uniformly.
    pub ratio: [f64; 2],
    /// Brightness factor uniform in `[max(0, 1 - brightness), 1 + brightness]`.
    pub brightness: f64,
    /// Contrast factor, drawn as the brightness factor.
    pub contrast: f64,
    /// Saturation factor, drawn as the brightness factor.
    pub saturation: f64,
    /// Hue shift uniform in `[-hue, hue]`, in turns of the colour circle, at most 0.5.
    pub hue: f64,
    /// Probability that the four colour operations are applied (one draw for all).
    pub jitter_probability: f64,
    /// Probability that a view loses its colours.
    pub grayscale_probability: f64,
    /// Probability that a view is blurred.
    pub blur_probability: PerView,
    /// Smallest and largest standard deviation of the Gaussian blur, in pixels of the view.
    pub blur_sigma: [f64; 2],
    /// Probability that the levels of a view from 128 on are inverted, last of all.
    pub solarize_probability: PerView,
    /// How the pixels of a crop are computed from the picture's.
    pub interpolation: Interpolation,
    /// Probability that a view is mirrored left to right.
    pub flip_probability: f64,
    /// How often the second crop is drawn again, at most, if it does not overlap the first.
    pub overlap_tries: u32,
}

impl Default for RandomViews {
    fn default() -> Self {
        Self {
            size: 224,
            scale: [0.2, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
            jitter_probability: 0.8,
            grayscale_probability: 0.2,
            blur_probability: PerView::Both(0.5),
            blur_sigma: [0.1, 2.0],
            solarize_probability: PerView::Both(0.0),
            interpolation: Interpolation::Bilinear,
            flip_probability: 0.5,
            overlap_tries: 10,
        }
    }
}

impl RandomViews {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.validate_shape()?;
        for view in [0, 1] {
            let blur = self.blur_probability.of(view);
            require_photometric(
                [self.brightness, self.contrast, self.saturation],
                self.hue,
                [self.jitter_probability, self.grayscale_probability, blur, self.flip_probability],
            )?;
            let solarize = self.solarize_probability.of(view);
            within("augment.solarize_probability", solarize, 0.0..=1.0, "(a probability)")?;
        }
        Ok(())
    }

    fn validate_shape(&self) -> Result<(), SettingError> {
        within("augment.size", self.size, 1..=8192, "pixels")?;
        require_range(
            "augment.scale",
            self.scale,
            1.0,
            "[low, high] with 0 < low <= high <= 1 (share of the area)",
        )?;
        require_range(
            "augment.ratio",
            self.ratio,
            100.0,
            "[low, high] with 0 < low <= high <= 100 (width / height)",
        )?;
        require_range(
            "augment.blur_sigma",
            self.blur_sigma,
            50.0,
            "[low, high] with 0 < low <= high <= 50 (pixels)",
        )?;
        within("augment.overlap_tries", self.overlap_tries, 0..=1000, "tries")
    }
}
