//! Pre-training: what its steps learn, and what is shown of the results. The loop is in `training.rs`, the mathematics
//! in `densesiam_nn::pretrain`.

pub(crate) mod components;
mod plan;
mod report;
mod sheet;
mod verdict;

use densesiam_data::loader::Batch;
use densesiam_data::regions::Raster;
use densesiam_data::views::beside::{PATCHES, PretrainSample, PretrainViews};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;
use densesiam_geometry::{Fraction, Region};
use densesiam_nn::input::Input;
use densesiam_nn::pretrain::{Inputs, Method, Proposals, RegionInput, Views};
use densesiam_nn::{Group, Step, Store};
use densesiam_random::{Key, Purpose};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use image::RgbImage;
use tch::{Kind, Tensor};

pub use plan::Plan;

use super::learner::{Learner, Observer};
use super::training::train;
use crate::error::Error;
use crate::recipe::pretrain::PretrainRecipe;
use crate::run::Journal;
use sheet::ContactSheet;

/// Pre-trains as planned, in its own run directory, until the end, a signal or a problem.
///
/// # Errors
/// Whatever ends the run early. The state of the last step that was good is then in the run directory.
pub fn pretrain(plan: &Plan, start: Start, voice: &Voice, interrupt: &Interrupt) -> Result<(), Error> {
    plan.recipe.method().fits_batch(plan.recipe.common.train.batch_size, plan.run.group.world())?;
    let store = plan.run.store();
    let mut learner = PretrainLearner::new(&plan.recipe, &store, plan.run.precision.kind());
    let mut state = plan.run.state(store, plan.recipe.method().predictors())?;
    let shown = |learner: &PretrainLearner| Shown { plan, sheet: ContactSheet::new(plan, &learner.input) };
    let learning = (&mut learner, plan.augmentation());
    plan.run.together(|| train(&plan.run, (start, voice, interrupt), learning, shown, &mut state))
}

/// A method and its input, which turns batches into tensors.
pub struct PretrainLearner {
    method: Box<dyn Method>,
    inputs: Inputs,
    input: Input,
    size: u32,
    seed: u64,
    /// Pictures in the batch of all processes.
    batch_size: usize,
    group: Group,
}

impl PretrainLearner {
    /// Builds the method of a recipe in `store`; pictures enter its encoder in `kind`.
    pub fn new(recipe: &PretrainRecipe, store: &Store, kind: Kind) -> Self {
        Self {
            method: recipe.method().build(store),
            inputs: recipe.method().inputs(),
            input: Input::new(kind, store.device()),
            size: recipe.augment.size,
            seed: recipe.common.run.seed,
            batch_size: recipe.common.train.batch_size,
            group: store.group().clone(),
        }
    }

    /// The views, `[B, 3, size, size]`; a third one has half the size.
    fn pixels(&self, views: &[Vec<u8>]) -> Vec<Tensor> {
        let third = self.inputs.regions == Some(RegionInput::Boxes);
        let sizes = [self.size, self.size, self.size / 2];
        let views = views.iter().zip(sizes).take(if third { 3 } else { 2 });
        views.map(|(bytes, size)| self.input.normalised(bytes, [size; 2])).collect()
    }

    /// The patches of each view, `[B, 9, 3, p, p]`, of which there may be none.
    fn patches(&self, views: &[Vec<u8>]) -> Vec<Tensor> {
        let Some(side) = self.inputs.patches else { return Vec::new() };
        let of_view = |patches: &[Vec<u8>]| {
            let patches: Vec<_> =
                patches.iter().map(|bytes| self.input.normalised(bytes, [side; 2])).collect();
            Tensor::stack(&patches, 1)
        };
        views[2..].chunks(PATCHES).map(of_view).collect()
    }

    /// The segments of each view, `[B, size, size]`, of which there may be none.
    fn labels(&self, drawn: &[PretrainSample]) -> Vec<Tensor> {
        self.rasters(drawn, |sample| &sample.labels).into_iter().map(|ids| ids.to_kind(Kind::Int64)).collect()
    }

