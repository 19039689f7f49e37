//! The settings of the model and its losses. Every ablation of the paper is one key here.

use densesiam_settings::duration::{Duration, Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use super::DenseSiam;
use crate::encoder::EncoderSettings;
use crate::losses::Distance;
use crate::pretrain::{Method, MethodSettings, NamedLoss};
use crate::step::Predictors;
use crate::store::Store;

/// Encoder, global branch, PixSim and RegionSim: the tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[global]`
    pub global: GlobalSettings,
    /// `[pixsim]`
    pub pixsim: PixSimSettings,
    /// `[regionsim]`
    pub regionsim: RegionSimSettings,
}

/// A map of the encoder that the dense losses can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenseFeatures {
    /// The last stage's, as in the paper.
    C5,
    /// That of the stage before: twice the cells along a side, half the channels (ours).
    C4,
}

impl DenseFeatures {
    /// Its place in C2, C3, C4, C5.
    pub fn stage(self) -> usize {
        match self {
            Self::C5 => 3,
            Self::C4 => 2,
        }
    }
}

/// The part of the picture that the global branch pools (the paper's table 4e).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalRegion {
    /// The whole view.
    Whole,
    /// The mean of the features at the grid's points in the overlap; collapses, as the paper says.
    Overlap,
}

/// SimSiam's global branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalSettings {
    /// Weight of its loss in eq. 7.
    pub weight: f64,
    /// What is pooled.
    pub region: GlobalRegion,
    /// Hidden and output channels of the projector; 0 is the encoder's width.
    pub dim: i64,
    /// Hidden channels of the predictor; 0 is a quarter of `dim` (512 for 2048).
    pub predictor_hidden: i64,
}

impl Default for GlobalSettings {
    fn default() -> Self {
        Self { weight: 1.0, region: GlobalRegion::Whole, dim: 0, predictor_hidden: 0 }
    }
}

/// Where the grid is sampled (table 4d).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Projector, predictor, grid: the paper's choice.
    #[serde(rename = "proj_pred_grid")]
    ProjectorPredictorGrid,
    /// Projector, grid, predictor.
    #[serde(rename = "proj_grid_pred")]
    ProjectorGridPredictor,
    /// Grid, projector, predictor.
    #[serde(rename = "grid_proj_pred")]
    GridProjectorPredictor,
}

/// Which points of the overlap are compared (appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointStrategy {
    /// The centres of `K x K` cells.
    RegularGrid,
    /// `K x K` points drawn uniformly.
    Uniform,
    /// `3 K K` points drawn, the three quarters of `K K` that differ most are kept, the rest drawn uniformly.
    MildlyBiased,
    /// `10 K K` points drawn, the `K K` that differ most are kept.
    HeavilyBiased,
}

impl PointStrategy {
    /// `(k, beta)` after PointRend: over-generation factor and share of hard points. The paper's own values were
    /// lost; these are PointRend's.
    pub fn bias(self) -> Option<(usize, f64)> {
        match self {
            Self::RegularGrid | Self::Uniform => None,
            Self::MildlyBiased => Some((3, 0.75)),
            Self::HeavilyBiased => Some((10, 1.0)),
        }
    }
}

/// Which outputs of the two views are paired (appendix A, table A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrespondenceStrategy {
    /// The same point of the picture.
    Location,
    /// The cell whose encoder feature has the largest cosine (after DenseCL).
    FeatureSimilarity,
    /// All cells whose centres are closer than 0.7 of the larger cell's diagonal (after PixPro).
    CoordinateDistance,
    /// Windows of half the overlap's side at a quarter's stride, paired by index (after ReSim).
    CandidateRegions,
}

/// Pixel consistency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PixSimSettings {
    /// Weight of its loss in eq. 7; 0 turns it off (table 4b).
    pub weight: f64,
    /// Points along each side of the grid, `K`; 0 turns all dense losses off (table 4a).
    pub grid: usize,
    /// The map that PixSim and RegionSim compare.
    pub features: DenseFeatures,
    /// `D` of eq. 1.
    pub distance: Distance,
    /// Where the grid is sampled.
    pub order: Order,
    /// Which points of the overlap are compared.
    pub points: PointStrategy,
    /// Which outputs of the two views are paired.
    pub correspondence: CorrespondenceStrategy,
    /// Channels of projector and predictor; also the number of pseudo-categories, `N`.
    pub dim: i64,
}

impl Default for PixSimSettings {
    fn default() -> Self {
        Self {
            weight: 1.0,
            grid: 7,
            features: DenseFeatures::C5,
            distance: Distance::CrossEntropy,
            order: Order::ProjectorPredictorGrid,
            points: PointStrategy::RegularGrid,
            correspondence: CorrespondenceStrategy::Location,
            dim: 512,
        }
    }
}

/// What RegionSim minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionLoss {
    /// Eq. 5 and 6.
    Contrast,
    /// Eq. 1 on the region embeddings (section 3.3 allows it).
    Similarity,
}

/// Region consistency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionSimSettings {
    /// When RegionSim is switched on (table 4f); before that it costs nothing.
    pub start: Duration,
    /// Weight of its loss in eq. 7; 0 turns it off (table 4c).
    pub weight: f64,
    /// What is minimised.
    pub loss: RegionLoss,
    /// Temperature of eq. 6.
    pub temperature: f64,
    /// Stop the gradient at the targets of eq. 5; the released code does not.
    pub stop_gradient: bool,
    /// Channels of projector and predictor.
    pub dim: i64,
}

