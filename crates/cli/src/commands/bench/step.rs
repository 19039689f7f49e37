//! Times the step that training takes (`densesiam::tasks::training::take_step`), on noise or on a training's pictures.

use std::time::Instant;

use densesiam::error::Error;
use densesiam::memory::views_fit;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{Common, builtin, load};
use densesiam::run::{Run, State};
use densesiam::tasks::learner::{Drawn, Learner};
use densesiam::tasks::pretrain::{self, PretrainLearner};
use densesiam::tasks::segment::{self, SegmentLearner};
use densesiam::tasks::training::take_step;
use densesiam_data::loader::Batch;
use densesiam_data::views::aligned::AlignedPair;
use densesiam_data::views::random::RandomPair;
use densesiam_data::views::{Photometric, ViewParameters};
use densesiam_engine::device::{Precision, resolve_threads, search_convolutions, set_threads};
use densesiam_engine::optimizer::{GroupRule, Optimizer};
use densesiam_geometry::{Fraction, Region, View};
use densesiam_nn::{Architecture, Store};
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::duration::{Duration, Horizon, Now};
use serde_json::json;
use tch::{Device, Kind};

use super::limits::{
    copy_rate, matrix_product_rate, peak_device_memory_megabytes, peak_memory_megabytes, wait_for,
};
use super::{StepArguments, least, median};
use crate::answer::answer_line;

/// The paper's recipe with a batch that fits a small machine, with `settings` applied.
pub(super) fn pretrain_recipe(settings: &[String]) -> Result<PretrainRecipe, Error> {
    let mut all = vec!["train.batch_size=16".to_owned()];
    all.extend_from_slice(settings);
    load("", "the defaults", &all)
}

/// The recipe `camvid_r18` with `settings` applied, and its number of pseudo-categories.
pub(super) fn segment_recipe(settings: &[String]) -> Result<(SegmentRecipe, i64), Error> {
    let text = builtin::find("camvid_r18").unwrap_or_default();
    let recipe: SegmentRecipe = load(text, "camvid_r18", settings)?;
    let categories = if recipe.labels.categories > 0 { recipe.labels.categories } else { 11 };
    Ok((recipe, categories))
}

/// Pictures of pure noise: `count` bytes.
pub(super) fn noise(count: usize, view: u32) -> Vec<u8> {
    let mut stream = Key::new(1, Purpose::Demo).view(view).rng();
    (0..count).map(|_| stream.random()).collect()
}

/// `densesiam bench step`, with RegionSim started.
pub(super) fn pretrain(arguments: &StepArguments) -> Result<(), Error> {
    let mut recipe = pretrain_recipe(&arguments.settings)?;
    if recipe.model.has_regionsim() {
        recipe.model.regionsim.start = Duration::Steps(0);
    }
    let place = Place::new(&recipe.common, recipe.augment.size)?;
    let store = place.store(&recipe.common);
    let mut learner = PretrainLearner::new(&recipe, &store, place.precision.kind());
    let mut state = place.state(&recipe.common, store)?;
    let batch = noisy_batch(&place, overlapping_views());
    let timed = timed_steps(
        (place.device, place.batch),
        (&mut learner, &mut state),
        arguments.steps(),
        batch,
        |_| Ok(()),
    )?;
    print("step", &place, recipe.model.encoder.architecture, &timed, arguments)
}

/// `densesiam bench segment-step`
pub(super) fn segment(arguments: &StepArguments, regions: bool) -> Result<(), Error> {
    let (mut recipe, categories) = segment_recipe(&arguments.settings)?;
    if recipe.model.has_regionsim() {
        recipe.model.regionsim.start = Duration::Steps(if regions { 0 } else { u64::MAX });
    }
    let place = Place::new(&recipe.common, recipe.augment.size)?;
    let store = place.store(&recipe.common);
    let mut learner = SegmentLearner::new(&recipe, categories, &store, place.precision.kind());
    let mut state = place.state(&recipe.common, store)?;
    let batch = noisy_batch(&place, aligned_views());
    let timed = timed_steps(
        (place.device, place.batch),
        (&mut learner, &mut state),
        arguments.steps(),
        batch,
        |_| Ok(()),
    )?;
    print("segment-step", &place, recipe.model.encoder.architecture, &timed, arguments)
}

