//! The recipe of transfer to detection.

use std::path::Path;

use densesiam_data::detection::{
    Classes, CocoSplit, DetectionAugment, DetectionSet, VocPart, read_coco, read_voc,
};
use densesiam_nn::Architecture;
use densesiam_nn::detect::Settings;
use densesiam_settings::duration::Duration;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Model, require_beginning, require_model};
use crate::error::Error;
use crate::recipe::{Beginning, Common, Recipe, RunSettings, TRANSFER, Training};

/// A complete recipe of a detector. Its default is Faster R-CNN C4 with the paper's protocol for VOC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionRecipe {
    /// The tables that every training has.
    pub common: Common,
    /// `[objects]`: how the annotated pictures are laid out, and what each split is used for.
    pub objects: ObjectSettings,
    /// `[augment]`: sizes and flips.
    pub augment: DetectionAugment,
    /// `[encoder]`: what the encoder begins with.
    pub beginning: Beginning,
    /// `[encoder]`, `[detector]`, `[rpn]`, `[roi]`: the network and its losses.
    pub model: Settings,
    /// `[evaluate]`: when and how it is evaluated.
    pub evaluate: DetectionEvaluateSettings,
}

impl Recipe for DetectionRecipe {
    const COMMAND: &'static str = TRANSFER;
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Transfer", "Transfer to detection"];

    fn defaults(text: &str, origin: &str, settings: &[String]) -> Result<Self, RecipeError> {
        require_model(Model::Detector, text, origin, settings)?;
        Ok(Self::default())
    }

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            objects: tables.read("objects")?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            model: tables.all()?,
            evaluate: tables.read("evaluate")?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        let model = Value::String(Model::Detector.name().to_owned());
        Ok(joined([
            Table::from_iter([("model".to_owned(), model)]),
            tables_of(&self.common)?,
            table_of("objects", &self.objects)?,
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
        self.objects.validate()?;
        self.augment.validate()?;
        require_beginning(&self.beginning)?;
        self.model.validate()?;
        self.evaluate.validate()?;
        let (masks, metric) = (self.model.detector.masks, self.evaluate.metric);
        let scored = !masks || metric == Metric::Coco;
        require(scored, "evaluate.metric", &format!("{metric:?}"), "coco for a detector of masks")?;
        self.common.validate_training()
    }
}

impl Training for DetectionRecipe {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn architecture(&self) -> Architecture {
        self.model.encoder.architecture
    }

    fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    fn repeats_shapes(&self) -> bool {
        false
    }
}

/// `[objects]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectSettings {
    /// How the pictures and their objects lie.
    pub layout: ObjectLayout,
    /// Splits that are trained on, together: `2007/trainval` in VOCdevkit, `train` in a folder of one set; of COCO one, `train2017`.
    pub train: Vec<String>,
    /// Splits that are evaluated on; empty for none.
    pub val: Vec<String>,
    /// The classes, in order; empty for those that the annotations name.
    pub classes: Vec<String>,
}

impl Default for ObjectSettings {
    fn default() -> Self {
        let (train, val) = (vec!["train".into()], vec!["val".into()]);
        Self { layout: ObjectLayout::Voc, train, val, classes: Vec::new() }
    }
}

impl ObjectSettings {
    /// The pictures and objects of some splits together.
    ///
    /// # Errors
    /// When a split is missing or incomplete, or the classes do not fit.
    pub fn open(&self, root: &Path, splits: &[String], classes: &Classes) -> Result<DetectionSet, Error> {
        if self.layout == ObjectLayout::Coco {
            let [split] = splits else {
                let message = format!("objects: COCO's layout takes one split at a time, not {splits:?}");
                return Err(Error::Usage(message));
            };
            return Ok(read_coco(&CocoSplit::find(root, split)?, classes)?);
        }
        let parts = splits.iter().map(|split| split.parse()).collect::<Result<Vec<VocPart>, _>>();
        Ok(read_voc(root, &parts.map_err(|error| Error::Usage(format!("objects: {error}")))?, classes)?)
    }

    fn validate(&self) -> Result<(), SettingError> {
        let train = format!("{:?}", self.train);
        require(!self.train.is_empty(), "objects.train", &train, "at least one split")
    }
}

/// How pictures and their objects lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectLayout {
    /// `ImageSets/Main/SPLIT.txt`, `Annotations` and `JPEGImages`, perhaps of several years.
    Voc,
    /// Annotations and pictures as [`CocoSplit::find`] finds them.
    Coco,
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionEvaluateSettings {
    /// How often the detector is evaluated before the last step, after which it always is.
    pub every: Duration,
    /// Shorter side that pictures are scaled to, in pixels.
    pub short_side: u32,
    /// The longest side that they may then have; a picture with a longer one is scaled less.
    pub longest_side: u32,
    /// How average precision is computed.
    pub metric: Metric,
    /// Batches by which the statistics of batch norm are measured again after the last step; 0 for none.
    pub precise_batches: u64,
}

/// How average precision is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The mean of precisions at eleven recalls, as of VOC 2007, of scores and boxes that detectron2 has rounded.
    Voc2007,
    /// The area under the curve, as of VOC 2012, of scores and boxes that detectron2 has rounded.
    Voc2012,
    /// COCO's, with its twelve figures.
    Coco,
}

impl Default for DetectionEvaluateSettings {
    fn default() -> Self {
        Self {
            every: Duration::Never,
            short_side: 800,
            longest_side: 1333,
            metric: Metric::Voc2007,
            precise_batches: 200,
        }
    }
}

impl DetectionEvaluateSettings {
    fn validate(&self) -> Result<(), SettingError> {
        within("evaluate.short_side", self.short_side, 32..=8192, "pixels")?;
        within("evaluate.longest_side", self.longest_side, 32..=8192, "pixels")?;
        within("evaluate.precise_batches", self.precise_batches, 0..=100_000, "batches")
    }
}
