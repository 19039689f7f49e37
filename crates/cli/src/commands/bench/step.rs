//! Times the step that training takes (`densesiam::tasks::training::take_step`), on noise or on a training's pictures.

use std::time::Instant;

use densesiam::error::Error;
use densesiam::memory::views_fit;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::Model;
use densesiam::recipe::{Common, Training, builtin, find, load};
use densesiam::run::{Run, State, exchange, unless_lost};
use densesiam::tasks::learner::{Drawn, Learner};
use densesiam::tasks::pretrain::{self, PretrainLearner};
use densesiam::tasks::segment::{self, SegmentLearner};
use densesiam::tasks::training::take_step;
use densesiam::tasks::transfer::{detection, segmentation};
use densesiam_data::loader::Batch;
use densesiam_data::order::Part;
use densesiam_data::views::aligned::AlignedPair;
use densesiam_data::views::random::RandomPair;
use densesiam_data::views::{Augmentation, Photometric, ViewParameters};
use densesiam_engine::device::{
    Precision, device_of_process, search_convolutions, set_threads, threads_of_each,
};
use densesiam_engine::memory;
use densesiam_engine::optimizer::{GroupRule, Optimizer};
use densesiam_geometry::{Fraction, Region, View};
use densesiam_nn::{Architecture, Group, Predictors, Store};
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::duration::{Duration, Horizon, Now};
use serde_json::json;
use tch::{Device, Kind};

use super::limits::{copy_rate, matrix_product_rate, sum_seconds, wait_for};
use super::{StepArguments, least, median};
use crate::answer::answer_line;
use crate::commands::processes::{self, Processes};

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
    let processes = processes::start(&arguments.processes)?;
    let mut recipe = pretrain_recipe(&arguments.settings)?;
    with_regionsim(&mut recipe);
    let method = recipe.method();
    let place = Place::new(&recipe, recipe.augment.size, processes.as_ref())?;
    method.fits_batch(recipe.common.train.batch_size, place.group.world())?;
    if method.inputs().patches.is_some() || method.inputs().regions.is_some() {
        return Err(Error::Usage(format!(
            "bench step makes two views; method = {} needs more",
            method.name()
        )));
    }
    let learner = |store: &Store| PretrainLearner::new(&recipe, store, place.precision.kind());
    bench("step", &place, learner, &overlapping_views().into(), arguments)
}

/// `densesiam bench segment-step`
pub(super) fn segment(arguments: &StepArguments, regions: bool) -> Result<(), Error> {
    let processes = processes::start(&arguments.processes)?;
    let (mut recipe, categories) = segment_recipe(&arguments.settings)?;
    if let Some(settings) = recipe.densesiam() {
        start_at(&mut settings.regionsim.start, if regions { 0 } else { u64::MAX });
    }
    let place = Place::new(&recipe, recipe.augment.size, processes.as_ref())?;
    let learner = |store: &Store| SegmentLearner::new(&recipe, categories, store, place.precision.kind());
    bench("segment-step", &place, learner, &aligned_views(), arguments)
}

/// `densesiam bench transfer-step`
pub(super) fn transfer(recipe: &str, arguments: &StepArguments) -> Result<(), Error> {
    let settings = &arguments.settings;
    match Model::of(recipe, settings)? {
        Model::Fcn => {
            let plan = segmentation::Plan::new(find(recipe, settings)?)?;
            let place = Place::new(&plan.recipe, plan.recipe.augment.size, None)?;
            let store = plan.run.store();
            let learner = plan.learner(&store);
            let views = learner.views().clone();
            on_first_batch(&place, &plan.run, (learner, views), store, arguments)
        }
        Model::Detector => {
            let plan = detection::Plan::new(find(recipe, settings)?)?;
            let size = plan.recipe.augment.short_sides.first().copied().unwrap_or_default();
            let place = Place::new(&plan.recipe, size, None)?;
            let store = plan.run.store();
            let learner = plan.learner(&store);
            let views = learner.views().clone();
            on_first_batch(&place, &plan.run, (learner, views), store, arguments)
        }
    }
}