/// Pictures a second of a pre-training as planned.
pub(in crate::commands) fn pretrain_rate(mut plan: pretrain::Plan) -> Result<f64, Error> {
    // The rate is measured with RegionSim on, as in the longer part of a training.
    if plan.recipe.model.has_regionsim() {
        plan.recipe.model.regionsim.start = Duration::Steps(0);
    }
    let store = plan.run.store();
    let mut learner = PretrainLearner::new(&plan.recipe, &store, plan.run.precision.kind());
    let mut state = plan.run.state(store, plan.recipe.model.predictors())?;
    rate(&plan.run, (&mut learner, plan.augmentation()), &mut state)
}

/// Pictures a second of a segmentation as planned.
pub(in crate::commands) fn segment_rate(mut plan: segment::Plan) -> Result<f64, Error> {
    if plan.recipe.model.has_regionsim() {
        plan.recipe.model.regionsim.start = Duration::Steps(0);
    }
    let store = plan.run.store();
    let mut learner = SegmentLearner::new(&plan.recipe, plan.categories, &store, plan.run.precision.kind());
    let mut state = plan.run.state(store, plan.recipe.model.predictors())?;
    rate(&plan.run, (&mut learner, plan.recipe.augment.clone()), &mut state)
}

/// The number of steps before a rate is measured, and while it is measured.
const TRIAL: (usize, usize) = (1, 3);

/// Pictures a second of steps with the batches of a training.
fn rate<L: Learner>(
    run: &Run,
    (learner, views): (&mut L, L::Augmentation),
    state: &mut State,
) -> Result<f64, Error> {
    let batch_size = run.common.train.batch_size;
    let mut loader = run.loader(views, 0, &[])?;
    let none = || Error::Internal("the loader ended before the trial".into());
    let first = loader.next()?.ok_or_else(none)?;
    let timed = timed_steps((run.device, batch_size), (learner, state), TRIAL, first, |batch| {
        if let Some(next) = loader.next()? {
            loader.recycle(std::mem::replace(batch, next));
        }
        Ok(())
    })?;
    Ok(batch_size as f64 / median(&timed.seconds[0]))
}

/// Where steps run, and how large they are.
struct Place {
    device: Device,
    precision: Precision,
    threads: usize,
    batch: usize,
    size: u32,
}

impl Place {
    fn new(common: &Common, size: u32) -> Result<Self, Error> {
        let (run, batch) = (&common.run, common.train.batch_size);
        views_fit(batch, 1, size)?;
        let device = run.device.resolve()?;
        let (precision, _) = run.precision.resolve(device);
        search_convolutions(device, precision);
        Ok(Self { device, precision, threads: resolve_threads(run.threads), batch, size })
    }

    fn store(&self, common: &Common) -> Store {
        set_threads(self.threads);
        Store::new(Kind::Float, self.device, common.run.seed)
    }

    fn state(&self, common: &Common, store: Store) -> Result<State, Error> {
        let rules = [GroupRule::scheduled("all", "*")];
        let optimizer = Optimizer::new(&common.optimizer, self.batch as u64, &store.parameters(), &rules)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(State { store, optimizer, step: 0 })
    }
}

/// What was measured.
struct Timed {
    /// Seconds of each measured step: total, forward, backward, optimizer. On a CUDA device the total is the mean of
    /// all steps, and the others are the time that the host needs to start the work.
    seconds: [Vec<f64>; 4],
    /// The loss and its parts in the last step.
    losses: Vec<f64>,
}

