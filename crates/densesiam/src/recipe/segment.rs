//! The recipe of unsupervised segmentation (the paper, section 4): each component of the paper's table 5 is one key of it.

use densesiam_data::segment::SegmentAugmentation;
use densesiam_engine::optimizer::OptimizerSettings;
use densesiam_nn::segment::{
    Auxiliary, Labelling, SegmentEncoder, SegmentPixSim, SegmentRegionSim, Settings,
};
use densesiam_settings::duration::Duration;
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};

use super::labels::LabelSettings;
use super::{DataSettings, EncoderRecipe, MonitorSettings, Recipe, RunSettings, TrainSettings};

/// A whole segmentation recipe. Its default is the released configuration, for COCO's 27 classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentRecipe {
    /// Where and on what.
    pub run: RunSettings,
    /// The pictures.
    pub data: DataSettings,
    /// How the labelled pictures lie, and which are for what.
    pub labels: LabelSettings,
    /// The two views.
    pub augment: SegmentAugmentation,
    /// The encoder and where it starts.
    pub encoder: EncoderRecipe<SegmentEncoder>,
    /// Pixel consistency.
    pub pixsim: SegmentPixSim,
    /// The over-clustering head.
    pub auxiliary: Auxiliary,
    /// Cross-entropy against the own argmax.
    pub labelling: Labelling,
    /// Region consistency.
    pub regionsim: SegmentRegionRecipe,
    /// How parameters are stepped.
    pub optimizer: OptimizerSettings,
    /// How long, and what is written when.
    pub train: TrainSettings,
    /// When and how it is evaluated.
    pub evaluate: EvaluateSettings,
    /// How pictures are predicted.
    pub predict: PredictSettings,
    /// When a run counts as collapsed.
    pub monitor: MonitorSettings,
}

/// `[regionsim]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentRegionRecipe {
    /// When RegionSim is switched on; as released the last 2 of 10 epochs.
    pub start: Duration,
    /// Everything else about it.
    #[serde(flatten)]
    pub settings: SegmentRegionSim,
}

impl Default for SegmentRegionRecipe {
    fn default() -> Self {
        Self { start: Duration::OfTraining(0.8), settings: SegmentRegionSim::default() }
    }
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluateSettings {
    /// How often; before the first step and after the last it is always done.
    pub every: Duration,
    /// Shorter side of the pictures, of which the centred square is taken, in pixels.
    pub size: u32,
    /// Pictures at once.
    pub batch_size: usize,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self { every: Duration::Epochs(1.0), size: 320, batch_size: 32 }
    }
}

impl EvaluateSettings {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("evaluate.size", self.size, 1..=8192, "pixels")?;
        within("evaluate.batch_size", self.batch_size, 1..=4096, "pictures")
    }
}

impl Recipe for SegmentRecipe {
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Segmentation"];

    fn run(&mut self) -> &mut RunSettings {
        &mut self.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.run.validate()?;
        self.data.validate()?;
        self.labels.validate()?;
        self.augment.validate()?;
        // As many categories as there are classes, which the labelled pictures say: two stand for them here.
        self.model(self.labels.categories.max(2)).validate()?;
        self.optimizer.validate()?;
        self.train.validate()?;
        self.evaluate.validate()?;
        self.predict.validate()?;
        self.monitor.validate()
    }
}

/// `[predict]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictSettings {
    /// Megabytes of pictures that are held at once: read ahead, waiting for others of their size, and to be written.
    pub memory: usize,
}

impl Default for PredictSettings {
    fn default() -> Self {
        Self { memory: 1024 }
    }
}

impl PredictSettings {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("predict.memory", self.memory, 1..=1 << 20, "megabytes")
    }
}

impl SegmentRecipe {
    /// The model's part of the recipe, for so many pseudo-categories. A RegionSim that never starts is none.
    pub fn model(&self, categories: i64) -> Settings {
        let mut regionsim = self.regionsim.settings.clone();
        if self.regionsim.start == Duration::Never {
            regionsim.weight = 0.0;
        }
        Settings {
            classes: categories,
            encoder: self.encoder.settings.clone(),
            pixsim: self.pixsim.clone(),
            auxiliary: self.auxiliary.clone(),
            labelling: self.labelling.clone(),
            regionsim,
        }
    }
}
