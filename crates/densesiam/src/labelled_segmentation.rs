//! A segmentation that was trained with labels, opened for use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use densesiam_data::image::RgbImage;
use densesiam_data::labelled::{LabelledSet, names_listed};
use densesiam_data::opencv::WindowResizer;
use densesiam_engine::checkpoint::Checkpoint;
use densesiam_engine::run_dir::RunLayout;
use densesiam_nn::Group;
use densesiam_nn::fcn::Fcn;
use densesiam_nn::input::Input;
use densesiam_report::pictures::Palette;

use crate::error::Error;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::segmentation::FcnRecipe;
use crate::run::{Contents, Table, locate, opened, workers_of};
use crate::segmentation::pixels::{STRIP_VALUES, categories};
use crate::tasks::transfer::segmentation::{FcnEvaluation, evaluate, inference, reading};

/// A trained network with what is needed to use it.
pub struct LabelledSegmentation {
    /// The recipe that it was trained with, with the settings of the command line applied.
    pub recipe: FcnRecipe,
    /// The names of its classes, by number.
    pub classes: Vec<String>,
    /// The colours of the classes; ours if its run was never evaluated.
    pub palette: Palette,
    /// Steps it was trained for.
    pub step: u64,
    network: Fcn,
    input: Input,
}

impl LabelledSegmentation {
    /// Reads a run directory (its newest checkpoint), or a checkpoint's folder within one.
    ///
    /// # Errors
    /// When there is no such run or checkpoint, or when it does not belong to a segmentation with labels.
    pub fn open(path: &Path, settings: &[String]) -> Result<Self, Error> {
        Self::of(locate(path)?, settings)
    }

    /// As [`LabelledSegmentation::open`], of a run and its checkpoint that were read.
    ///
    /// # Errors
    /// When they do not belong to a segmentation with labels.
    pub fn of((run, checkpoint): (PathBuf, Checkpoint), settings: &[String]) -> Result<Self, Error> {
        let contents = Contents::read(&checkpoint)?;
        if contents.model() != Some(Model::Fcn) {
            let message = format!("{} is no segmentation with labels", run.display());
            return Err(Error::Usage(message));
        }
        let (recipe, network, input) = opened((&run, &checkpoint), settings, |recipe: &FcnRecipe, store| {
            Fcn::new(store, &recipe.model, contents.classes.len() as i64)
        })?;
        let evaluations = Table::read(&RunLayout::new(&run).evaluations())?;
        let colours = evaluations.last_row().and_then(|row| row.get("colours")).cloned().unwrap_or_default();
        Ok(Self {
            classes: contents.classes,
            palette: Palette(serde_json::from_value(colours).unwrap_or_default()),
            step: checkpoint.manifest.step,
            input,
            recipe,
            network,
        })
    }

    /// Scores the network on a labelled set of its classes.
    ///
    /// # Errors
    /// When the set has other classes, or a picture or label map cannot be read.
    pub fn evaluate(&self, set: &Arc<LabelledSet>) -> Result<FcnEvaluation, Error> {
        let Self { recipe, network, input, .. } = self;
        let names = set.taxonomy.names();
        if !names.iter().eq(&self.classes) {
            let (own, other) = (names_listed(&self.classes), names_listed(&names));
            return Err(Error::Usage(format!("{} has the classes {other}, and the network {own}", set.name)));
        }
        let reading = reading(recipe, workers_of(&recipe.common)?);
        evaluate(set, reading, recipe, (network, input), &Group::alone())
    }

    /// The class of each pixel of a picture, row by row. The network sees it as in an evaluation.
    ///
    /// # Errors
    /// When the classes cannot be read from the device.
    pub fn predict(&self, picture: &RgbImage) -> Result<Vec<u16>, Error> {
        let own = [picture.width, picture.height];
        let seen = WindowResizer::default().fitted(picture, self.recipe.evaluate.scale);
        let pictures = self.input.normalised(&seen.pixels, [seen.width, seen.height]);
        let logits = tch::no_grad(|| self.network.logits(&pictures, inference(&self.recipe)));
        categories(&logits, own, STRIP_VALUES)
    }
}
