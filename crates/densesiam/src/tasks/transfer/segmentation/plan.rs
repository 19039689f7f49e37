//! Turns the command line into a plan: a recipe of segmentation with labels that is resolved, checked, and printable
//! (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::labelled::{Extent, LabelFinding, LabelSurvey, LabelledSet, ReadingSettings};
use densesiam_data::views::labelled::LabelledCrops;
use densesiam_nn::{ENCODER, Store};

use super::FcnLearner;
use crate::error::Error;
use crate::memory::views_fit;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::segmentation::FcnRecipe;
use crate::recipe::{Common, Recipe};
use crate::run::{Run, TaskNames};

/// What a transfer to segmentation is called, and what its progress line shows.
fn names() -> TaskNames {
    TaskNames {
        name: "transfer",
        method: Model::Fcn.name(),
        encoder: ENCODER,
        shown: vec![
            ("loss", "loss"),
            ("loss_main", "main"),
            ("loss_auxiliary", "auxiliary"),
            ("learning_rate", "lr"),
        ],
    }
}

/// A transfer to segmentation that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: FcnRecipe,
    /// Pictures, machine, length.
    pub run: Run,
    /// The pictures with labels that it learns.
    pub training: Arc<LabelledSet>,
    /// Those on which it is evaluated, if any.
    pub validation: Option<Arc<LabelledSet>>,
    /// Findings about the labels of both.
    doubts: Vec<LabelFinding>,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures, labels or a device that are not available.
    pub fn new(recipe: FcnRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        let Common { train, data, .. } = &recipe.common;
        views_fit(train.batch_size, data.prefetch, &[recipe.augment.size])?;
        let labels = recipe.labels.clone();
        let mut training = None;
        let (recipe, mut run) = Run::new(recipe, names(), |data| {
            let set = labels.open(Path::new(&data.root), &labels.train)?;
            let index = set.index()?;
            training = Some(Arc::new(set));
            Ok(index)
        })?;
        let training = training.ok_or_else(|| Error::Internal("no pictures were asked for".into()))?;
        let validation = validation_set(&recipe)?.map(Arc::new);
        run.classes = training.taxonomy.names().into_iter().map(str::to_owned).collect();
        run.when.score =
            validation.as_ref().map(|_| recipe.evaluate.every.resolve(&run.horizon).unwrap_or(0));
        // The contact sheet is drawn at each evaluation.
        run.when.pictures = None;
        let sets = [Some(&training), validation.as_ref()].into_iter().flatten();
        let doubts = sets.filter_map(|set| LabelSurvey::of(set, &run.limits()).finding()).collect();
        Ok(Self { recipe, run, training, validation, doubts })
    }

    /// What the steps learn, with its model in `store`.
    pub fn learner(&self, store: &Store) -> FcnLearner {
        FcnLearner::new(&self.recipe, self.views(), store, self.run.precision.kind())
    }

    /// How the views of the training are made.
    pub fn views(&self) -> LabelledCrops {
        let (settings, set) = (self.recipe.augment.clone(), Arc::clone(&self.training));
        LabelledCrops { settings, set, limits: self.run.limits() }
    }

    /// How pictures are read for an evaluation.
    pub fn reading(&self) -> ReadingSettings {
        reading(&self.recipe, self.run.workers)
    }
}

/// The pictures on which a segmentation is evaluated, if any.
///
/// # Errors
/// When they are missing or incomplete.
pub fn validation_set(recipe: &FcnRecipe) -> Result<Option<LabelledSet>, Error> {
    let (labels, root) = (&recipe.labels, Path::new(&recipe.common.data.root));
    (!labels.val.is_empty()).then(|| labels.open(root, &labels.val)).transpose()
}

/// How `workers` threads read pictures for an evaluation.
pub fn reading(recipe: &FcnRecipe, workers: usize) -> ReadingSettings {
    let data = &recipe.common.data;
    ReadingSettings {
        extent: Extent::Fitted(recipe.evaluate.scale),
        batch_size: 1,
        workers,
        prefetch_batches: data.prefetch,
        limits: DecodeLimits { max_pixels: data.max_pixels },
        patience: data.patience(),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.run)?;
        writeln!(formatter, "encoder     {}", self.run.encoder())?;
        writeln!(
            formatter,
            "labels      {} classes of {}",
            self.training.taxonomy.classes.len(),
            self.training.name
        )?;
        match &self.validation {
            Some(set) => writeln!(formatter, "evaluation  {} pictures of {}", set.len(), set.name)?,
            None => writeln!(formatter, "evaluation  none: labels.val is empty")?,
        }
        self.doubts.iter().try_for_each(|doubt| writeln!(formatter, "WARNING     {doubt}"))
    }
}
