//! Transfer to segmentation: what its steps learn, and how it is scored. The loop is in `tasks/training.rs`, the mathematics in
//! `densesiam_nn::fcn`.

mod evaluation;
mod plan;

use densesiam_data::loader::Batch;
use densesiam_data::views::labelled::{LabelledCrop, LabelledCrops};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;
use densesiam_nn::fcn::Fcn;
use densesiam_nn::input::Input;
use densesiam_nn::{Predictors, Step, Store};
use densesiam_random::{Key, Purpose};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use tch::{Kind, Tensor};

pub(crate) use evaluation::inference;
pub use evaluation::{FcnEvaluation, evaluate};
pub use plan::{Plan, reading, validation_set};

use super::{measure_statistics, report};
use crate::error::Error;
use crate::recipe::transfer::segmentation::FcnRecipe;
use crate::run::{Journal, Run};
use crate::tasks::learner::{Learner, Observer};
use crate::tasks::training::train;

/// Trains as planned, in its own run directory, until the end, a signal or a problem.
///
/// # Errors
/// Whatever ends the run early. The state of the last step that was good is then in the run directory.
pub fn transfer(plan: &Plan, start: Start, voice: &Voice, interrupt: &Interrupt) -> Result<(), Error> {
    let store = plan.run.store();
    let mut learner = plan.learner(&store);
    let views = learner.views.clone();
    let mut state = plan.run.state(store, Predictors::NONE)?;
    plan.run.together(|| {
        train(&plan.run, (start, voice, interrupt), (&mut learner, views), |_| Scored { plan }, &mut state)
    })
}

/// The network and its input, which turns batches into tensors.
pub struct FcnLearner {
    network: Fcn,
    input: Input,
    views: LabelledCrops,
    seed: u64,
    /// Pictures in the batch of all processes.
    batch_size: usize,
    precise_batches: u64,
}

impl FcnLearner {
    /// Builds the network of a recipe in `store`, for the classes of the set that it learns; pictures enter its encoder in
    /// `kind`.
    pub fn new(recipe: &FcnRecipe, views: LabelledCrops, store: &Store, kind: Kind) -> Self {
        Self {
            network: Fcn::new(store, &recipe.model, views.set.taxonomy.classes.len() as i64),
            input: Input::new(kind, store.device()),
            views,
            seed: recipe.common.run.seed,
            batch_size: recipe.common.train.batch_size,
            precise_batches: recipe.evaluate.precise_batches,
        }
    }

    /// How its views are made.
    pub fn views(&self) -> &LabelledCrops {
        &self.views
    }

    /// The crops of a batch, `[B, 3, S, S]`: 0 where a crop is padding.
    fn pictures(&self, batch: &Batch<LabelledCrop>) -> Tensor {
        let size = self.views.settings.size;
        let pictures = self.input.normalised(&batch.views[0], [size; 2]);
        for (place, crop) in (0..).zip(&batch.drawn) {
            let [width, height] = crop.valid().map(i64::from);
            let beyond = |axis: i64, first: i64| {
                let picture = pictures.select(0, place);
                picture.narrow(axis, first, i64::from(size) - first).zero_()
            };
            let _ = (beyond(1, height), beyond(2, width));
        }
        pictures
    }

    /// The classes of a batch's pixels, `[B, S, S]`.
    fn labels(&self, batch: &Batch<LabelledCrop>) -> Tensor {
        let labels = batch.drawn.iter().map(|crop| crop.labels.as_slice()).collect::<Vec<_>>().concat();
        self.input.levels(&labels, [self.views.settings.size; 2])
    }
}

impl Learner for FcnLearner {
    type Augmentation = LabelledCrops;

    fn step(&mut self, batch: &Batch<LabelledCrop>, _: Now) -> Step {
        let key = |sample: &u64| Key::new(self.seed, Purpose::Dropout).epoch(batch.epoch).sample(*sample);
        let keys: Vec<Key> = batch.samples.iter().map(key).collect();
        let share = batch.samples.len() as f64 / self.batch_size as f64;
        self.network.step(&self.pictures(batch), &self.labels(batch), &keys, share)
    }

    fn finishes(&self) -> bool {
        self.precise_batches > 0
    }

    fn finish(&mut self, run: &Run, store: &Store) -> Result<(), Error> {
        let measure = |batch: &Batch<LabelledCrop>| self.network.measure(&self.pictures(batch));
        measure_statistics((run, store), &self.views, self.precise_batches, measure)
    }
}

/// The scores, the pictures and the page of a segmentation.
struct Scored<'p> {
    plan: &'p Plan,
}

impl Observer<FcnLearner> for Scored<'_> {
    /// Evaluates, prints and records the scores, and draws the contact sheet. A random head is no baseline.
    fn score(&mut self, learner: &FcnLearner, journal: &mut Journal, step: u64) -> Result<(), Error> {
        let (Plan { recipe, run, validation: Some(set), .. }, true) = (self.plan, step > 0) else {
            return Ok(());
        };
        let (network, input) = (&learner.network, &learner.input);
        let evaluation = evaluate(set, self.plan.reading(), recipe, (network, input), &run.group)?;
        if !journal.writes() {
            return Ok(());
        }
        journal.say(&format!("step {step}: {evaluation}"));
        journal.evaluated(step, evaluation.headline(), &evaluation.to_json(step, &set.taxonomy))?;
        let count = recipe.common.train.pictures;
        let sheet = evaluation::sheet(set, self.plan.reading(), recipe, (network, input), count)?;
        sheet.map_or(Ok(()), |sheet| journal.picture("segmentation", step, &sheet))
    }

    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error> {
        report::render(&self.plan.run, journal, status, &report::SEGMENTATION)
    }
}
