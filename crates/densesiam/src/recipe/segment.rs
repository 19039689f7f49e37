//! The recipe of unsupervised segmentation (the paper, section 4): each component of the paper's table 5 is one key of
//! this recipe.

use densesiam_data::views::aligned::AlignedViews;
use densesiam_nn::Architecture;
use densesiam_nn::segment::Settings;
use densesiam_settings::duration::Duration;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of};
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::labels::LabelSettings;
use super::{Beginning, Common, Recipe, RunSettings, Training};

/// A complete segmentation recipe. Its default is the released configuration, for COCO's 27 classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentRecipe {
    /// The tables that every training has.
    pub common: Common,
    /// `[labels]`: how the labelled pictures are laid out, and what each split is used for.
    pub labels: LabelSettings,
    /// `[augment]`: the two views.
    pub augment: AlignedViews,
    /// `[encoder]`: what the encoder begins with.
    pub beginning: Beginning,
    /// `[encoder]`, `[pixsim]`, `[auxiliary]`, `[labelling]`, `[regionsim]`: model and losses.
    pub model: Settings,
    /// `[evaluate]`: when and how it is evaluated.
    pub evaluate: EvaluateSettings,
    /// `[predict]`: how pictures are predicted.
    pub predict: PredictSettings,
}

impl Recipe for SegmentRecipe {
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Segmentation"];

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            labels: tables.read("labels")?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            model: tables.all()?,
            evaluate: tables.read("evaluate")?,
            predict: tables.read("predict")?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        Ok(joined([
            tables_of(&self.common)?,
            table_of("labels", &self.labels)?,
            table_of("augment", &self.augment)?,
            table_of("encoder", &self.beginning)?,
            tables_of(&self.model)?,
            table_of("evaluate", &self.evaluate)?,
            table_of("predict", &self.predict)?,
        ]))
    }

    fn run(&mut self) -> &mut RunSettings {
        &mut self.common.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.common.run.validate()?;
        self.common.data.validate()?;
        self.labels.validate()?;
        self.augment.validate()?;
        self.model.validate()?;
        self.evaluate.validate()?;
        self.predict.validate()?;
        self.common.validate_training()
    }
}

impl Training for SegmentRecipe {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn architecture(&self) -> Architecture {
        self.model.encoder.architecture
    }

    fn beginning(&self) -> &Beginning {
        &self.beginning
    }
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluateSettings {
    /// How often the model is evaluated; it is always evaluated before the first step and after the last.
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

/// `[predict]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictSettings {
    /// Megabytes of pictures that are held at once: those read ahead, those waiting for others of their size, and those
    /// to be written.
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
