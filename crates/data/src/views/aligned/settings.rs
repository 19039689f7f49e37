//! The settings of two aligned views, and their allowed values.

use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use crate::views::photometric::{require_photometric, require_range};

/// How the standard deviation of the blur is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlurDraw {
    /// Uniform between the bounds of `blur_sigma`, as the paper says.
    #[default]
    Intended,
    /// As the released formula works: the magnitude of a number uniform between `2 low - high` and `low`, with the
    /// default bounds between 0 and 1.8.
    Released,
}

/// How the crop box is rounded when it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropRounding {
    /// One continuous box for pixels and features.
    #[default]
    Exact,
    /// Rounded to whole pixels of `base_size` for view 1 and, separately, to whole cells of `size / 4` for the
    /// features. The median distance of their edges is a quarter of a cell, and the largest is more than one cell.
    Released,
}

/// Settings of the two views of segmentation, the table `augment` of a recipe. Defaults: the paper, section 4, after the
/// released configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignedViews {
    /// Shorter side to which a picture is scaled before its centred square is taken, in pixels: the unit of the blur.
    pub base_size: u32,
    /// Side of the square views in pixels, at least 4.
    pub size: u32,
    /// Smallest and largest side of the crop as a share of the frame's side, within `(0, 1]`.
    pub crop_ratio: [f64; 2],
    /// Whether the crop box is rounded.
    pub crop: CropRounding,
    /// Brightness factor uniform in `[max(0, 1 - brightness), 1 + brightness]`.
    pub brightness: f64,
    /// Contrast factor, drawn as the brightness factor.
    pub contrast: f64,
    /// Saturation factor, drawn as the brightness factor.
    pub saturation: f64,
    /// Hue shift uniform in `[-hue, hue]`, in turns of the colour circle, at most 0.5.
    pub hue: f64,
    /// Probability of each of the four colour operations, one draw for each.
    pub jitter_probability: f64,
    /// Probability that a view loses its colours.
    pub grayscale_probability: f64,
    /// Probability that a view is blurred.
    pub blur_probability: f64,
    /// Smallest and largest standard deviation of the Gaussian blur, in pixels at `base_size`.
    pub blur_sigma: [f64; 2],
    /// How the standard deviation is drawn.
    pub blur: BlurDraw,
    /// Probability that view 1 and the features of view 2 are mirrored left to right.
    pub flip_probability: f64,
    /// Whether a picture draws the same parameters in every epoch.
    pub replay: bool,
    /// Whether view 1 is made alone, for a method that takes no other.
    #[serde(skip)]
    pub view_1_alone: bool,
}

impl Default for AlignedViews {
    fn default() -> Self {
        Self {
            base_size: 640,
            size: 320,
            crop_ratio: [0.5, 1.0],
            crop: CropRounding::Exact,
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.3,
            hue: 0.1,
            jitter_probability: 0.8,
            grayscale_probability: 0.2,
            blur_probability: 0.5,
            blur_sigma: [0.1, 2.0],
            blur: BlurDraw::Intended,
            flip_probability: 0.5,
            replay: true,
            view_1_alone: false,
        }
    }
}

impl AlignedViews {
    /// One view of each picture: its whole frame as it is.
    pub fn whole(&self) -> Self {
        Self {
            crop_ratio: [1.0, 1.0],
            jitter_probability: 0.0,
            grayscale_probability: 0.0,
            blur_probability: 0.0,
            flip_probability: 0.0,
            view_1_alone: true,
            ..self.clone()
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.validate_shape()?;
        require_photometric(
            [self.brightness, self.contrast, self.saturation],
            self.hue,
            [
                self.jitter_probability,
                self.grayscale_probability,
                self.blur_probability,
                self.flip_probability,
            ],
        )
    }

    fn validate_shape(&self) -> Result<(), SettingError> {
        let (base_size, size) = (self.base_size, self.size);
        within("augment.base_size", base_size, 4..=8192, "pixels")?;
        within("augment.size", size, 4..=8192, "pixels")?;
        require_range(
            "augment.crop_ratio",
            self.crop_ratio,
            1.0,
            "[low, high] with 0 < low <= high <= 1 (share of the side)",
        )?;
        // Below one cell a rounded box is empty.
        let least = 4.0 / f64::from(size.min(base_size));
        require(
            self.crop == CropRounding::Exact || self.crop_ratio[0] >= least,
            "augment.crop_ratio",
            &format!("[{}, {}]", self.crop_ratio[0], self.crop_ratio[1]),
            "[low, high] with low of at least one cell (4 / size) when augment.crop is \"released\"",
        )?;
        require_range(
            "augment.blur_sigma",
            self.blur_sigma,
            50.0,
            "[low, high] with 0 < low <= high <= 50 (pixels at base_size)",
        )
    }
}
