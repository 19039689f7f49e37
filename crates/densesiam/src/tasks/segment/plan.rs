//! Turns the command line into a plan: a segmentation recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::labelled::{
    DataSetError, Extent, LabelFinding, LabelSurvey, LabelledSet, ReadingSettings, training_pictures,
};
use densesiam_settings::within;

use crate::error::Error;
use crate::memory::views_fit;
use crate::recipe::segment::SegmentRecipe;
use crate::recipe::{Common, Recipe};
use crate::run::{Run, TaskNames};

/// What a segmentation is called, and what its progress line shows.
fn names() -> TaskNames {
    TaskNames {
        name: "segment",
        method: "densesiam",
        encoder: densesiam_nn::segment::ENCODER,
        shown: vec![
            ("loss", "loss"),
            ("loss_pixel", "pixel"),
            ("loss_auxiliary", "auxiliary"),
            ("loss_labelling", "labelling"),
            ("loss_region", "region"),
            ("mIoU", "mIoU"),
        ],
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
        views_fit(train.batch_size, data.prefetch, &[recipe.augment.size; 2])?;
        let (layout, split) = (recipe.labels.layout()?, recipe.labels.train.clone());
        let (recipe, mut run) = Run::new(recipe, names(), |data| {
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
        run.when.score = recipe.evaluate.every.resolve(&run.horizon);
        // The contact sheet of a segmentation is drawn at each evaluation.
        run.when.pictures = None;
        let limits = DecodeLimits { max_pixels: recipe.common.data.max_pixels };
        let doubt = validation.as_ref().and_then(|set| LabelSurvey::of(set, &limits).finding());
        Ok(Self { run, validation, doubt, categories, recipe })
    }

    /// How it is evaluated.
    pub fn evaluation(&self) -> ReadingSettings {
        evaluation_settings(&self.recipe, self.run.workers)
    }
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
        let model = &self.recipe.model;
        writeln!(formatter, "encoder     {}", self.run.encoder())?;
        match &self.validation {
            Some(set) => writeln!(formatter, "evaluation  {} pictures of {}", set.len(), set.name)?,
            None => writeln!(formatter, "evaluation  none: there are no labels")?,
        }
        if let Some(doubt) = &self.doubt {
            writeln!(formatter, "WARNING     {doubt}")?;
        }
        let (pixsim, auxiliary) = model.weights(self.categories);
        let start = model.regionsim.start.resolve(&self.run.horizon).filter(|_| model.has_regionsim());
        let regions =
            start.map_or("off".to_owned(), |step| format!("{} from step {step}", model.regionsim.weight));
        writeln!(
            formatter,
            "losses      {} categories: PixSim {pixsim:.4}, auxiliary {auxiliary:.4} of {}, labelling {}, RegionSim {regions}",
            self.categories, model.auxiliary.classes, model.labelling.weight
        )
    }
}
