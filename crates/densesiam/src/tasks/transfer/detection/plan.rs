//! Turns the command line into a plan: a detection recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::detection::{
    Classes, DetectionReading, DetectionSet, DetectionSurvey, VocPart, coco_split, read_coco, read_voc,
};
use densesiam_data::order::{Part, Schedule};
use densesiam_nn::{ENCODER, Store};

use super::DetectionLearner;
use crate::error::Error;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::detection::{DetectionRecipe, ObjectLayout};
use crate::recipe::{Common, Recipe};
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
            let classes =
                if objects.classes.is_empty() { Classes::Found } else { Classes::All(objects.classes) };
            let root = Path::new(&data.root);
            let set = read_set((root, objects.layout), &objects.train, &classes)?.of_use(masks)?;
            let index = Arc::clone(set.index());
            training = Some(Arc::new(set));
            Ok(index)
        })?;
        let training = training.ok_or_else(|| Error::Internal("no pictures were asked for".into()))?;
        let root = Path::new(&recipe.common.data.root);
        let known = Classes::Among(training.classes.clone());
        let validation = match recipe.objects.val.is_empty() {
            true => None,
            false => Some(Arc::new(read_set((root, recipe.objects.layout), &recipe.objects.val, &known)?)),
        };
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
        DetectionLearner::new(&self.recipe, &self.training, store, self.run.precision.kind())
    }

    /// How pictures are read for an evaluation.
    pub fn reading(&self) -> DetectionReading {
        let Common { data, .. } = &self.recipe.common;
        let evaluate = &self.recipe.evaluate;
        DetectionReading {
            short_side: evaluate.short_side,
            longest_side: evaluate.longest_side,
            batch_size: 1,
            part: Part::WHOLE,
            workers: self.run.workers,
            prefetch_batches: data.prefetch,
            limits: self.run.limits(),
            patience: data.patience(),
        }
    }
}

/// The pictures and objects of some splits together.
fn read_set(
    (root, layout): (&Path, ObjectLayout),
    splits: &[String],
    classes: &Classes,
) -> Result<DetectionSet, Error> {
    if layout == ObjectLayout::Coco {
        let [split] = splits else {
            let message = format!("objects: COCO's layout takes one split at a time, not {splits:?}");
            return Err(Error::Usage(message));
        };
        let [annotations, pictures] = coco_split(root, split);
        return Ok(read_coco(&pictures, &annotations, classes)?);
    }
    let parts = splits.iter().map(|split| split.parse()).collect::<Result<Vec<VocPart>, _>>();
    Ok(read_voc(root, &parts.map_err(|error| Error::Usage(format!("objects: {error}")))?, classes)?)
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
