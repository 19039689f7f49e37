//! A trained detector, opened for use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use densesiam_data::detection::{DetectionSet, resized};
use densesiam_data::image::RgbImage;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::checkpoint::Checkpoint;
use densesiam_nn::Group;
use densesiam_nn::detect::{Detected, Detector};
use densesiam_nn::input::Input;

use crate::error::Error;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::detection::DetectionRecipe;
use crate::run::{Contents, locate, opened, workers_of};
use crate::tasks::transfer::detection::{DetectionEvaluation, evaluate, multiple, padded, reading};

/// A trained detector: the network with what is needed to use it.
pub struct ObjectDetection {
    /// The recipe that it was trained with, with the settings of the command line applied.
    pub recipe: DetectionRecipe,
    /// The names of its classes, by number.
    pub classes: Vec<String>,
    /// Steps it was trained for.
    pub step: u64,
    detector: Detector,
    input: Input,
}

impl ObjectDetection {
    /// Reads a run directory (its newest checkpoint), or a checkpoint's folder within one.
    ///
    /// # Errors
    /// When there is no such run or checkpoint, or when it does not belong to a detector.
    pub fn open(path: &Path, settings: &[String]) -> Result<Self, Error> {
        Self::of(locate(path)?, settings)
    }

    /// As [`ObjectDetection::open`], of a run and its checkpoint that were read.
    ///
    /// # Errors
    /// When they do not belong to a detector.
    pub fn of((run, checkpoint): (PathBuf, Checkpoint), settings: &[String]) -> Result<Self, Error> {
        let contents = Contents::read(&checkpoint)?;
        if contents.model() != Some(Model::Detector) {
            let message = format!("{} is no detector; train one with `densesiam transfer`", run.display());
            return Err(Error::Usage(message));
        }
        let (recipe, detector, input) =
            opened((&run, &checkpoint), settings, |recipe: &DetectionRecipe, store| {
                Detector::new(store, &recipe.model, contents.classes.len())
            })?;
        Ok(Self { classes: contents.classes, step: checkpoint.manifest.step, input, recipe, detector })
    }

    /// Scores the detector on a set whose classes are its own.
    ///
    /// # Errors
    /// When a picture cannot be read.
    pub fn evaluate(&self, set: &Arc<DetectionSet>) -> Result<DetectionEvaluation, Error> {
        let Self { recipe, detector, input, .. } = self;
        let reading = reading(recipe, workers_of(&recipe.common)?);
        evaluate(set, &reading, recipe, (detector, input), (&Group::alone(), self.step))
    }

    /// The objects in a picture, by falling score, in its pixels. The detector sees it at the evaluation's size.
    ///
    /// # Errors
    /// A fault of the program, because a decoded picture can be resized.
    pub fn detect(&self, picture: &RgbImage) -> Result<Vec<Detected>, Error> {
        let own = [picture.width, picture.height];
        let evaluate = &self.recipe.evaluate;
        let seen = resized(own, evaluate.short_side, evaluate.longest_side);
        let small = resize_to(picture, seen[0], seen[1], &mut ResizeScratch::default())
            .map_err(|error| Error::Internal(error.to_string()))?;
        let multiple = multiple(&self.recipe.model);
        let whole = seen.map(|side| side.next_multiple_of(multiple));
        let pictures = padded(&self.input, [small.pixels.as_slice()].into_iter(), &[seen], whole);
        let found = self.detector.detect(&pictures, &[seen]).into_iter().flatten();
        Ok(found.filter_map(|found| found.resized(seen, own)).collect())
    }
}