    /// The salient pixels of each view, `[B, size, size]`, 0 or 1, of which there may be none. Half of 255 is salient (CAST).
    fn saliency(&self, drawn: &[PretrainSample]) -> Vec<Tensor> {
        let salient = |levels: Tensor| levels.ge(128).to_kind(self.input.kind_of_losses());
        self.rasters(drawn, |sample| &sample.saliency).into_iter().map(salient).collect()
    }

    fn rasters(
        &self,
        drawn: &[PretrainSample],
        of: impl Fn(&PretrainSample) -> &Vec<Raster<u8>>,
    ) -> Vec<Tensor> {
        let views = drawn.first().map_or(0, |first| of(first).len());
        let of_view = |view: usize| {
            let bytes: Vec<&[u8]> = drawn.iter().map(|sample| &of(sample)[view].values[..]).collect();
            self.input.levels(&bytes.concat(), [self.size; 2])
        };
        (0..views).map(of_view).collect()
    }
}

/// The boxes of a batch, set by set, of which there may be none.
fn proposals(drawn: &[PretrainSample]) -> Vec<Proposals> {
    let sets = drawn.first().map_or(0, |first| first.boxes.len());
    let region = |part: Fraction| Region { x0: part.x0, y0: part.y0, x1: part.x1, y1: part.y1 };
    let of_set = |set: usize| Proposals {
        boxes: drawn.iter().map(|sample| sample.boxes[set].boxes.map(region)).collect(),
        ids: drawn.iter().map(|sample| sample.boxes[set].ids).collect(),
    };
    (0..sets).map(of_set).collect()
}

impl Learner for PretrainLearner {
    type Augmentation = PretrainViews;

    fn step(&mut self, batch: &Batch<PretrainSample>, now: Now) -> Step {
        let drawn: Vec<_> = batch.drawn.iter().map(|sample| &sample.pair).collect();
        let pixels = self.pixels(&batch.views);
        let proposals = proposals(&batch.drawn);
        let (patches, labels, saliency) =
            (self.patches(&batch.views), self.labels(&batch.drawn), self.saliency(&batch.drawn));
        let cuts: Vec<_> = drawn.iter().map(|pair| pair.geometry().to_vec()).collect();
        let key = Key::new(self.seed, Purpose::Points).epoch(batch.epoch);
        let keys: Vec<_> = batch.samples.iter().map(|&sample| key.sample(sample)).collect();
        let pictures: Vec<_> = drawn.iter().map(|pair| pair.picture.map(f64::from)).collect();
        let share = batch.samples.len() as f64 / self.batch_size as f64;
        let views = Views {
            pixels,
            patches,
            labels,
            saliency,
            cuts: &cuts,
            pictures: &pictures,
            keys: &keys,
            proposals: &proposals,
            share,
        };
        let mut step = self.method.step(&views, now);
        let without_overlap = drawn.iter().filter(|pair| pair.overlap.is_none()).count();
        let redraws: u64 = drawn.iter().map(|pair| u64::from(pair.redraws)).sum();
        let mut counts = [without_overlap as i64, redraws as i64];
        self.group.sum_counts(&mut counts);
        let [without_overlap, redraws] = counts.map(|count| count as u64);
        step.counts.extend([("without_overlap", without_overlap), ("redrawn_views", redraws)]);
        step
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        self.method.follow(now, skip);
    }
}

/// The contact sheet and the page of a pre-training.
struct Shown<'p> {
    plan: &'p Plan,
    sheet: ContactSheet,
}

impl Observer<PretrainLearner> for Shown<'_> {
    fn notice(&self, now: Now) -> Option<&'static str> {
        self.plan.recipe.method().notice(now)
    }

    fn draw(&mut self, learner: &PretrainLearner) -> Option<(&'static str, RgbImage)> {
        Some(("features", self.sheet.draw(&*learner.method)?))
    }

    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error> {
        report::render(self.plan, journal, status)
    }
}
