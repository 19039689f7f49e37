//! Turns the command line into a plan: a segmentation recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::labelled::{
    DataSetError, Extent, LabelFinding, LabelSurvey, LabelledSet, ReadingSettings, training_pictures,
};
use densesiam_data::views::Augmentation;
use densesiam_nn::Store;
use densesiam_nn::segment::{ClusterError, SegmentingSettings};
use densesiam_settings::within;

use super::SegmentLearner;
use crate::error::Error;
use crate::memory::{fits, views_fit};
use crate::recipe::segment::SegmentRecipe;
use crate::recipe::{Common, Recipe};
use crate::run::{Run, TaskNames};

/// What a segmentation by this method is called, and what its progress line shows.
fn names(method: &dyn SegmentingSettings) -> TaskNames {
    let losses = method.losses().iter().map(|loss| (loss.name, loss.short));
    TaskNames {
        name: "segment",
        method: method.name(),
        encoder: densesiam_nn::segment::ENCODER,
        shown: [("loss", "loss")].into_iter().chain(losses).chain([("mIoU", "mIoU")]).collect(),
    }
}

/// A segmentation that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: SegmentRecipe,
    /// Pictures, machine, length.
    pub run: Run,
    /// The pictures with labels that it is evaluated on, if any.
    pub validation: Option<Arc<LabelledSet>>,
    /// A finding about their labels that makes the scores say little, if any.
    pub doubt: Option<LabelFinding>,
    /// Pseudo-categories, `N`.
    pub categories: i64,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures, labels or a device that are not available.
    pub fn new(recipe: SegmentRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        let Common { train, data, .. } = &recipe.common;
        views_fit(train.batch_size, data.prefetch, &recipe.views().sizes())?;
        let (layout, split) = (recipe.labels.layout()?, recipe.labels.train.clone());
        let names = names(recipe.method());
        let (recipe, mut run) = Run::new(recipe, names, |data| {
            Ok(Arc::new(training_pictures(Path::new(&data.root), layout, &split)?))
        })?;
        let validation = labelled_set(&recipe)?.map(Arc::new);
        let classes = validation.as_ref().map_or(0, |set| set.taxonomy.classes.len() as i64);
        let categories = if recipe.labels.categories > 0 { recipe.labels.categories } else { classes };
        if categories == 0 {
            let message = "without labelled pictures the number of pseudo-categories has to be said: labels.categories=27";
            return Err(Error::Usage(message.into()));
        }
        within("labels.categories", categories, 2..=4096, "pseudo-categories")?;
        run.categories = Some(categories);
        clusters_fit(&recipe, &run, categories)?;
        run.when.score = recipe.evaluate.every.resolve(&run.horizon);
        // The contact sheet of a segmentation is drawn at each evaluation.
        run.when.pictures = None;
        let limits = DecodeLimits { max_pixels: recipe.common.data.max_pixels };
        let doubt = validation.as_ref().and_then(|set| LabelSurvey::of(set, &limits).finding());
        Ok(Self { run, validation, doubt, categories, recipe })
    }

    /// The method of the recipe in a new model.
    pub fn learner(&self, store: &Store) -> SegmentLearner {
        SegmentLearner::new(&self.recipe, self.categories, store, self.run.precision.kind())
    }

    /// How it is evaluated.
    pub fn evaluation(&self) -> ReadingSettings {
        evaluation_settings(&self.recipe, self.run.workers)
    }
}

/// Fails if the features that are clustered together are fewer than the clusters, or would fill the memory.
fn clusters_fit(recipe: &SegmentRecipe, run: &Run, categories: i64) -> Result<(), Error> {
    let method = recipe.method();
    let Some((clustering, clusters)) = method.clustering(categories) else { return Ok(()) };
    let cells = u64::from(method.encoder().architecture.sides(recipe.augment.size)[0]);
    let held = clustering.held((cells * cells) as usize) as u64;
    let batches = run.horizon.steps_per_epoch.min(clustering.initial_batches as u64);
    let rows = (batches * run.horizon.batch_size * held) as i64;
    if rows < clusters {
        return Err(ClusterError::TooFew { rows, clusters }.into());
    }
    let bytes = rows as f64 * 4.0 * method.encoder().width as f64 * recipe.views().sizes().len() as f64;
    fits(bytes, "clustering.initial_batches, clustering.sample and train.batch_size")
}

/// How a model of this recipe is evaluated.
pub fn evaluation_settings(recipe: &SegmentRecipe, workers: usize) -> ReadingSettings {
    ReadingSettings {
        extent: Extent::Centred(recipe.evaluate.size),
        batch_size: recipe.evaluate.batch_size,
        workers,
        prefetch_batches: recipe.common.data.prefetch,
        limits: DecodeLimits { max_pixels: recipe.common.data.max_pixels },
        patience: recipe.common.data.patience(),
    }
}

/// The labelled pictures of a recipe. `None` if the recipe asks for none, or if it leaves the layout open and there are
/// none.
///
/// # Errors
/// When the labelled pictures exist but are incomplete.
pub fn labelled_set(recipe: &SegmentRecipe) -> Result<Option<LabelledSet>, Error> {
    let labels = &recipe.labels;
    if labels.val.is_empty() {
        return Ok(None);
    }
    match labels.open(Path::new(&recipe.common.data.root), &labels.val) {
        Ok(set) => Ok(Some(set)),
        Err(Error::DataSet(DataSetError::UnknownLayout { .. })) if labels.layout()?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.run)?;
        writeln!(formatter, "encoder     {}", self.run.encoder())?;
        match &self.validation {
            Some(set) => writeln!(formatter, "evaluation  {} pictures of {}", set.len(), set.name)?,
            None => writeln!(formatter, "evaluation  none: there are no labels")?,
        }
        if let Some(doubt) = &self.doubt {
            writeln!(formatter, "WARNING     {doubt}")?;
        }
        let losses = self.recipe.method().summary(&self.run.horizon, self.categories);
        writeln!(formatter, "losses      {} categories: {losses}", self.categories)
    }
}
