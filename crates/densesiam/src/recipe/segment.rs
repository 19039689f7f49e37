//! The recipe of unsupervised segmentation (the paper, section 4), by DenseSiam or by a method that it is compared with: each
//! component of the paper's table 5 is one key of this recipe.

use densesiam_data::views::aligned::{AlignedViews, CropRounding};
use densesiam_nn::Architecture;
use densesiam_nn::segment::{Chosen, Reading, SegmentingSettings, densesiam};
use densesiam_settings::duration::Duration;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of};
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::labels::LabelSettings;
use super::{Beginning, Common, Recipe, RunSettings, Training, named_method};

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
    /// `method`, and the tables of its settings: model and losses.
    pub method: Chosen,
    /// `[evaluate]`: when and how it is evaluated.
    pub evaluate: EvaluateSettings,
    /// `[predict]`: how pictures are predicted.
    pub predict: PredictSettings,
}

impl SegmentRecipe {
    /// The settings of the method, whichever it is.
    pub fn method(&self) -> &dyn SegmentingSettings {
        self.method.settings()
    }

    /// The settings of DenseSiam, if that is the method.
    pub fn densesiam(&mut self) -> Option<&mut densesiam::Settings> {
        match &mut self.method {
            Chosen::DenseSiam(settings) => Some(settings),
            _ => None,
        }
    }

    /// How the views are made.
    pub fn views(&self) -> AlignedViews {
        AlignedViews { view_1_alone: self.method().takes_one_view(), ..self.augment.clone() }
    }

    /// How the part of view 2's map that view 1 shows is read.
    pub fn reading(&self) -> Reading {
        match self.augment.crop {
            CropRounding::Exact => Reading::Whole,
            CropRounding::Released => Reading::CutOut,
        }
    }
}

impl Recipe for SegmentRecipe {
    const COMMAND: &'static str = "segment";
    const SECTIONS: &'static [&'static str] =
        &["Keys of both", "Segmentation", "Other methods of segmentation"];

    /// The keys of a method are known only where the recipe names it.
    fn defaults(text: &str, origin: &str, settings: &[String]) -> Result<Self, RecipeError> {
        let method = named_method((text, origin, settings), &Chosen::NAMES, Chosen::named)?;
        Ok(method.map_or_else(Self::default, |method| Self { method, ..Self::default() }))
    }

    fn every_table() -> Result<Table, RecipeError> {
        let methods = Chosen::NAMES.iter().rev().filter_map(|name| Chosen::named(name));
        let tables = methods.map(|method| Self { method, ..Self::default() }.tables());
        let all = tables.collect::<Result<Vec<_>, _>>()?;
        // The first method is the default, and what it says of common tables stays.
        Ok(joined(all))
    }

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            labels: tables.read("labels")?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            method: self.method.read(tables)?,
            evaluate: tables.read("evaluate")?,
            predict: tables.read("predict")?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        let method = Value::String(self.method().name().to_owned());
        Ok(joined([
            Table::from_iter([("method".to_owned(), method)]),
            tables_of(&self.common)?,
            table_of("labels", &self.labels)?,
            table_of("augment", &self.augment)?,
            table_of("encoder", &self.beginning)?,
            self.method.tables()?,
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
        self.method().validate()?;
        if let Chosen::Iic(settings) = &self.method {
            // A displacement beyond the map has nothing to compare.
            let cells = i64::from(self.architecture().sides(self.augment.size)[0]);
            within("iic.radius", settings.iic.radius, 0..=cells - 1, "cells, within the map")?;
        }
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
        self.method().encoder().architecture
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
