//! The recipe of pre-training (the paper, section 5.1): every ablation of the paper is one key of it.

use densesiam_data::augment::Augmentation;
use densesiam_engine::optimizer::OptimizerSettings;
use densesiam_nn::densesiam::{EncoderSettings, GlobalSettings, PixSimSettings, RegionSimSettings, Settings};
use densesiam_settings::duration::Duration;
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};

use super::{DataSettings, EncoderRecipe, MonitorSettings, Recipe, RunSettings, TrainSettings};

/// A whole pre-training recipe. Its default is the paper's: ImageNet, ResNet-50, 200 epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PretrainRecipe {
    /// Where and on what.
    pub run: RunSettings,
    /// The pictures.
    pub data: DataSettings,
    /// The two views.
    pub augment: Augmentation,
    /// The encoder and where it starts.
    pub encoder: EncoderRecipe<EncoderSettings>,
    /// SimSiam's branch.
    pub global: GlobalSettings,
    /// Pixel consistency.
    pub pixsim: PixSimSettings,
    /// Region consistency.
    pub regionsim: RegionSimRecipe,
    /// How parameters are stepped.
    pub optimizer: OptimizerSettings,
    /// How long, and what is written when.
    pub train: TrainSettings,
    /// When a run counts as collapsed.
    pub monitor: MonitorSettings,
}

/// `[regionsim]`: RegionSim's settings and its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionSimRecipe {
    /// When RegionSim is switched on (table 4f); before that it costs nothing.
    pub start: Duration,
    /// Everything else about it.
    #[serde(flatten)]
    pub settings: RegionSimSettings,
}

impl Default for RegionSimRecipe {
    fn default() -> Self {
        Self { start: Duration::OfTraining(0.5), settings: RegionSimSettings::default() }
    }
}

impl Recipe for PretrainRecipe {
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Pre-training"];

    fn run(&mut self) -> &mut RunSettings {
        &mut self.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.run.validate()?;
        self.data.validate()?;
        self.augment.validate()?;
        within("augment.size", self.augment.size, 32..=8192, "pixels; the encoder's stride is 32")?;
        self.model().validate()?;
        self.optimizer.validate()?;
        self.train.validate()?;
        self.monitor.validate()
    }
}

impl PretrainRecipe {
    /// The model's part of the recipe. A RegionSim that never starts is none, so that nothing is built for it.
    pub fn model(&self) -> Settings {
        let mut regionsim = self.regionsim.settings.clone();
        if self.regionsim.start == Duration::Never {
            regionsim.weight = 0.0;
        }
        Settings {
            encoder: self.encoder.settings.clone(),
            global: self.global.clone(),
            pixsim: self.pixsim.clone(),
            regionsim,
        }
    }
}
