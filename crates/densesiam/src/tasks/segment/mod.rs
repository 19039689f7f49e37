//! Unsupervised segmentation: what its steps learn, and how it is scored. Training sees no labels; labelled pictures
//! only measure the quality. The loop is in `training.rs`, the mathematics in `densesiam_nn::segment`.

mod absent;
mod classes;
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
use densesiam_nn::pretrain::densesiam::REGIONSIM_STARTS;
use densesiam_nn::segment::{Segmenter, alignment};
use densesiam_nn::{Group, Step, Store};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use tch::Kind;

pub use absent::Absent;
pub use evaluation::{Evaluation, evaluate, pixel_categories};
pub use plan::{Plan, evaluation_settings, labelled_set};

use super::learner::{Learner, Observer};
use super::training::train;
use crate::error::Error;
use crate::recipe::segment::SegmentRecipe;
use crate::run::Journal;
use sheet::ContactSheet;

/// Trains as planned, in its own run directory, until the end, a signal or a problem.
///
/// # Errors
/// Whatever ends the run early. The state of the last step that was good is then in the run directory.
pub fn segment(plan: &Plan, start: Start, voice: &Voice, interrupt: &Interrupt) -> Result<(), Error> {
    let store = plan.run.store();
    let mut learner = SegmentLearner::new(&plan.recipe, plan.categories, &store, plan.run.precision.kind());
    let mut state = plan.run.state(store, plan.recipe.model.predictors())?;
    let scored = |_: &SegmentLearner| {
        let sheet = |set: &Arc<LabelledSet>| (Arc::clone(set), ContactSheet::new(plan, set));
        Scored { plan, validation: plan.validation.as_ref().map(sheet) }
    };
    let learning = (&mut learner, plan.recipe.augment.clone());
    plan.run.together(|| {
        plan.run.same("the labelled pictures", &plan.validation.as_ref().map(|set| set.len()))?;
        train(&plan.run, (start, voice, interrupt), learning, scored, &mut state)
    })
}

/// The model and its input, which turns batches into tensors.
pub struct SegmentLearner {
    model: Segmenter,
    input: Input,
    size: u32,
    /// Side of the pyramid's map.
    cells: usize,
    /// Pictures in the batch of all processes.
    batch_size: usize,
    group: Group,
}

impl SegmentLearner {
    /// Builds the model of a recipe in `store`, for so many pseudo-categories; pictures enter its encoder in `kind`.
    pub fn new(recipe: &SegmentRecipe, categories: i64, store: &Store, kind: Kind) -> Self {
        Self {
            model: Segmenter::new(store, &recipe.model, categories),
            input: Input::new(kind, store.device()),
            size: recipe.augment.size,
            cells: recipe.model.encoder.architecture.sides(recipe.augment.size)[0] as usize,
            batch_size: recipe.common.train.batch_size,
            group: store.group().clone(),
        }
    }
}

impl Learner for SegmentLearner {
    type Augmentation = AlignedViews;

    fn step(&mut self, batch: &Batch<AlignedPair>, now: Now) -> Step {
        let [one, two] = [0, 1].map(|view: usize| self.input.normalised(&batch.views[view], [self.size; 2]));
        let (boxes, flips): (Vec<_>, Vec<_>) =
            batch.drawn.iter().map(|pair| (pair.feature_box, pair.flip)).unzip();
        let align = alignment(&boxes, &flips, self.cells, Kind::Float, one.device());
        let share = batch.samples.len() as f64 / self.batch_size as f64;
        self.model.step([&one, &two], &align, now, share)
    }
}

/// The scores, the contact sheet and the page of a segmentation.
struct Scored<'p> {
    plan: &'p Plan,
    validation: Option<(Arc<LabelledSet>, ContactSheet)>,
}

impl Observer<SegmentLearner> for Scored<'_> {
    fn notice(&self, now: Now) -> Option<&'static str> {
        let model = &self.plan.recipe.model;
        (model.has_regionsim() && now.is_at(model.regionsim.start)).then_some(REGIONSIM_STARTS)
    }

    /// Evaluates, prints and records the scores, and draws the contact sheet.
    fn score(&mut self, learner: &SegmentLearner, journal: &mut Journal, step: u64) -> Result<(), Error> {
        let Some((set, sheet)) = &self.validation else { return Ok(()) };
        let SegmentLearner { model, input, group, .. } = learner;
        let categories = self.plan.categories as usize;
        let evaluation = evaluate(set, self.plan.evaluation(), (model, categories), input, group)?;
        if !journal.writes() {
            return Ok(());
        }
        let when = if step == 0 { "before training".to_owned() } else { format!("step {step}") };
        journal.say(&format!("{when}: {evaluation}"));
        journal.evaluated(step, evaluation.miou(), &evaluation.to_json(step, &set.taxonomy))?;
        match sheet.draw(model, input, &evaluation.matched_classes(step, &set.taxonomy))? {
            Some(drawing) => journal.picture("segmentation", step, &drawing),
            None => Ok(()),
        }
    }

    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error> {
        report::render(self.plan, journal, status)
    }
}
