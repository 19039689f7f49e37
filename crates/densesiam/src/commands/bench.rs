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
use densesiam_engine::optimizer::{GroupRule, Optimizer, not_finite};
use densesiam_geometry::{Region, View};
use densesiam_nn::Store;
use densesiam_nn::densesiam::{Correspondence, DenseSiam};
use densesiam_random::{Key, Purpose, RngExt};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::input::Input;
use crate::recipe::keys;
use crate::recipe::pretrain::PretrainRecipe;
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
    let model_settings = recipe.model();
    model_settings.validate()?;
    let device = recipe.run.device.resolve()?;
    let (precision, _) = recipe.run.precision.resolve(device);
    let threads = resolve_threads(recipe.run.threads);
    set_threads(threads);
    let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let store = Store::new(Kind::Float, device, recipe.run.seed);
    let model = DenseSiam::new(&store, &model_settings);
    let batch = recipe.train.batch_size;
    let rules = [GroupRule::scheduled("all", "*")];
    let mut optimizer = Optimizer::new(&recipe.optimizer, batch as u64, &store.parameters(), &rules)
        .map_err(|error| Error::Internal(error.to_string()))?;
    let size = recipe.augment.size;
    let input = Input::new(kind, device);
    let bytes = [0, 1].map(|view| noise(batch * (size * size * 3) as usize, view));
    let geometry = vec![geometry(); batch];
    let keys = vec![Key::new(recipe.run.seed, Purpose::Points); batch];
    let mut seconds = Vec::new();
    let mut parts = [const { Vec::new() }; 3];
    let mut losses = [0.0; 4];
    for step in 0..warmup + steps {
        let start = Instant::now();
        let mut watch = Stopwatch::start();
        let [view1, view2] = bytes.each_ref().map(|bytes| input.views(bytes, [size; 2]));
        let cells = size.div_ceil(32) as usize;
        let correspondence =
            Correspondence::new(&model_settings, &geometry, &keys, cells, (Kind::Float, device));
        let output = model.forward([&view1, &view2], correspondence.as_ref(), true);
        let forward = watch.lap();
        optimizer.zero_gradients();
        output.losses.total.backward();
        let backward = watch.lap();
        let skip = not_finite(&(&output.losses.total.detach() + optimizer.gradient_norm()));
        optimizer.step(optimizer.peak_learning_rate(), Some(&skip));
        let of = &output.losses;
        losses = [&of.total, &of.global, &of.pixel, &of.region].map(|loss| loss.double_value(&[]));
        if step >= warmup {
            seconds.push(start.elapsed().as_secs_f64());
            let laps = [forward, backward, watch.lap()];
            parts.iter_mut().zip(laps).for_each(|(part, lap)| part.push(lap));
        }
    }
    let line = json!({
        "bench": "step", "program": "densesiam", "architecture": recipe.encoder.architecture, "size": size,
        "batch": batch, "precision": precision, "device": format!("{device:?}"), "threads": threads,
        "pictures_per_second": batch as f64 / median(&seconds),
        "seconds": {"step": median(&seconds), "forward": median(&parts[0]), "backward": median(&parts[1]),
                    "optimizer": median(&parts[2]), "minimum": seconds.iter().copied().fold(f64::INFINITY, f64::min)},
        "losses": losses, "peak_memory_megabytes": peak_memory_megabytes(),
        "matrix_product_gflops": matrix_product_rate(kind, device),
    });
    println!("{line}");
    Ok(())
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
