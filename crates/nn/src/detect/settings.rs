//! The settings of the detectors. The defaults are those of detectron2's Faster R-CNN C4 for VOC.

use densesiam_geometry::boxes::{Anchors, Matcher};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use crate::encoder::EncoderSettings;

/// The tables of a recipe that a detector reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[detector]`
    pub detector: DetectorSettings,
    /// `[rpn]`
    pub rpn: RpnSettings,
    /// `[roi]`
    pub roi: RoiSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encoder: EncoderSettings { zero_residual: false, ..EncoderSettings::default() },
            detector: DetectorSettings::default(),
            rpn: RpnSettings::default(),
            roi: RoiSettings::default(),
        }
    }
}

impl Settings {
    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let stride = self.encoder.output_stride;
        require(stride == 32, "encoder.output_stride", &stride, "32 for a detector")?;
        self.detector.validate()?;
        self.rpn.validate()?;
        self.roi.validate()
    }
}

/// Which maps a detector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Design {
    /// C4 alone; the encoder's last stage is applied to the values of each box (Ren et al. 2015, He et al. 2016).
    C4,
    /// A feature pyramid of five levels, with heads of their own (Lin et al. 2017).
    Fpn,
}

/// The table `detector`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectorSettings {
    /// Which maps it reads.
    pub design: Design,
    /// Whether it predicts a mask for each box (He et al. 2017); only with a feature pyramid.
    pub masks: bool,
    /// Channels of a pyramid's levels and of its heads' convolutions.
    pub width: usize,
    /// Square roots of the areas of the anchors, in pixels: all at each cell of C4, or one for each level of a pyramid.
    pub anchor_sizes: Vec<f64>,
    /// Heights divided by widths of the anchors.
    pub anchor_ratios: Vec<f64>,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self {
            design: Design::C4,
            masks: false,
            width: 256,
            anchor_sizes: vec![32.0, 64.0, 128.0, 256.0, 512.0],
            anchor_ratios: vec![0.5, 1.0, 2.0],
        }
    }
}

impl DetectorSettings {
    fn validate(&self) -> Result<(), SettingError> {
        let fpn = self.design == Design::Fpn;
        require(fpn || !self.masks, "detector.masks", &self.masks, "false for the design \"c4\"")?;
        within("detector.width", self.width, 1..=4096, "channels")?;
        let list = |values: &[f64], range: std::ops::RangeInclusive<f64>| {
            (1..=16).contains(&values.len()) && values.iter().all(|value| range.contains(value))
        };
        let (sizes, ratios) = (&self.anchor_sizes, &self.anchor_ratios);
        let shown = |values: &[f64]| format!("{values:?}");
        let allowed = "1 to 16 sizes from 1 to 4096 pixels";
        require(list(sizes, 1.0..=4096.0), "detector.anchor_sizes", &shown(sizes), allowed)?;
        let five = "5 sizes for the design \"fpn\", one for each level";
        require(!fpn || sizes.len() == 5, "detector.anchor_sizes", &shown(sizes), five)?;
        let allowed = "1 to 16 ratios from 0.01 to 100";
        require(list(ratios, 0.01..=100.0), "detector.anchor_ratios", &shown(ratios), allowed)
    }

    /// The anchors of each map.
    pub(super) fn anchors(&self) -> Vec<Anchors> {
        let of = |sizes: &[f64]| Anchors { sizes: sizes.to_vec(), ratios: self.anchor_ratios.clone() };
        match self.design {
            Design::C4 => vec![of(&self.anchor_sizes)],
            Design::Fpn => self.anchor_sizes.chunks(1).map(of).collect(),
        }
    }
}

/// The table `rpn`: the network that proposes boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RpnSettings {
    /// Below the first overlap with every object an anchor is background, from the second it is an object, and between them it is
    /// ignored. The best anchors of each object are objects too.
    pub overlaps: [f64; 2],
    /// Anchors of a picture that are learned from.
    pub batch: usize,
    /// The largest share of objects among these.
    pub positive_fraction: f64,
    /// What the differences of centre (x, y) and of size (width, height) are multiplied by.
    pub coding: [f64; 4],
    /// Weights of the losses of class and of box.
    pub weights: [f64; 2],
    /// Proposals that overlap a better one by more than this are left out.
    pub nms_threshold: f64,
    /// The best boxes of each map that are looked at, in training and in evaluation.
    pub pre_nms: [usize; 2],
    /// The proposals of a picture, in training and in evaluation.
    pub post_nms: [usize; 2],
}

impl Default for RpnSettings {
    fn default() -> Self {
        Self {
            overlaps: [0.3, 0.7],
            batch: 256,
            positive_fraction: 0.5,
            coding: [1.0; 4],
            weights: [1.0; 2],
            nms_threshold: 0.7,
            pre_nms: [12_000, 6_000],
            post_nms: [2_000, 1_000],
        }
    }
}

