//! Turns the command line into a plan: a detection recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::detection::{Classes, DetectionReading, DetectionSet, DetectionSurvey, DetectionViews};
use densesiam_data::order::{Part, Schedule};
use densesiam_nn::{ENCODER, Store};

use super::DetectionLearner;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::detection::DetectionRecipe;
use crate::run::{Run, TaskNames};

/// What a transfer to detection is called, and what its progress line shows.
fn names() -> TaskNames {
    TaskNames {
        name: "transfer",
        method: Model::Detector.name(),
        encoder: ENCODER,
        shown: vec![
            ("loss", "loss"),
            ("loss_class", "class"),
            ("loss_box", "box"),
            ("loss_mask", "mask"),
            ("loss_rpn_class", "RPN class"),
            ("loss_rpn_box", "RPN box"),
            ("learning_rate", "lr"),
        ],
    }
}

/// A transfer to detection that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: DetectionRecipe,
    /// Pictures, machine, length.
    pub run: Run,
    /// The pictures with their objects that it learns.
    pub training: Arc<DetectionSet>,
    /// Those on which it is evaluated, if any.
    pub validation: Option<Arc<DetectionSet>>,
    /// What is remarkable about both.
    findings: Vec<String>,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures, annotations or a device that are not available.
    pub fn new(recipe: DetectionRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        let (objects, masks) = (recipe.objects.clone(), recipe.model.detector.masks);
        let mut training = None;
        let (recipe, mut run) = Run::new(recipe, names(), |data| {
            let classes = if objects.classes.is_empty() {
                Classes::Found
            } else {
                Classes::All(objects.classes.clone())
            };
            let root = Path::new(&data.root);
            let set = objects.open(root, &objects.train, &classes)?.of_use(masks)?;
            let index = Arc::clone(set.index());
            training = Some(Arc::new(set));
            Ok(index)
        })?;
        let training = training.ok_or_else(|| Error::Internal("no pictures were asked for".into()))?;
        let validation = validation_set(&recipe, &training.classes)?.map(Arc::new);
        run.schedule = Schedule::Grouped(training.aspects());
        run.classes = training.classes.clone();
        run.annotations = Some(training.checksum());
        run.when.score =
            validation.as_ref().map(|_| recipe.evaluate.every.resolve(&run.horizon).unwrap_or(0));
        run.when.pictures = None;
        let findings = [Some(&training), validation.as_ref()].into_iter().flatten();
        let findings = findings.flat_map(|set| DetectionSurvey::of(set).findings);
        let findings = findings.map(|finding| finding.to_string()).collect();
        Ok(Self { recipe, run, training, validation, findings })
    }

    /// What the steps learn, with its model in `store`.
    pub fn learner(&self, store: &Store) -> DetectionLearner {
        DetectionLearner::new(&self.recipe, self.views(), store, self.run.precision.kind())
    }

    /// How the views of the training are made.
    pub fn views(&self) -> DetectionViews {
        DetectionViews {
            augment: self.recipe.augment.clone(),
            set: Arc::clone(&self.training),
            masks: self.recipe.model.detector.masks,
        }
    }

    /// How pictures are read for an evaluation.
    pub fn reading(&self) -> DetectionReading {
        reading(&self.recipe, self.run.workers)
    }
}

/// The pictures on which a detector of these classes is evaluated, if any.
///
/// # Errors
/// When they are missing or incomplete, or have objects of other classes.
pub fn validation_set(recipe: &DetectionRecipe, classes: &[String]) -> Result<Option<DetectionSet>, Error> {
    let (objects, root) = (&recipe.objects, Path::new(&recipe.common.data.root));
    let open = || objects.open(root, &objects.val, &Classes::Among(classes.to_vec()));
    (!objects.val.is_empty()).then(open).transpose()
}

/// How `workers` threads read pictures for an evaluation.
pub fn reading(recipe: &DetectionRecipe, workers: usize) -> DetectionReading {
    let (data, evaluate) = (&recipe.common.data, &recipe.evaluate);
    DetectionReading {
        short_side: evaluate.short_side,
        longest_side: evaluate.longest_side,
        batch_size: 1,
        part: Part::WHOLE,
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
        writeln!(formatter, "objects     {} of {}", self.training.classes.join(", "), self.training.name)?;
        match &self.validation {
            Some(set) => writeln!(formatter, "evaluation  {} pictures of {}", set.len(), set.name)?,
            None => writeln!(formatter, "evaluation  none: objects.val is empty")?,
        }
        self.findings.iter().try_for_each(|finding| writeln!(formatter, "WARNING     {finding}"))
    }
}
