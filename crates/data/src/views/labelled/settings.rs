//! The settings of labelled crops, and their allowed values.

use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use crate::views::photometric::require_range;

/// Settings of the crops of labelled pictures, the table `augment` of a recipe. Defaults: FCN on Cityscapes with crops of
/// 769 pixels (mmsegmentation).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CropSettings {
    /// Side of the square crops in pixels.
    pub size: u32,
    /// Width and height, in any order, that a picture is scaled to fit into before `ratio`; `[0, 0]` is its own size.
    pub scale: [u32; 2],
    /// Smallest and largest factor of `scale`, drawn uniformly.
    pub ratio: [f64; 2],
    /// The share of the labelled pixels of a crop that one class must stay below, within `(0, 1]`; 1 takes every crop.
    pub max_class_share: f64,
    /// How often the crop is drawn again, at most, if one class has too large a share.
    pub crop_tries: u32,
    /// Probability that a crop is mirrored left to right.
    pub flip_probability: f64,
    /// Probability of each of the four colour operations, one draw for each.
    pub jitter_probability: f64,
    /// What is added to all levels, uniform in `[-brightness, brightness]`, in levels of 255.
    pub brightness: f64,
    /// Factor of all levels, uniform in `[max(0, 1 - contrast), 1 + contrast]`.
    pub contrast: f64,
    /// Factor of the saturation, drawn as that of the contrast.
    pub saturation: f64,
    /// Hue shift, uniform among the steps of two degrees from `-hue` on and below `hue`, in turns of the colour circle,
    /// at most 0.5.
    pub hue: f64,
}

impl Default for CropSettings {
    fn default() -> Self {
        Self {
            size: 769,
            scale: [2049, 1025],
            ratio: [0.5, 2.0],
            max_class_share: 0.75,
            crop_tries: 10,
            flip_probability: 0.5,
            jitter_probability: 0.5,
            brightness: 32.0,
            contrast: 0.5,
            saturation: 0.5,
            hue: 0.1,
        }
    }
}

impl CropSettings {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("augment.size", self.size, 1..=8192, "pixels")?;
        let [width, height] = self.scale;
        let possible = [width, height].iter().all(|side| (1..=16_384).contains(side));
        require(
            possible || self.scale == [0, 0],
            "augment.scale",
            &format!("[{width}, {height}]"),
            "[width, height] of 1 to 16384 pixels, or [0, 0] for the picture's own size",
        )?;
        require_range("augment.ratio", self.ratio, 16.0, "[low, high] with 0 < low <= high <= 16")?;
        let share = self.max_class_share;
        require(share > 0.0 && share <= 1.0, "augment.max_class_share", &share, "above 0, at most 1")?;
        within("augment.crop_tries", self.crop_tries, 0..=1000, "tries")?;
        within("augment.flip_probability", self.flip_probability, 0.0..=1.0, "(a probability)")?;
        within("augment.jitter_probability", self.jitter_probability, 0.0..=1.0, "(a probability)")?;
        within("augment.brightness", self.brightness, 0.0..=255.0, "levels")?;
        within("augment.contrast", self.contrast, 0.0..=255.0, "(a strength)")?;
        within("augment.saturation", self.saturation, 0.0..=255.0, "(a strength)")?;
        within("augment.hue", self.hue, 0.0..=0.5, "turns of the colour circle")
    }
}
