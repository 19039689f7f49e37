//! `densesiam bench`: what this machine reaches, beside its own matrix-product rate, so that figures from different
//! machines can be compared. `benches/peers` holds the same work in PyTorch.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Subcommand;
use densesiam_data::augment::Augmentation;
use densesiam_data::decode::{DecodeLimits, decode_into};
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{SampleScratch, SampleSource, load_sample};
use densesiam_engine::device::{Precision, resolve_threads, set_threads};
use densesiam_engine::optimizer::{GroupRule, Optimizer, OptimizerSettings, not_finite};
use densesiam_geometry::{Region, View};
use densesiam_nn::densesiam::{Correspondence, DenseSiam};
use densesiam_nn::segment::{Segmenter, alignment};
use densesiam_nn::{Architecture, Store};
use densesiam_random::{Key, Purpose, RngExt};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::input::Input;
use crate::recipe::pretrain::PretrainRecipe;
use crate::recipe::segment::SegmentRecipe;
use crate::recipe::{RunSettings, builtin, keys};
use crate::run::Stopwatch;

/// What is measured. One JSON object a line.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// The pre-training step: global, PixSim and RegionSim, forward, backward and optimizer
    Step {
        /// Settings laid over the paper's recipe, as key=value
        settings: Vec<String>,
        /// Measured steps
        #[arg(long, default_value_t = 5)]
        steps: usize,
        /// Steps before that
        #[arg(long, default_value_t = 2)]
        warmup: usize,
    },
    /// The step of unsupervised segmentation: all losses, forward, backward and optimizer
    SegmentStep {
        /// Settings laid over the recipe camvid_r18, as key=value
        settings: Vec<String>,
        /// Measured steps
        #[arg(long, default_value_t = 5)]
        steps: usize,
        /// Steps before that
        #[arg(long, default_value_t = 2)]
        warmup: usize,
        /// With RegionSim, as after its start
        #[arg(long)]
        regions: bool,
    },
    /// Decode and two augmented views of each picture, on one core
    Loader {
        /// A folder of pictures
        root: PathBuf,
        /// How many of them
        #[arg(long, default_value_t = 120)]
        pictures: usize,
        /// How often
        #[arg(long, default_value_t = 5)]
        repeats: usize,
        /// Side of the views
        #[arg(long, default_value_t = 224)]
        size: u32,
    },
}

/// Measures.
pub(super) fn run(bench: &Bench) -> Result<(), Error> {
    match bench {
        Bench::Step { settings, steps, warmup } => step(settings, *steps, *warmup),
        Bench::SegmentStep { settings, steps, warmup, regions } => {
            segment_step(settings, (*warmup, *steps), *regions)
        }
        Bench::Loader { root, pictures, repeats, size } => loader(root, *pictures, *repeats, *size),
    }
}

/// GFLOP/s of a product of two matrices of 2048 x 2048, the best of five.
pub(super) fn matrix_product_rate(kind: Kind, device: Device) -> f64 {
    let side = 2048;
    let matrix = Tensor::ones([side, side], (kind, device));
    let seconds = |_| {
        let start = Instant::now();
        let sum = matrix.matmul(&matrix).get(0).get(0);
        // Reading one number waits for the device.
        let _ = sum.double_value(&[]);
        start.elapsed().as_secs_f64()
    };
    let best = (0..5).map(seconds).fold(f64::INFINITY, f64::min);
    2.0 * (side as f64).powi(3) / best / 1e9
}

fn step(settings: &[String], steps: usize, warmup: usize) -> Result<(), Error> {
    let mut all = vec!["train.batch_size=16".to_owned()];
    all.extend_from_slice(settings);
    let recipe: PretrainRecipe = keys::load("", "the defaults", &all)?;
    let (settings, batch, size) = (recipe.model(), recipe.train.batch_size, recipe.augment.size);
    settings.validate()?;
    let mut bench = StepBench::new(&recipe.run, batch, size)?;
    let model = DenseSiam::new(&bench.store, &settings);
    let geometry = vec![geometry(); batch];
    let keys = vec![Key::new(recipe.run.seed, Purpose::Points); batch];
    let cells = size.div_ceil(32) as usize;
    let device = bench.device;
    let losses = bench.measure(&recipe.optimizer, (warmup, steps), |[view1, view2]| {
        let correspondence = Correspondence::new(&settings, &geometry, &keys, cells, (Kind::Float, device));
        let of = model.forward([&view1, &view2], correspondence.as_ref(), true).losses;
        vec![of.total, of.global, of.pixel, of.region]
    })?;
    bench.print("step", recipe.encoder.architecture, &losses);
    Ok(())
}

fn segment_step(settings: &[String], steps: (usize, usize), regions: bool) -> Result<(), Error> {
    let text = builtin::find("camvid_r18").unwrap_or_default();
    let recipe: SegmentRecipe = keys::load(text, "camvid_r18", settings)?;
    let categories = if recipe.labels.categories > 0 { recipe.labels.categories } else { 11 };
    let (settings, batch, size) = (recipe.model(categories), recipe.train.batch_size, recipe.augment.size);
    settings.validate()?;
    let mut bench = StepBench::new(&recipe.run, batch, size)?;
    let model = Segmenter::new(&bench.store, &settings);
    let (boxes, flips) = (vec![Region { x0: 0.1, y0: 0.2, x1: 0.8, y1: 0.9 }; batch], vec![true; batch]);
    let (cells, device) = (size.div_ceil(4) as usize, bench.device);
    let losses = bench.measure(&recipe.optimizer, steps, |[view1, view2]| {
        let align = alignment(&boxes, &flips, cells, Kind::Float, device);
        let of = model.forward(&view1, &view2, Some(&align), regions).losses;
        vec![of.total, of.pixel, of.auxiliary, of.labelling, of.region]
    })?;
    bench.print("segment-step", recipe.encoder.settings.architecture, &losses);
    Ok(())
}