impl Default for RegionSimSettings {
    fn default() -> Self {
        Self {
            start: Duration::OfTraining(0.5),
            weight: 0.1,
            loss: RegionLoss::Contrast,
            temperature: 0.1,
            stop_gradient: false,
            dim: 512,
        }
    }
}

impl Settings {
    /// Whether PixSim has a loss.
    pub fn has_pixsim(&self) -> bool {
        self.pixsim.weight > 0.0 && self.pixsim.grid > 0
    }

    /// Whether RegionSim has a loss in this training. If RegionSim never starts, nothing is built for it.
    pub fn has_regionsim(&self) -> bool {
        let RegionSimSettings { start, weight, .. } = self.regionsim;
        weight > 0.0 && start != Duration::Never && self.pixsim.grid > 0
    }

    /// Whether RegionSim has started.
    pub fn regionsim_has_started(&self, now: Now) -> bool {
        self.has_regionsim() && now.is_past(self.regionsim.start)
    }

    /// Channels of the encoder's last stage.
    pub fn encoder_channels(&self) -> i64 {
        self.encoder.width()
    }

    /// Channels of the map that the dense losses compare.
    pub fn dense_channels(&self) -> i64 {
        self.encoder.architecture.channels()[self.pixsim.features.stage()]
    }

    /// SimSiam (Chen and He 2021): the global branch alone.
    pub fn without_dense_losses(&self) -> Self {
        let mut settings = self.clone();
        settings.pixsim.weight = 0.0;
        settings.regionsim.weight = 0.0;
        settings
    }

    /// Checks every value and every combination.
    fn check(&self) -> Result<(), SettingError> {
        let (pixsim, regionsim) = (&self.pixsim, &self.regionsim);
        self.encoder.validate()?;
        let weight = |key, weight: f64| {
            require(weight >= 0.0 && weight.is_finite(), key, &weight, "a finite number from 0")
        };
        weight("global.weight", self.global.weight)?;
        weight("pixsim.weight", pixsim.weight)?;
        weight("regionsim.weight", regionsim.weight)?;
        let some_loss = self.global.weight > 0.0 || self.has_pixsim() || self.has_regionsim();
        require(some_loss, "global.weight", &0, "a weight above 0 for at least one of the three losses")?;
        within("global.dim", self.global.dim, 0..=8192, "channels")?;
        within("global.predictor_hidden", self.global.predictor_hidden, 0..=8192, "channels")?;
        within("pixsim.dim", pixsim.dim, 2..=8192, "channels")?;
        within("regionsim.dim", regionsim.dim, 2..=8192, "channels")?;
        within("pixsim.grid", pixsim.grid, 0..=256, "points along a side")?;
        let overlap = self.global.region == GlobalRegion::Overlap;
        require(!overlap || pixsim.grid > 0, "pixsim.grid", &0, "points, for global.region = \"overlap\"")?;
        let temperature = regionsim.temperature;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "regionsim.temperature", &temperature, "a finite number above 0")?;
        self.validate_strategies()
    }

    fn validate_strategies(&self) -> Result<(), SettingError> {
        let pixsim = &self.pixsim;
        let at_points = pixsim.correspondence == CorrespondenceStrategy::Location;
        let on_maps = pixsim.order == Order::ProjectorPredictorGrid;
        let (points, correspondence) =
            (format!("{:?}", pixsim.points), format!("{:?}", pixsim.correspondence));
        require(
            at_points || on_maps,
            "pixsim.correspondence",
            &correspondence,
            "location, or pixsim.order = \"proj_pred_grid\", which has whole maps whose cells can be paired",
        )?;
        let biased = pixsim.points.bias().is_some();
        require(
            !biased || (on_maps && at_points && self.has_pixsim()),
            "pixsim.points",
            &points,
            "regular_grid and uniform; hard points are chosen by PixSim's outputs at locations and need pixsim.weight \
             above 0, pixsim.order = \"proj_pred_grid\" and pixsim.correspondence = \"location\"",
        )
    }
}

/// The message of a run in which RegionSim starts after the first step.
pub const REGIONSIM_STARTS: &str =
    "RegionSim starts: the sum of the losses jumps by its share, and nothing is wrong";

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "densesiam"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.check()
    }

    fn needs_overlap(&self) -> bool {
        self.has_pixsim() || self.has_regionsim() || self.global.region == GlobalRegion::Overlap
    }

    fn predictors(&self) -> Predictors {
        Predictors {
            global: &["global_predictor"],
            all: &["global_predictor", "pixel_predictor", "region_predictor"],
        }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_global",
                short: "global",
                title: "Global loss",
                meaning: "minus the cosine of whole views: 0 unlike, -1 alike",
            },
            NamedLoss {
                name: "loss_pixel",
                short: "pixel",
                title: "PixSim loss",
                meaning: "of corresponding points; it falls slowly",
            },
            NamedLoss {
                name: "loss_region",
                short: "region",
                title: "RegionSim loss",
                meaning: "of corresponding regions; 0 before it starts",
            },
        ]
    }

    fn categories(&self) -> Option<i64> {
        Some(self.pixsim.dim)
    }

    fn summary(&self, horizon: &Horizon) -> String {
        let regions = self.regionsim.start.resolve(horizon).filter(|_| self.has_regionsim());
        let regions = regions.map_or("off".into(), |step| format!("at step {step}"));
        let pixsim = if self.has_pixsim() { format!("{0} x {0}", self.pixsim.grid) } else { "off".into() };
        format!("PixSim {pixsim}, RegionSim {regions}")
    }

    fn notice(&self, now: Now) -> Option<&'static str> {
        (self.has_regionsim() && now.is_at(self.regionsim.start)).then_some(REGIONSIM_STARTS)
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(DenseSiam::new(store, self))
    }
}
