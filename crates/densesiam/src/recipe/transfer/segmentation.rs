//! The recipe of transfer to segmentation.

use densesiam_data::views::labelled::CropSettings;
use densesiam_nn::Architecture;
use densesiam_nn::fcn::Settings;
use densesiam_settings::duration::Duration;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Model, require_beginning, require_model};
use crate::recipe::labels::LabelSettings;
use crate::recipe::{Beginning, Common, Recipe, RunSettings, TRANSFER, Training};

/// A complete recipe of a fully convolutional network. Its default is the paper's protocol for Cityscapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FcnRecipe {
    /// The tables that every training has.
    pub common: Common,
    /// `[labels]`: how the labelled pictures are laid out, and what each split is used for.
    pub labels: LabelSettings,
    /// `[augment]`: the crops.
    pub augment: CropSettings,
    /// `[encoder]`: what the encoder begins with.
    pub beginning: Beginning,
    /// `[encoder]`, `[fcn]`: the network and its losses.
    pub model: Settings,
    /// `[evaluate]`: when and how it is evaluated.
    pub evaluate: FcnEvaluateSettings,
}

impl Recipe for FcnRecipe {
    const COMMAND: &'static str = TRANSFER;
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Transfer", "Transfer to segmentation"];

    fn defaults(text: &str, origin: &str, settings: &[String]) -> Result<Self, RecipeError> {
        require_model(Model::Fcn, text, origin, settings)?;
        Ok(Self::default())
    }

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            labels: tables.read("labels")?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            model: tables.all()?,
            evaluate: tables.read("evaluate")?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        let model = Value::String(Model::Fcn.name().to_owned());
        Ok(joined([
            Table::from_iter([("model".to_owned(), model)]),
            tables_of(&self.common)?,
            table_of("labels", &self.labels)?,
            table_of("augment", &self.augment)?,
            table_of("encoder", &self.beginning)?,
            tables_of(&self.model)?,
            table_of("evaluate", &self.evaluate)?,
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
        require_beginning(&self.beginning)?;
        self.model.validate()?;
        self.evaluate.validate()?;
        self.common.validate_training()
    }
}

impl Training for FcnRecipe {
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
pub struct FcnEvaluateSettings {
    /// How often the network is evaluated before the last step, after which it always is.
    pub every: Duration,
    /// Width and height, in any order, that pictures are scaled to fit into, in pixels; `[0, 0]` for their own size.
    pub scale: [u32; 2],
    /// Side of the windows that a picture is cut into, whose logits are averaged where they overlap; 0 for whole pictures.
    pub window: u32,
    /// Pixels from one window to the next.
    pub stride: u32,
    /// Batches by which the statistics of batch norm are measured again after the last step; 0 for none.
    pub precise_batches: u64,
}

impl Default for FcnEvaluateSettings {
    fn default() -> Self {
        Self { every: Duration::Never, scale: [2049, 1025], window: 769, stride: 513, precise_batches: 0 }
    }
}

impl FcnEvaluateSettings {
    fn validate(&self) -> Result<(), SettingError> {
        let possible = self.scale == [0, 0] || self.scale.iter().all(|side| (32..=16_384).contains(side));
        let scale = format!("{:?}", self.scale);
        require(possible, "evaluate.scale", &scale, "two lengths of 32 to 16384, or [0, 0]")?;
        require(
            self.window == 0 || (32..=8192).contains(&self.window),
            "evaluate.window",
            &self.window,
            "32 to 8192, or 0 for whole pictures",
        )?;
        within("evaluate.stride", self.stride, 1..=8192, "pixels")?;
        within("evaluate.precise_batches", self.precise_batches, 0..=100_000, "batches")
    }
}
