//! The training steps, on made-up pictures.

use std::time::Instant;

use densesiam_data::loader::Loader;
use densesiam_data::views::Augmentation;
use densesiam_engine::device::{Precision, resolve_threads, search_convolutions, set_threads};
use densesiam_engine::optimizer::{GroupRule, Optimizer, OptimizerSettings, not_finite};
use densesiam_geometry::{Region, View};
use densesiam_nn::densesiam::{Correspondence, DenseSiam};
use densesiam_nn::segment::{Segmenter, alignment};
use densesiam_nn::{Architecture, Store};
use densesiam_random::{Key, Purpose, RngExt};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::limits::{
    copy_rate, matrix_product_rate, peak_device_memory_megabytes, peak_memory_megabytes, wait_for,
};
use super::{StepArguments, least, median};
use crate::answer::answer_line;
use densesiam::error::Error;
use densesiam::memory::views_fit;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{RunSettings, builtin, load};
use densesiam::run::Stopwatch;
use densesiam::tasks::{pretrain, segment};
use densesiam_nn::input::Input;

/// The paper's recipe at a batch that fits a small machine, under `settings`.
pub(super) fn pretrain_recipe(settings: &[String]) -> Result<PretrainRecipe, Error> {
    let mut all = vec!["train.batch_size=16".to_owned()];
    all.extend_from_slice(settings);
    load("", "the defaults", &all)
}

/// The recipe `camvid_r18` under `settings`, and its number of pseudo-categories.
pub(super) fn segment_recipe(settings: &[String]) -> Result<(SegmentRecipe, i64), Error> {
    let text = builtin::find("camvid_r18").unwrap_or_default();
    let recipe: SegmentRecipe = load(text, "camvid_r18", settings)?;
    let categories = if recipe.labels.categories > 0 { recipe.labels.categories } else { 11 };
    Ok((recipe, categories))
}

/// Pictures that are nothing but noise: `count` bytes.
pub(super) fn noise(count: usize, view: u32) -> Vec<u8> {
    let mut stream = Key::new(1, Purpose::Demo).view(view).rng();
    (0..count).map(|_| stream.random()).collect()
}

/// `densesiam bench step`
pub(super) fn pretrain(arguments: &StepArguments) -> Result<(), Error> {
    let recipe = pretrain_recipe(&arguments.settings)?;
    let (bench, losses) = pretrain_steps(&recipe, (arguments.warmup, arguments.steps), || Ok(()))?;
    bench.print("step", recipe.model.encoder.architecture, &losses, arguments)
}

/// Pictures a second of a pre-training as planned, with its pictures read beside the steps.
pub(in crate::commands) fn pretrain_rate(plan: &pretrain::Plan) -> Result<f64, Error> {
    let mut loader = plan.loader(0, &[])?;
    let (bench, _) = pretrain_steps(&plan.recipe, TRIAL, || take_batch(&mut loader))?;
    Ok(bench.batch as f64 / median(&bench.seconds[0]))
}

fn pretrain_steps(
    recipe: &PretrainRecipe,
    steps: (usize, usize),
    mut before: impl FnMut() -> Result<(), Error>,
) -> Result<(StepBench, Vec<f64>), Error> {
    let (settings, batch, size) = (&recipe.model, recipe.common.train.batch_size, recipe.augment.size);
    let mut bench = StepBench::new(&recipe.common.run, batch, size)?;
    let model = DenseSiam::new(&bench.store, settings);
    let geometry = vec![geometry(); batch];
    let keys = vec![Key::new(recipe.common.run.seed, Purpose::Points); batch];
    let cells = size.div_ceil(32) as usize;
    let device = bench.device;
    let losses = bench.measure(&recipe.common.optimizer, steps, |[view1, view2]| {
        before()?;
        let correspondence = Correspondence::new(settings, &geometry, &keys, cells, (Kind::Float, device));
        let of = model.forward([&view1, &view2], correspondence.as_ref(), true).losses;
        Ok(vec![of.total, of.global, of.pixel, of.region])
    })?;
    Ok((bench, losses))
}

/// `densesiam bench segment-step`
pub(super) fn segment(arguments: &StepArguments, regions: bool) -> Result<(), Error> {
    let (recipe, categories) = segment_recipe(&arguments.settings)?;
    let steps = (arguments.warmup, arguments.steps);
    let (bench, losses) = segment_steps(&recipe, (categories, regions), steps, || Ok(()))?;
    bench.print("segment-step", recipe.model.encoder.architecture, &losses, arguments)
}

/// Pictures a second of a segmentation as planned, with its pictures read beside the steps.
pub(in crate::commands) fn segment_rate(plan: &segment::Plan) -> Result<f64, Error> {
    let mut loader = plan.loader(0, &[])?;
    let (bench, _) = segment_steps(&plan.recipe, (plan.categories, true), TRIAL, || take_batch(&mut loader))?;
    Ok(bench.batch as f64 / median(&bench.seconds[0]))
}

/// Steps before and while a rate is measured.
const TRIAL: (usize, usize) = (1, 3);

fn take_batch<A: Augmentation>(loader: &mut Loader<A>) -> Result<(), Error> {
    if let Some(batch) = loader.next()? {
        loader.recycle(batch);
    }
    Ok(())
}