impl RpnSettings {
    /// Which anchors are objects.
    pub(super) fn matcher(&self) -> Matcher {
        matcher(self.overlaps, true)
    }

    fn validate(&self) -> Result<(), SettingError> {
        validate_overlaps("rpn.overlaps", &self.overlaps)?;
        validate_coding("rpn.coding", &self.coding)?;
        validate_weights("rpn.weights", &self.weights)?;
        within("rpn.batch", self.batch, 1..=100_000, "anchors")?;
        within("rpn.positive_fraction", self.positive_fraction, 0.0..=1.0, "of them")?;
        within("rpn.nms_threshold", self.nms_threshold, 0.0..=1.0, "of the common area")?;
        for [pre, post] in [[self.pre_nms[0], self.post_nms[0]], [self.pre_nms[1], self.post_nms[1]]] {
            within("rpn.pre_nms", pre, 1..=1_000_000, "boxes")?;
            within("rpn.post_nms", post, 1..=100_000, "boxes")?;
        }
        Ok(())
    }
}

/// The table `roi`: the second stage, which classifies proposals and moves their edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoiSettings {
    /// Below the first overlap with every object a proposal is background, from the second it is an object, and between them it is
    /// ignored.
    pub overlaps: [f64; 2],
    /// Boxes of a picture that are learned from.
    pub batch: usize,
    /// The largest share of objects among these.
    pub positive_fraction: f64,
    /// What the differences of centre (x, y) and of size (width, height) are multiplied by.
    pub coding: [f64; 4],
    /// Weights of the losses of class, of box and of mask.
    pub weights: [f64; 3],
    /// Bins of a box along a side, in which values are read; 0 for 14 of C4, which the last stage halves, and 7 of a pyramid.
    pub bins: usize,
    /// Boxes that overlap a better one of their class by more than this are left out.
    pub nms_threshold: f64,
    /// Only classes that are more likely than this are detected.
    pub score_threshold: f64,
    /// The most boxes that are detected in a picture.
    pub detections: usize,
}

impl Default for RoiSettings {
    fn default() -> Self {
        Self {
            overlaps: [0.5; 2],
            batch: 512,
            positive_fraction: 0.25,
            coding: [10.0, 10.0, 5.0, 5.0],
            weights: [1.0; 3],
            bins: 0,
            nms_threshold: 0.5,
            score_threshold: 0.05,
            detections: 100,
        }
    }
}

impl RoiSettings {
    /// Which proposals are objects.
    pub(super) fn matcher(&self) -> Matcher {
        matcher(self.overlaps, false)
    }

    /// Bins of a box along a side.
    pub fn bins_of(&self, design: Design) -> i64 {
        match (self.bins, design) {
            (0, Design::C4) => 14,
            (0, Design::Fpn) => 7,
            (bins, _) => bins as i64,
        }
    }

    fn validate(&self) -> Result<(), SettingError> {
        validate_overlaps("roi.overlaps", &self.overlaps)?;
        validate_coding("roi.coding", &self.coding)?;
        validate_weights("roi.weights", &self.weights)?;
        within("roi.bins", self.bins, 0..=64, "bins")?;
        within("roi.batch", self.batch, 1..=100_000, "boxes")?;
        within("roi.positive_fraction", self.positive_fraction, 0.0..=1.0, "of them")?;
        within("roi.nms_threshold", self.nms_threshold, 0.0..=1.0, "of the common area")?;
        within("roi.score_threshold", self.score_threshold, 0.0..=1.0, "as a probability")?;
        within("roi.detections", self.detections, 1..=10_000, "boxes")
    }
}

fn matcher([background, object]: [f64; 2], best: bool) -> Matcher {
    Matcher { background, object, best }
}

fn validate_overlaps(key: &'static str, overlaps: &[f64; 2]) -> Result<(), SettingError> {
    let [background, object] = overlaps;
    let allowed = 0.0 <= *background && background <= object && *object <= 1.0;
    require(allowed, key, &format!("{overlaps:?}"), "two overlaps from 0 to 1, the first no larger")
}

fn validate_coding(key: &'static str, coding: &[f64; 4]) -> Result<(), SettingError> {
    let allowed = coding.iter().all(|factor| (0.001..=1000.0).contains(factor));
    require(allowed, key, &format!("{coding:?}"), "four factors from 0.001 to 1000")
}

fn validate_weights(key: &'static str, weights: &[f64]) -> Result<(), SettingError> {
    let allowed = weights.iter().all(|weight| (0.0..=1000.0).contains(weight));
    require(allowed, key, &format!("{weights:?}"), "weights from 0 to 1000")
}
