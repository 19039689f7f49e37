//! The settings of unsupervised segmentation; each component of the paper's table 5 is one key.

use densesiam_settings::duration::{Duration, Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use crate::losses::Distance;
use crate::pretrain::NamedLoss;
use crate::pretrain::densesiam::{REGIONSIM_STARTS, RegionLoss};
use crate::segment::{Categories, SegmentEncoder, Segmenting, SegmentingSettings, balance};
use crate::step::Predictors;
use crate::store::Store;

/// Model and losses of unsupervised segmentation: the tables of a recipe that this method reads. The number of
/// pseudo-categories depends on the labels, so it is not set here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: SegmentEncoder,
    /// `[pixsim]`
    pub pixsim: SegmentPixSim,
    /// `[auxiliary]`
    pub auxiliary: Auxiliary,
    /// `[labelling]`
    pub labelling: Labelling,
    /// `[regionsim]`
    pub regionsim: SegmentRegionSim,
}

/// Pixel consistency over all positions of the aligned maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentPixSim {
    /// Weight of its loss, on top of the balance with the auxiliary head.
    pub weight: f64,
    /// `D` of eq. 1.
    pub distance: Distance,
}

impl Default for SegmentPixSim {
    fn default() -> Self {
        Self { weight: 1.0, distance: Distance::CrossEntropy }
    }
}

/// The over-clustering head: eq. 1 on more pseudo-categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Auxiliary {
    /// Weight of its loss, on top of the balance; 0 turns it off.
    pub weight: f64,
    /// Its pseudo-categories, `A`.
    pub classes: i64,
    /// Weigh PixSim by `ln A / (ln A + ln N)` and this by `ln N / (ln A + ln N)` (eq. 8).
    pub balance: bool,
}

impl Default for Auxiliary {
    fn default() -> Self {
        Self { weight: 1.0, classes: 128, balance: true }
    }
}

/// The weights of the classes in the cross-entropy against the output's own argmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rebalance {
    /// All alike.
    None,
    /// `count / total` of the batch and view, plain mean: as in the released code, so that frequent classes weigh more.
    Frequency,
    /// `total / (used * count)`: every class that occurs weighs the same in sum ("class-balanced", the paper).
    Inverse,
}

/// Cross-entropy of the projector's output against its own argmax.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labelling {
    /// Weight of its loss; 0 turns it off.
    pub weight: f64,
    /// The weights of the classes in it.
    pub rebalance: Rebalance,
}

impl Default for Labelling {
    fn default() -> Self {
        Self { weight: 1.0, rebalance: Rebalance::Frequency }
    }
}

/// Region consistency over the aligned maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentRegionSim {
    /// When RegionSim is switched on; in the released code for the last 2 of 10 epochs.
    pub start: Duration,
    /// Weight of its loss; 0 turns it off.
    pub weight: f64,
    /// What is minimised.
    pub loss: RegionLoss,
    /// Temperature of eq. 6.
    pub temperature: f64,
    /// Stop the gradient at the targets of eq. 5; the released code does not.
    pub stop_gradient: bool,
}

impl Default for SegmentRegionSim {
    fn default() -> Self {
        Self {
            start: Duration::OfTraining(0.8),
            weight: 0.1,
            loss: RegionLoss::Contrast,
            temperature: 0.1,
            stop_gradient: false,
        }
    }
}

impl Settings {
    /// Whether RegionSim has a loss in this training. If RegionSim never starts, nothing is built for it.
    pub fn has_regionsim(&self) -> bool {
        self.regionsim.weight > 0.0 && self.regionsim.start != Duration::Never
    }

    /// Whether RegionSim has started.
    pub fn regionsim_has_started(&self, now: Now) -> bool {
        self.has_regionsim() && now.is_past(self.regionsim.start)
    }

    /// Weights of PixSim and of the auxiliary head in eq. 8, for `categories` pseudo-categories, `N`.
    pub fn weights(&self, categories: i64) -> (f64, f64) {
        let (pixsim, auxiliary) = (self.pixsim.weight, self.auxiliary.weight);
        if auxiliary == 0.0 || pixsim == 0.0 || !self.auxiliary.balance {
            return (pixsim, auxiliary);
        }
        let [of_few, of_many] = balance(categories, self.auxiliary.classes);
        (pixsim * of_few, auxiliary * of_many)
    }
}

impl SegmentingSettings for Settings {
    fn name(&self) -> &'static str {
        "densesiam"
    }

    fn encoder(&self) -> &SegmentEncoder {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let weight = |key, weight: f64| {
            require(weight >= 0.0 && weight.is_finite(), key, &weight, "a finite number from 0")
        };
        weight("pixsim.weight", self.pixsim.weight)?;
        weight("auxiliary.weight", self.auxiliary.weight)?;
        weight("labelling.weight", self.labelling.weight)?;
        weight("regionsim.weight", self.regionsim.weight)?;
        let some = self.pixsim.weight > 0.0 || self.auxiliary.weight > 0.0 || self.has_regionsim();
        require(some, "pixsim.weight", &0, "a weight above 0 for PixSim, the auxiliary head or RegionSim")?;
        within("auxiliary.classes", self.auxiliary.classes, 2..=4096, "pseudo-categories")?;
        let temperature = self.regionsim.temperature;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "regionsim.temperature", &temperature, "a finite number above 0")
    }

    fn categories(&self) -> Categories {
        Categories::Projector
    }

    /// None of its branches is global.
    fn predictors(&self) -> Predictors {
        Predictors { global: &[], all: &["predictor", "aux_predictor", "kernel_predictor"] }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_pixel",
                short: "pixel",
                title: "PixSim",
                meaning: "agreement of the views",
            },
            NamedLoss {
                name: "loss_auxiliary",
                short: "auxiliary",
                title: "auxiliary",
                meaning: "agreement of the views on more categories",
            },
            NamedLoss {
                name: "loss_labelling",
                short: "labelling",
                title: "labelling",
                meaning: "how undecided the categories are",
            },
            NamedLoss {
                name: "loss_region",
                short: "region",
                title: "RegionSim",
                meaning: "agreement of the regions",
            },
        ]
    }

    fn summary(&self, horizon: &Horizon, categories: i64) -> String {
        let (pixsim, auxiliary) = self.weights(categories);
        let start = self.regionsim.start.resolve(horizon).filter(|_| self.has_regionsim());
        let regions =
            start.map_or("off".to_owned(), |step| format!("{} from step {step}", self.regionsim.weight));
        format!(
            "PixSim {pixsim:.4}, auxiliary {auxiliary:.4} of {}, labelling {}, RegionSim {regions}",
            self.auxiliary.classes, self.labelling.weight
        )
    }

    fn notice(&self, now: Now) -> Option<&'static str> {
        (self.has_regionsim() && now.is_at(self.regionsim.start)).then_some(REGIONSIM_STARTS)
    }

    fn build(&self, store: &Store, categories: i64) -> Box<dyn Segmenting> {
        Box::new(super::Segmenter::new(store, self, categories))
    }
}
