//! From what was typed to what will be done: a segmentation recipe resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::evaluation::EvaluationSettings;
use densesiam_data::labelled::{DataSetError, LabelFinding, LabelSurvey, LabelledSet, training_pictures};
use densesiam_data::segment::SegmentLoader;
use densesiam_engine::optimizer::{FixedPredictor, Optimizer};
use densesiam_nn::Store;
use densesiam_nn::segment::Settings;
use densesiam_settings::duration::Duration;

use crate::error::Error;
use crate::import::beginning;
use crate::memory::views_fit;
use crate::recipe::Recipe;
use crate::recipe::segment::SegmentRecipe;
use crate::run::{Facts, Setup, Tables};
use densesiam_settings::keys;

/// A segmentation that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: SegmentRecipe,
    /// Pictures, machine, length.
    pub setup: Setup,
    /// The pictures with labels that it is evaluated on, if any.
    pub validation: Option<Arc<LabelledSet>>,
    /// What about their labels makes scores say little, if anything does.
    pub doubt: Option<LabelFinding>,
    /// The model.
    pub model: Settings,
    /// Steps between evaluations.
    pub evaluate_every: Option<u64>,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// What cannot be, by its key; or that pictures, labels or device cannot be had.
    pub fn new(mut recipe: SegmentRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        views_fit(recipe.train.batch_size, recipe.data.prefetch, recipe.augment.size)?;
        let layout = recipe.labels.layout()?;
        let train = recipe.labels.train.clone();
        let SegmentRecipe { run, data, train: length, monitor, optimizer, regionsim, .. } = &mut recipe;
        let tables = Tables { run, data, train: length, monitor, optimizer, regions_start: regionsim.start };
        let setup = Setup::new(tables, |data| Ok(training_pictures(Path::new(&data.root), layout, &train)?))?;
        let validation = labelled_set(&recipe)?.map(Arc::new);
        let classes = validation.as_ref().map_or(0, |set| set.taxonomy.classes.len() as i64);
        let categories = if recipe.labels.categories > 0 { recipe.labels.categories } else { classes };
        if categories == 0 {
            let message = "without labelled pictures the number of pseudo-categories has to be said: labels.categories=27";
            return Err(Error::Usage(message.into()));
        }
        let model = recipe.model(categories);
        model.validate()?;
        let evaluate_every = recipe.evaluate.every.resolve(&setup.horizon);
        let limits = DecodeLimits { max_pixels: recipe.data.max_pixels };
        let doubt = validation.as_ref().and_then(|set| LabelSurvey::of(set, &limits).finding());
        Ok(Self { setup, validation, doubt, model, evaluate_every, recipe })
    }

    /// Side of the pyramid's map, at stride 4.
    pub fn cells(&self) -> usize {
        self.recipe.augment.size.div_ceil(4) as usize
    }

    /// How it is evaluated.
    pub fn evaluation(&self) -> EvaluationSettings {
        evaluation_settings(&self.recipe, self.setup.workers)
    }

    /// What the run directory records.
    pub fn facts(&self) -> Facts<'_> {
        let recipe = &self.recipe;
        Facts {
            task: "segment",
            run: &recipe.run,
            train: &recipe.train,
            monitor: &recipe.monitor,
            recipe: keys::dump(recipe),
            complete: keys::complete::<SegmentRecipe>,
            root: &recipe.data.root,
            architecture: recipe.encoder.settings.architecture,
            setup: &self.setup,
            shown: &[
                ("loss", "loss"),
                ("loss_pixel", "pixel"),
                ("loss_auxiliary", "auxiliary"),
                ("loss_labelling", "labelling"),
                ("loss_region", "region"),
                ("mIoU", "mIoU"),
            ],
        }
    }

    /// The optimizer of the parameters in `store`.
    ///
    /// # Errors
    /// As [`Setup::optimizer`].
    pub fn optimizer(&self, store: &Store) -> Result<Optimizer, Error> {
        let fixed = match self.recipe.optimizer.fixed_predictor_learning_rate {
            FixedPredictor::None | FixedPredictor::Global => [].as_slice(),
            FixedPredictor::All => &["predictor", "aux_predictor", "kernel_predictor"],
        };
        self.setup.optimizer(&self.recipe.optimizer, store, fixed)
    }

    /// The loader of all batches from `step` on; `known_bad` are the unreadable pictures met before.
    ///
    /// # Errors
    /// As [`Setup::loader`].
    pub fn loader(&self, step: u64, known_bad: &[(u64, String)]) -> Result<SegmentLoader, Error> {
        let seed = self.recipe.run.seed;
        self.setup.loader(self.recipe.augment.clone(), (seed, &self.recipe.data), step, known_bad)
    }
}

/// How a model of this recipe is evaluated.
pub fn evaluation_settings(recipe: &SegmentRecipe, workers: usize) -> EvaluationSettings {
    EvaluationSettings {
        size: recipe.evaluate.size,
        crop: true,
        batch_size: recipe.evaluate.batch_size,
        workers,
        prefetch_batches: recipe.data.prefetch,
        limits: DecodeLimits { max_pixels: recipe.data.max_pixels },
        patience: recipe.data.patience(),
    }
}

/// The labelled pictures of a recipe, or `None` where none are asked for or, with the layout left open, none are there.
///
/// # Errors
/// When they are there and not whole.
pub fn labelled_set(recipe: &SegmentRecipe) -> Result<Option<LabelledSet>, Error> {
    let labels = &recipe.labels;
    if labels.val.is_empty() {
        return Ok(None);
    }
    match labels.open(Path::new(&recipe.data.root), &labels.val) {
        Ok(set) => Ok(Some(set)),
        Err(Error::DataSet(DataSetError::UnknownLayout { .. })) if labels.layout()?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.setup)?;
        let encoder = &self.recipe.encoder;
        writeln!(formatter, "encoder     {}", beginning(encoder.settings.architecture, &encoder.weights))?;
        match &self.validation {
            Some(set) => writeln!(formatter, "evaluation  {} pictures of {}", set.len(), set.name)?,
            None => writeln!(formatter, "evaluation  none: there are no labels")?,
        }
        if let Some(doubt) = &self.doubt {
            writeln!(formatter, "WARNING     {doubt}")?;
        }
        let model = &self.model;
        let (pixsim, auxiliary) = model.weights();
        let start = match (self.recipe.regionsim.start, self.setup.when.regions_start) {
            (Duration::Never, _) | (_, None) => "off".to_owned(),
            (_, Some(step)) => format!("{} from step {step}", model.regionsim.weight),
        };
        writeln!(
            formatter,
            "losses      {} categories: PixSim {pixsim:.4}, auxiliary {auxiliary:.4} of {}, labelling {}, RegionSim {start}",
            model.classes, model.auxiliary.classes, model.labelling.weight
        )
    }
}