fn segment_steps(
    recipe: &SegmentRecipe,
    (categories, regions): (i64, bool),
    steps: (usize, usize),
    mut before: impl FnMut() -> Result<(), Error>,
) -> Result<(StepBench, Vec<f64>), Error> {
    let (batch, size) = (recipe.common.train.batch_size, recipe.augment.size);
    let mut bench = StepBench::new(&recipe.common.run, batch, size)?;
    let model = Segmenter::new(&bench.store, &recipe.model, categories);
    let (boxes, flips) = (vec![Region { x0: 0.1, y0: 0.2, x1: 0.8, y1: 0.9 }; batch], vec![true; batch]);
    let (cells, device) = (size.div_ceil(4) as usize, bench.device);
    let losses = bench.measure(&recipe.common.optimizer, steps, |[view1, view2]| {
        before()?;
        let align = alignment(&boxes, &flips, cells, Kind::Float, device);
        let of = model.forward(&view1, &view2, Some(&align), regions).losses;
        Ok(vec![of.total, of.pixel, of.auxiliary, of.labelling, of.region])
    })?;
    Ok((bench, losses))
}

/// A training step on made-up pictures, timed in its parts.
struct StepBench {
    store: Store,
    device: Device,
    precision: Precision,
    threads: usize,
    batch: usize,
    size: u32,
    /// Seconds of each measured step: in all, forward, backward, optimizer. On a CUDA device the first is the mean of all
    /// steps, and the others are what the host needs to start the work.
    seconds: [Vec<f64>; 4],
}

impl StepBench {
    fn new(run: &RunSettings, batch: usize, size: u32) -> Result<Self, Error> {
        views_fit(batch, 1, size)?;
        let device = run.device.resolve()?;
        let (precision, _) = run.precision.resolve(device);
        search_convolutions(device, precision);
        let threads = resolve_threads(run.threads);
        set_threads(threads);
        let store = Store::new(Kind::Float, device, run.seed);
        Ok(Self { store, device, precision, threads, batch, size, seconds: Default::default() })
    }

    /// Takes steps as a training does; `forward` returns the total loss and then its parts, whose last values are
    /// returned.
    fn measure(
        &mut self,
        optimizer: &OptimizerSettings,
        (warmup, steps): (usize, usize),
        mut forward: impl FnMut([Tensor; 2]) -> Result<Vec<Tensor>, Error>,
    ) -> Result<Vec<f64>, Error> {
        let rules = [GroupRule::scheduled("all", "*")];
        let mut optimizer = Optimizer::new(optimizer, self.batch as u64, &self.store.parameters(), &rules)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let input = Input::new(self.precision.kind(), self.device);
        let bytes = [0, 1].map(|view| noise(self.batch * (self.size * self.size * 3) as usize, view));
        let mut values = Vec::new();
        let mut begun = Instant::now();
        for step in 0..warmup + steps {
            if step == warmup {
                wait_for(self.device);
                begun = Instant::now();
            }
            let start = Instant::now();
            let mut watch = Stopwatch::start();
            let losses = forward(bytes.each_ref().map(|bytes| input.views(bytes, [self.size; 2])))?;
            let forward = watch.lap();
            optimizer.zero_gradients();
            losses[0].backward();
            let backward = watch.lap();
            let skip = not_finite(&(&losses[0].detach() + optimizer.gradient_norm()));
            optimizer.step(optimizer.peak_learning_rate(), Some(&skip));
            values = losses;
            if step >= warmup {
                let laps = [start.elapsed().as_secs_f64(), forward, backward, watch.lap()];
                self.seconds.iter_mut().zip(laps).for_each(|(all, lap)| all.push(lap));
            }
        }
        if self.device != Device::Cpu {
            // As in training nobody waits between steps, and no single step can be timed.
            wait_for(self.device);
            self.seconds[0] = vec![begun.elapsed().as_secs_f64() / steps as f64];
        }
        Ok(values.iter().map(|loss| loss.double_value(&[])).collect())
    }

    fn print(
        &self,
        name: &str,
        architecture: Architecture,
        losses: &[f64],
        arguments: &StepArguments,
    ) -> Result<(), Error> {
        let [step, forward, backward, optimizer] = self.seconds.each_ref().map(|seconds| median(seconds));
        let with_limits = !arguments.no_limits;
        // Before the limits, whose own memory is not the step's.
        let (peak, peak_on_device) = (peak_memory_megabytes(), peak_device_memory_megabytes(self.device));
        let line = json!({
            "bench": name, "program": "densesiam", "architecture": architecture, "size": self.size,
            "batch": self.batch, "precision": self.precision, "device": format!("{:?}", self.device),
            "threads": self.threads, "pictures_per_second": self.batch as f64 / step,
            "seconds": {"step": step, "forward": forward, "backward": backward, "optimizer": optimizer,
                        "minimum": least(&self.seconds[0])},
            "losses": losses, "peak_memory_megabytes": peak,
            "peak_device_memory_megabytes": peak_on_device,
            "matrix_product_gflops":
                with_limits.then(|| matrix_product_rate(self.precision.kind(), self.device)),
            "copy_gigabytes_per_second": with_limits.then(|| copy_rate(self.device)),
        });
        answer_line(line)
    }
}

fn geometry() -> [View; 2] {
    let one = Region { x0: 0.0, y0: 0.0, x1: 400.0, y1: 300.0 };
    let two = Region { x0: 100.0, y0: 50.0, x1: 500.0, y1: 375.0 };
    [View { crop: one, flip: false }, View { crop: two, flip: true }]
}