/// Takes steps as a training does; the first ones are a warm-up. `before` may change the batch before each step; its
/// time counts as part of the step.
fn timed_steps<L: Learner>(
    (device, batch_size): (Device, usize),
    (learner, state): (&mut L, &mut State),
    (warmup, steps): (usize, usize),
    mut batch: Batch<Drawn<L>>,
    mut before: impl FnMut(&mut Batch<Drawn<L>>) -> Result<(), Error>,
) -> Result<Timed, Error> {
    let total_steps = (warmup + steps) as u64;
    let horizon = Horizon { steps_per_epoch: total_steps, batch_size: batch_size as u64, total_steps };
    let learning_rate = state.optimizer.peak_learning_rate();
    let (mut seconds, mut last) = ([const { Vec::new() }; 4], None);
    let mut begun = Instant::now();
    for step in 0..total_steps {
        if step == warmup as u64 {
            wait_for(device);
            begun = Instant::now();
        }
        let start = Instant::now();
        before(&mut batch)?;
        let taken = take_step(learner, state, &batch, Now { step, horizon }, learning_rate);
        if step >= warmup as u64 {
            let [forward, backward, optimizer] = taken.seconds;
            let laps = [start.elapsed().as_secs_f64(), forward, backward, optimizer];
            seconds.iter_mut().zip(laps).for_each(|(all, lap): (&mut Vec<f64>, f64)| all.push(lap));
        }
        last = Some(taken.output);
    }
    if device != Device::Cpu {
        // As in training nobody waits between steps, and no single step can be timed.
        wait_for(device);
        seconds[0] = vec![begun.elapsed().as_secs_f64() / steps as f64];
    }
    let losses = last
        .iter()
        .flat_map(|step| std::iter::once(&step.loss).chain(step.parts.iter().map(|(_, part)| part)));
    let losses = losses.map(|loss| loss.double_value(&[])).collect();
    Ok(Timed { seconds, losses })
}

fn print(
    name: &str,
    place: &Place,
    architecture: Architecture,
    Timed { seconds, losses }: &Timed,
    arguments: &StepArguments,
) -> Result<(), Error> {
    let [step, forward, backward, optimizer] = seconds.each_ref().map(|seconds| median(seconds));
    let with_limits = !arguments.no_limits;
    // Read before the limits are measured, because their memory does not belong to the step.
    let (peak, peak_on_device) = (peak_memory_megabytes(), peak_device_memory_megabytes(place.device));
    let line = json!({
        "bench": name, "program": "densesiam", "architecture": architecture, "size": place.size,
        "batch": place.batch, "precision": place.precision, "device": format!("{:?}", place.device),
        "threads": place.threads, "pictures_per_second": place.batch as f64 / step,
        "seconds": {"step": step, "forward": forward, "backward": backward, "optimizer": optimizer,
                    "minimum": least(&seconds[0])},
        "losses": losses, "peak_memory_megabytes": peak,
        "peak_device_memory_megabytes": peak_on_device,
        "matrix_product_gflops":
            with_limits.then(|| matrix_product_rate(place.precision.kind(), place.device)),
        "copy_gigabytes_per_second": with_limits.then(|| copy_rate(place.device)),
    });
    answer_line(line)
}

/// A batch of two views that show noise, all drawn alike.
fn noisy_batch<D: Clone>(place: &Place, drawn: D) -> Batch<D> {
    let views = [0, 1].map(|view| noise(place.batch * (place.size * place.size * 3) as usize, view));
    Batch {
        step: 0,
        epoch: 0,
        samples: vec![0; place.batch],
        views: views.into(),
        drawn: vec![drawn; place.batch],
    }
}

fn overlapping_views() -> RandomPair {
    let one = View { crop: Region { x0: 0.0, y0: 0.0, x1: 400.0, y1: 300.0 }, flip: false };
    let two = View { crop: Region { x0: 100.0, y0: 50.0, x1: 500.0, y1: 375.0 }, flip: true };
    let views = [one, two].map(|view| ViewParameters { view, photometric: Photometric::IDENTITY });
    RandomPair { views, overlap: one.overlap(&two), redraws: 0 }
}

fn aligned_views() -> AlignedPair {
    let frame = Region { x0: 0.0, y0: 0.0, x1: 640.0, y1: 640.0 };
    let feature_box = Fraction { x0: 0.1, y0: 0.2, x1: 0.8, y1: 0.9 };
    let views = [(feature_box.of(&frame), true), (frame, false)]
        .map(|(crop, flip)| ViewParameters { view: View { crop, flip }, photometric: Photometric::IDENTITY });
    AlignedPair { views, frame, feature_box, flip: true }
}
