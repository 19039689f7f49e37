//! Unsupervised segmentation: what its steps learn, and how it is scored. Training sees no labels; labelled pictures
//! only measure the quality. The loop is in `training.rs`, the mathematics in `densesiam_nn::segment`.

mod absent;
mod classes;
pub(super) mod clusters;
mod cost;
mod evaluation;
mod plan;
mod report;
mod sheet;
mod verdict;

use std::sync::Arc;

use densesiam_data::labelled::LabelledSet;
use densesiam_data::loader::Batch;
use densesiam_data::views::aligned::{AlignedPair, AlignedViews};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;
use densesiam_nn::input::Input;
use densesiam_nn::segment::{Reading, Segmenting, Views, alignment};
use densesiam_nn::{Step, Store};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use serde_json::json;
use tch::Kind;

pub use absent::Absent;
pub use cost::Cost;
pub use evaluation::{Evaluation, evaluate, pixel_categories};
pub use plan::{Plan, evaluation_settings, labelled_set};

use super::learner::{Learner, Observer};
use super::training::train;
use crate::error::Error;
use crate::recipe::segment::SegmentRecipe;
use crate::run::{Journal, Run, State, Stopwatch, Trouble};
use sheet::ContactSheet;

/// Trains as planned, in its own run directory, until the end, a signal or a problem.
///
/// # Errors
/// Whatever ends the run early. The state of the last step that was good is then in the run directory.
pub fn segment(plan: &Plan, start: Start, voice: &Voice, interrupt: &Interrupt) -> Result<(), Error> {
    let store = plan.run.store();
    let mut learner = plan.learner(&store);
    let views = learner.views.clone();
    let mut state = plan.run.state(store, plan.recipe.method().predictors())?;
    let scored = |_: &SegmentLearner| {
        let sheet = |set: &Arc<LabelledSet>| (Arc::clone(set), ContactSheet::new(plan, set));
        Scored { plan, validation: plan.validation.as_ref().map(sheet) }
    };
    let learning = (&mut learner, views);
    plan.run.together(|| {
        plan.run.same("the labelled pictures", &plan.validation.as_ref().map(|set| set.len()))?;
        train(&plan.run, (start, voice, interrupt), learning, scored, &mut state)
    })
}

/// A method and its input, which turns batches into tensors.
pub struct SegmentLearner {
    model: Box<dyn Segmenting>,
    input: Input,
    views: AlignedViews,
    /// Side of the pyramid's map.
    cells: usize,
    reading: Reading,
    /// Whether the method clusters the features of all pictures.
    clusters: bool,
    /// The views of a batch that was labelled, until its step.
    labelled: Option<Views>,
    /// Pictures in the batch of all processes.
    batch_size: usize,
}

impl SegmentLearner {
    /// Builds the method of a recipe in `store`, for so many pseudo-categories; pictures enter its encoder in `kind`.
    pub fn new(recipe: &SegmentRecipe, categories: i64, store: &Store, kind: Kind) -> Self {
        let method = recipe.method();
        Self {
            model: method.build(store, categories),
            input: Input::new(kind, store.device()),
            views: recipe.views(),
            cells: method.encoder().architecture.sides(recipe.augment.size)[0] as usize,
            reading: recipe.reading(),
            clusters: method.clustering(categories).is_some(),
            labelled: None,
            batch_size: recipe.common.train.batch_size,
        }
    }

    /// How its views are made.
    pub fn views(&self) -> &AlignedViews {
        &self.views
    }

    fn views_of(&self, batch: &Batch<AlignedPair>) -> Views {
        let pixels = batch.views.iter().map(|view| self.input.normalised(view, [self.views.size; 2]));
        let (boxes, flips): (Vec<_>, Vec<_>) =
            batch.drawn.iter().map(|pair| (pair.feature_box, pair.flip)).unzip();
        let align = || {
            let (cells, device) = ((self.cells, self.reading), self.input.device());
            alignment(&boxes, &flips, cells, Kind::Float, device)
        };
        Views {
            pixels: pixels.collect(),
            align: (batch.views.len() > 1).then(align),
            share: batch.samples.len() as f64 / self.batch_size as f64,
        }
    }
}

impl Learner for SegmentLearner {
    type Augmentation = AlignedViews;

    /// Clusters the features of all pictures before the first step of an epoch, if the method does.
    fn prepare(
        &mut self,
        run: &Run,
        state: &mut State,
        interrupt: &Interrupt,
        now: Now,
    ) -> Result<Vec<(&'static str, f64)>, Trouble> {
        let begins = now.step.is_multiple_of(run.horizon.steps_per_epoch);
        if !begins || !self.clusters {
            return Ok(Vec::new());
        }
        clusters::cluster_epoch(self, run, state, interrupt)
    }

    fn label(&mut self, batch: &Batch<AlignedPair>) -> bool {
        if !self.clusters {
            return false;
        }
        let views = self.views_of(batch);
        self.model.label(&views);
        self.labelled = Some(views);
        true
    }

    fn step(&mut self, batch: &Batch<AlignedPair>, now: Now) -> Step {
        let views = self.labelled.take().unwrap_or_else(|| self.views_of(batch));
        self.model.step(&views, now)
    }

    fn finishes(&self) -> bool {
        self.clusters
    }

    fn finish(&mut self, run: &Run, _store: &Store) -> Result<(), Error> {
        match clusters::cluster_whole_pictures(self, run) {
            Ok(_) => Ok(()),
            Err(Trouble::NoPictures(error)) => Err(error.into()),
            Err(Trouble::NoClusters(error)) => Err(error.into()),
            Err(Trouble::Elsewhere(why)) => Err(Error::Elsewhere(why)),
            Err(trouble) => Err(Error::Internal(trouble.to_string())),
        }
    }
}

/// The scores, the contact sheet and the page of a segmentation.
struct Scored<'p> {
    plan: &'p Plan,
    validation: Option<(Arc<LabelledSet>, ContactSheet)>,
}

impl Observer<SegmentLearner> for Scored<'_> {
    fn notice(&self, now: Now) -> Option<&'static str> {
        self.plan.recipe.method().notice(now)
    }

    /// Evaluates, prints and records the scores, and draws the contact sheet.
    fn score(&mut self, learner: &SegmentLearner, journal: &mut Journal, step: u64) -> Result<(), Error> {
        let Some((set, sheet)) = &self.validation else { return Ok(()) };
        let (model, input) = (&*learner.model, &learner.input);
        let categories = self.plan.categories as usize;
        let mut watch = Stopwatch::start();
        let evaluation =
            evaluate(set, self.plan.evaluation(), (model, categories), input, &self.plan.run.group)?;
        let seconds = watch.lap();
        if !journal.writes() {
            return Ok(());
        }
        let when = if step == 0 { "before training".to_owned() } else { format!("step {step}") };
        journal.say(&format!("{when}: {evaluation}"));
        let mut row = evaluation.to_json(step, &set.taxonomy);
        row["seconds"] = json!(seconds);
        journal.evaluated(step, evaluation.miou(), &row)?;
        match sheet.draw(model, input, &evaluation.matched_classes(step, &set.taxonomy))? {
            Some(drawing) => journal.picture("segmentation", step, &drawing),
            None => Ok(()),
        }
    }

    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error> {
        report::render(self.plan, journal, status)
    }
}