/// Measures the steps of a transfer on its first batch, which is read before, and prints the times.
fn on_first_batch<L: Learner>(
    place: &Place,
    run: &Run,
    (mut learner, views): (L, L::Augmentation),
    store: Store,
    arguments: &StepArguments,
) -> Result<(), Error> {
    let mut state = run.state(store, Predictors::NONE)?;
    let batch = first_batch(run, views)?;
    let whole = (run.device, run.common.train.batch_size);
    let steps = (arguments.warmup, arguments.steps);
    let times = timed_steps(whole, (&mut learner, &mut state), steps, batch, |_| Ok(()))?;
    print("transfer-step", place, &times, None, arguments)
}

/// The first batch of a training, with the views that it draws.
fn first_batch<A: Augmentation>(run: &Run, views: A) -> Result<Batch<A::Drawn>, Error> {
    let none = || Error::Internal("the loader ended before the first batch".into());
    run.loader(views, 0..1, &[])?.next()?.ok_or_else(none)
}

/// `densesiam bench detect`
pub(super) fn detect(recipe: &str, arguments: &StepArguments) -> Result<(), Error> {
    let plan = detection::Plan::new(find(recipe, &arguments.settings)?)?;
    let size = plan.recipe.augment.short_sides.first().copied().unwrap_or_default();
    let place = Place::new(&plan.recipe, size, None)?;
    let learner = plan.learner(&plan.run.store());
    let batch = first_batch(&plan.run, learner.views().clone())?;
    let mut found = 0;
    let mut seconds = Vec::new();
    for _ in 0..arguments.warmup + arguments.steps {
        let start = Instant::now();
        found = learner.detections(&batch);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let seconds = &seconds[arguments.warmup..];
    let (batch_size, peak) = (place.common.train.batch_size, memory::peak_megabytes());
    answer_line(json!({
        "bench": "detect", "program": "densesiam", "architecture": place.architecture, "size": place.size,
        "batch": batch_size, "precision": place.precision, "device": format!("{:?}", place.device),
        "threads": place.threads, "pictures_per_second": batch_size as f64 / median(seconds),
        "seconds": {"detect": median(seconds), "minimum": least(seconds)}, "detections": found,
        "peak_memory_megabytes": peak,
        "peak_device_memory_megabytes": memory::peak_device_megabytes(place.device),
    }))
}

/// Pictures a second of a pre-training as planned.
pub(in crate::commands) fn pretrain_rate(
    mut plan: pretrain::Plan,
    processes: Option<&Processes>,
) -> Result<f64, Error> {
    processes::join(&mut plan.run, processes, "trial")?;
    // The rate is measured with RegionSim on, as in the longer part of a training.
    with_regionsim(&mut plan.recipe);
    let store = plan.run.store();
    let learner = PretrainLearner::new(&plan.recipe, &store, plan.run.precision.kind());
    let state = plan.run.state(store, plan.recipe.method().predictors())?;
    rate(&plan.run, (learner, plan.augmentation()), state)
}

/// Pictures a second of a segmentation as planned, with RegionSim on.
pub(in crate::commands) fn segment_rate(
    mut plan: segment::Plan,
    processes: Option<&Processes>,
) -> Result<f64, Error> {
    processes::join(&mut plan.run, processes, "trial")?;
    if let Some(settings) = plan.recipe.densesiam() {
        start_at(&mut settings.regionsim.start, 0);
    }
    let store = plan.run.store();
    let learner = plan.learner(&store);
    let views = learner.views().clone();
    let state = plan.run.state(store, plan.recipe.method().predictors())?;
    rate(&plan.run, (learner, views), state)
}

/// Pictures a second of a transfer to segmentation as planned.
pub(in crate::commands) fn fcn_rate(
    mut plan: segmentation::Plan,
    processes: Option<&Processes>,
) -> Result<f64, Error> {
    processes::join(&mut plan.run, processes, "trial")?;
    let store = plan.run.store();
    let learner = plan.learner(&store);
    let views = learner.views().clone();
    rate(&plan.run, (learner, views), plan.run.state(store, Predictors::NONE)?)
}

/// Pictures a second of a transfer to detection as planned.
pub(in crate::commands) fn detection_rate(
    mut plan: detection::Plan,
    processes: Option<&Processes>,
) -> Result<f64, Error> {
    processes::join(&mut plan.run, processes, "trial")?;
    let store = plan.run.store();
    let learner = plan.learner(&store);
    let views = learner.views().clone();
    rate(&plan.run, (learner, views), plan.run.state(store, Predictors::NONE)?)
}

/// Lets RegionSim start at the first step, if the method has it.
fn with_regionsim(recipe: &mut PretrainRecipe) {
    if let Some(settings) = recipe.densesiam() {
        start_at(&mut settings.regionsim.start, 0);
    }
}

/// Lets what starts at `start` start at this step. What never starts still does not.
fn start_at(start: &mut Duration, step: u64) {
    if *start != Duration::Never {
        *start = Duration::Steps(step);
    }
}

/// Measures the steps of a learner on noise, all pictures with the views `drawn`, and prints the times.
fn bench<L: Learner>(
    name: &str,
    place: &Place,
    learner: impl Fn(&Store) -> L,
    drawn: &Drawn<L>,
    arguments: &StepArguments,
) -> Result<(), Error> {
    let begin = |place: &Place| {
        let store = place.store();
        Ok::<_, Error>((learner(&store), place.state(store)?, noisy_batch(place, drawn)))
    };
    let (mut learner, mut state, batch) = begin(place)?;
    let steps = (arguments.warmup, arguments.steps);
    let whole = (place.device, place.common.train.batch_size);
    let measured = unless_lost(&[&place.group, &place.norm_group], || {
        let times = timed_steps(whole, (&mut learner, &mut state), steps, batch.clone(), |_| Ok(()))?;
        if place.group.is_alone() {
            return Ok::<_, Error>((times, None));
        }
        let mut costs = Costs::of_sums(&place.group, &state.store);
        state.leave_gradients();
        let unsummed = timed_steps(whole, (&mut learner, &mut state), steps, batch, |_| Ok(()))?;
        let step = median(&times.seconds[0]);
        costs.exposed_seconds = step - median(&unsummed.seconds[0]);
        if let Some(alone) = place.alone() {
            let (mut learner, mut state, batch) = begin(&alone)?;
            let times = timed_steps(whole, (&mut learner, &mut state), steps, batch, |_| Ok(()))?;
            let devices = if place.device == Device::Cpu { 1 } else { costs.processes };
            costs.efficiency_strong = Some(median(&times.seconds[0]) / step / devices as f64);
        }
        place.group.wait_for_all();
        Ok((times, Some(costs)))
    });
    let (times, together) = measured.map_err(Error::Elsewhere)??;
    if place.group.rank() > 0 { Ok(()) } else { print(name, place, &times, together.as_ref(), arguments) }
}

/// What it costs that several processes train together.
#[derive(serde::Serialize)]
struct Costs {
    processes: usize,
    gradient_bytes: i64,
    /// Of summing so many bytes while nothing else is computed.
    gradient_seconds: f64,
    /// By how much a step is longer than one that does not sum the gradients.
    exposed_seconds: f64,
    /// The rate of all over that of one process with the same batch and the cores of all, or times their number with a card each.
    /// Known where all are of one machine.
    efficiency_strong: Option<f64>,
    /// The machine's own: a sum of 64 kB, as a batch norm needs, and of 100 MB.
    sum_64kb_microseconds: f64,
    sum_100mb_seconds: f64,
}

impl Costs {
    fn of_sums(group: &Group, store: &Store) -> Self {
        let seconds = |bytes, times| sum_seconds(group, (bytes, store.device()), times);
        let values: usize = store.parameters().iter().map(|(_, parameter)| parameter.numel()).sum();
        let gradient_bytes = 4 * values as i64;
        Self {
            processes: group.world(),
            gradient_bytes,
            gradient_seconds: seconds(gradient_bytes, 5),
            exposed_seconds: 0.0,
            efficiency_strong: None,
            sum_64kb_microseconds: 1e6 * seconds(64 << 10, 100),
            sum_100mb_seconds: seconds(100 << 20, 3),
        }
    }
}

/// The number of steps before a rate is measured, and while it is measured.
const TRIAL: (usize, usize) = (1, 3);

/// Pictures a second of steps with the batches of a training; of several processes, what the first one has measured.
fn rate<L: Learner>(
    run: &Run,
    (mut learner, views): (L, L::Augmentation),
    mut state: State,
) -> Result<f64, Error> {
    let batch_size = run.common.train.batch_size;
    let mut loader = run.loader(views, 0..run.horizon.total_steps, &[])?;
    let none = || Error::Internal("the loader ended before the trial".into());
    let first = loader.next()?.ok_or_else(none)?;
    let learning = (&mut learner, &mut state);
    let times = unless_lost(&[&run.group, &run.norm_group], || {
        timed_steps((run.device, batch_size), learning, TRIAL, first, |batch| {
            if let Some(next) = loader.next()? {
                loader.recycle(std::mem::replace(batch, next));
            }
            Ok(())
        })
    });
    let rate = batch_size as f64 / median(&times.map_err(Error::Elsewhere)??.seconds[0]);
    let rates = if run.group.is_alone() { Ok(vec![rate]) } else { exchange(&run.group, "rate", &rate) };
    Ok(rates.map_err(Error::Elsewhere)?[0])
}

/// Where steps run, and how large they are.
struct Place {
    common: Common,
    architecture: Architecture,
    device: Device,
    precision: Precision,
    threads: usize,
    size: u32,
    group: Group,
    norm_group: Group,
    /// The processes on this machine.
    on_this_machine: usize,
}

impl Place {
    fn new(recipe: &impl Training, size: u32, processes: Option<&Processes>) -> Result<Self, Error> {
        let (common, architecture) = (recipe.clone().common().clone(), recipe.architecture());
        views_fit(common.train.batch_size, 1, &[size; 2])?;
        let resolved = common.run.device.resolve()?;
        let device = processes
            .map_or(resolved, |processes| device_of_process(resolved, processes.membership.local_rank));
        let (precision, _) = common.run.precision.resolve(device);
        search_convolutions(device, precision, recipe.repeats_shapes());
        let on_this_machine = processes.map_or(1, |processes| processes.membership.local_world);
        let threads = threads_of_each(common.run.threads, on_this_machine);
        let group =
            processes.map_or(Ok(Group::alone()), |processes| processes.group("bench", common.run.timeout))?;
        if common.train.batch_size < 2 * group.world() {
            return Err(Error::Usage("train.batch_size gives some process fewer than two pictures".into()));
        }
        let norm_group = processes::norm_group(processes, &common, ("bench", &group))?;
        Ok(Self {
            common,
            architecture,
            device,
            precision,
            threads,
            size,
            group,
            norm_group,
            on_this_machine,
        })
    }

    /// The first process without the others, but with the threads of all; none in the others, and where some are elsewhere.
    fn alone(&self) -> Option<Self> {
        let is_first_of_all = self.group.rank() == 0 && self.on_this_machine == self.group.world();
        is_first_of_all.then(|| Self {
            common: self.common.clone(),
            threads: self.threads * self.on_this_machine,
            group: Group::alone(),
            norm_group: Group::alone(),
            ..*self
        })
    }

    fn store(&self) -> Store {
        set_threads(self.threads);
        Store::new(Kind::Float, self.device, self.common.run.seed)
            .with_group(self.group.clone())
            .with_norm_group(self.norm_group.clone())
    }

    fn state(&self, store: Store) -> Result<State, Error> {
        let (settings, batch_size) = (&self.common.optimizer, self.common.train.batch_size as u64);
        let rules = [GroupRule::scheduled("all", "*")];
        let optimizer = Optimizer::new(settings, batch_size, &store.parameters(), &rules)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(State::new(store, optimizer))
    }
}

/// What was measured.
struct StepTimes {
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
) -> Result<StepTimes, Error> {
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
            let forward = taken.labelling.unwrap_or_default() + forward;
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
    Ok(StepTimes { seconds, losses })
}

fn print(
    name: &str,
    place: &Place,
    StepTimes { seconds, losses }: &StepTimes,
    together: Option<&Costs>,
    arguments: &StepArguments,
) -> Result<(), Error> {
    let [step, forward, backward, optimizer] = seconds.each_ref().map(|seconds| median(seconds));
    let (with_limits, batch_size) = (!arguments.no_limits, place.common.train.batch_size);
    // Read before the limits are measured, because their memory does not belong to the step.
    let (peak, peak_on_device) = (memory::peak_megabytes(), memory::peak_device_megabytes(place.device));
    let line = json!({
        "bench": name, "program": "densesiam", "architecture": place.architecture, "size": place.size,
        "batch": batch_size, "precision": place.precision, "device": format!("{:?}", place.device),
        "threads": place.threads, "pictures_per_second": batch_size as f64 / step,
        "seconds": {"step": step, "forward": forward, "backward": backward, "optimizer": optimizer,
                    "minimum": least(&seconds[0])},
        "losses": losses, "together": together, "peak_memory_megabytes": peak,
        "peak_device_memory_megabytes": peak_on_device,
        "matrix_product_gflops":
            with_limits.then(|| matrix_product_rate(place.precision.kind(), place.device)),
        "copy_gigabytes_per_second": with_limits.then(|| copy_rate(place.device)),
    });
    answer_line(line)
}

/// A batch of two views that show noise, all drawn alike.
fn noisy_batch<D: Clone>(place: &Place, drawn: &D) -> Batch<D> {
    let part = Part { number: place.group.rank(), parts: place.group.world() };
    let batch_size = part.places(place.common.train.batch_size).len();
    let views = [0, 1].map(|view| noise(batch_size * (place.size * place.size * 3) as usize, view));
    Batch {
        step: 0,
        epoch: 0,
        samples: vec![0; batch_size],
        epochs: vec![0; batch_size],
        views: views.into(),
        drawn: vec![drawn.clone(); batch_size],
    }
}

fn overlapping_views() -> RandomPair {
    let one = View { crop: Region { x0: 0.0, y0: 0.0, x1: 400.0, y1: 300.0 }, flip: false };
    let two = View { crop: Region { x0: 100.0, y0: 50.0, x1: 500.0, y1: 375.0 }, flip: true };
    let views = [one, two].map(|view| ViewParameters { view, photometric: Photometric::IDENTITY });
    RandomPair { views, overlap: one.overlap(&two), redraws: 0, picture: [500, 375] }
}

fn aligned_views() -> AlignedPair {
    let frame = Region { x0: 0.0, y0: 0.0, x1: 640.0, y1: 640.0 };
    let feature_box = Fraction { x0: 0.1, y0: 0.2, x1: 0.8, y1: 0.9 };
    let views = [(feature_box.of(&frame), true), (frame, false)]
        .map(|(crop, flip)| ViewParameters { view: View { crop, flip }, photometric: Photometric::IDENTITY });
    AlignedPair { views, frame, feature_box, flip: true }
}