/// A training step on made-up pictures, timed in its parts.
struct StepBench {
    store: Store,
    device: Device,
    precision: Precision,
    threads: usize,
    batch: usize,
    size: u32,
    /// Seconds of each measured step: in all, forward, backward, optimizer.
    seconds: [Vec<f64>; 4],
}

impl StepBench {
    fn new(run: &RunSettings, batch: usize, size: u32) -> Result<Self, Error> {
        let device = run.device.resolve()?;
        let (precision, _) = run.precision.resolve(device);
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
        forward: impl Fn([Tensor; 2]) -> Vec<Tensor>,
    ) -> Result<Vec<f64>, Error> {
        let rules = [GroupRule::scheduled("all", "*")];
        let mut optimizer = Optimizer::new(optimizer, self.batch as u64, &self.store.parameters(), &rules)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let input = Input::new(self.precision.kind(), self.device);
        let bytes = [0, 1].map(|view| noise(self.batch * (self.size * self.size * 3) as usize, view));
        let mut values = Vec::new();
        for step in 0..warmup + steps {
            let start = Instant::now();
            let mut watch = Stopwatch::start();
            let losses = forward(bytes.each_ref().map(|bytes| input.views(bytes, [self.size; 2])));
            let forward = watch.lap();
            optimizer.zero_gradients();
            losses[0].backward();
            let backward = watch.lap();
            let skip = not_finite(&(&losses[0].detach() + optimizer.gradient_norm()));
            optimizer.step(optimizer.peak_learning_rate(), Some(&skip));
            // Reading the losses waits for the device.
            values = losses.iter().map(|loss| loss.double_value(&[])).collect();
            if step >= warmup {
                let laps = [start.elapsed().as_secs_f64(), forward, backward, watch.lap()];
                self.seconds.iter_mut().zip(laps).for_each(|(all, lap)| all.push(lap));
            }
        }
        Ok(values)
    }

    fn print(&self, name: &str, architecture: Architecture, losses: &[f64]) {
        let [step, forward, backward, optimizer] = self.seconds.each_ref().map(|seconds| median(seconds));
        let minimum = self.seconds[0].iter().copied().fold(f64::INFINITY, f64::min);
        let line = json!({
            "bench": name, "program": "densesiam", "architecture": architecture, "size": self.size,
            "batch": self.batch, "precision": self.precision, "device": format!("{:?}", self.device),
            "threads": self.threads, "pictures_per_second": self.batch as f64 / step,
            "seconds": {"step": step, "forward": forward, "backward": backward, "optimizer": optimizer,
                        "minimum": minimum},
            "losses": losses, "peak_memory_megabytes": peak_memory_megabytes(),
            "matrix_product_gflops": matrix_product_rate(self.precision.kind(), self.device),
        });
        println!("{line}");
    }
}

fn loader(root: &Path, pictures: usize, repeats: usize, size: u32) -> Result<(), Error> {
    let index = ImageIndex::scan(root)?;
    let count = pictures.min(index.len());
    let augmentation = Augmentation { size, ..Augmentation::default() };
    augmentation.validate()?;
    let source = SampleSource {
        index: &index,
        augmentation: &augmentation,
        seed: 1,
        limits: DecodeLimits::default(),
        min_side: 1,
    };
    let mut scratch = SampleScratch::new(size);
    let mut image = RgbImage::default();
    let (mut whole, mut decoded) = (Vec::new(), Vec::new());
    for repeat in 0..=repeats {
        let start = Instant::now();
        for sample in 0..count {
            let bytes =
                std::fs::read(index.path(sample)).map_err(|error| Error::file(index.path(sample), error))?;
            // An unreadable picture costs its time here as it does in training.
            let _ = decode_into(&bytes, &source.limits, &mut image);
        }
        let decode = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for sample in 0..count {
            let _ = load_sample(&source, sample as u64, repeat as u64, &mut scratch);
        }
        if repeat > 0 {
            decoded.push(decode / count as f64 * 1e3);
            whole.push(start.elapsed().as_secs_f64() / count as f64 * 1e3);
        }
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    set_threads(1);
    let line = json!({
        "bench": "loader", "program": "densesiam", "pictures": count, "size": size,
        "milliseconds_a_picture": {"median": median(&whole), "minimum": least(&whole), "decode": least(&decoded)},
        "pictures_per_second_a_core": 1e3 / median(&whole),
        "matrix_product_gflops_one_thread": matrix_product_rate(Kind::Float, Device::Cpu),
    });
    println!("{line}");
    Ok(())
}

fn noise(count: usize, view: u32) -> Vec<u8> {
    let mut stream = Key::new(1, Purpose::Demo).view(view).rng();
    (0..count).map(|_| stream.random()).collect()
}

fn geometry() -> [View; 2] {
    let one = Region { x0: 0.0, y0: 0.0, x1: 400.0, y1: 300.0 };
    let two = Region { x0: 100.0, y0: 50.0, x1: 500.0, y1: 375.0 };
    [View { crop: one, flip: false }, View { crop: two, flip: true }]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory that this process has held, where the system says.
fn peak_memory_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
