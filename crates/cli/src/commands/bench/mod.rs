//! `densesiam bench`: what this machine reaches, beside its own limits, so that figures from different machines can be
//! compared. `benches/peers` holds the same work in PyTorch, `benches/pairs.py` runs both in turn.

mod clusters;
mod data;
mod index;
mod limits;
mod memory;
mod predict;
mod step;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, value_parser};

pub(super) use limits::{matrix_product_rate, sum_seconds};
pub(super) use step::{detection_rate, fcn_rate, pretrain_rate, segment_rate};

use super::processes::ProcessArguments;
use densesiam::error::Error;

/// What is measured. One JSON object a line.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// The pre-training step: global, PixSim and RegionSim, forward, backward and optimizer
    Step(StepArguments),
    /// The step of unsupervised segmentation: all losses, forward, backward and optimizer
    SegmentStep {
        /// Settings and steps
        #[command(flatten)]
        step: StepArguments,
        /// With RegionSim, as after its start
        #[arg(long)]
        regions: bool,
    },
    /// The step of a transfer on the first batch of its pictures: all losses, forward, backward and optimizer
    TransferStep {
        /// A recipe of `densesiam transfer`
        recipe: String,
        /// Settings and steps
        #[command(flatten)]
        step: StepArguments,
    },
    /// Detection in the first batch of a recipe's training pictures: boxes, and masks where the recipe has them
    Detect {
        /// A recipe of `densesiam transfer` with a detector
        recipe: String,
        /// Settings and times
        #[command(flatten)]
        step: StepArguments,
    },
    /// Decode and two augmented views of each picture, on one core
    Loader {
        /// Pictures and passes
        #[command(flatten)]
        pictures: PictureArguments,
        /// Side of the views
        #[arg(long, default_value_t = 224, value_parser = value_parser!(u32).range(1..=8192))]
        size: u32,
    },
    /// Decode and the two views of segmentation of each picture (640 pixels to 320), on one core
    SegmentLoader(PictureArguments),
    /// Decode and the view of each training picture of a transfer, with its labels, on one core
    TransferLoader {
        /// A recipe of `densesiam transfer`
        recipe: String,
        /// Settings laid over the recipe, as key=value; `densesiam keys` explains them
        settings: Vec<String>,
        /// Pictures and passes
        #[command(flatten)]
        passes: PassArguments,
    },
    /// Rounds of k-means over made-up features in memory
    Clusters {
        /// Features
        #[arg(long, default_value_t = 1_000_000, value_parser = number(1..=1 << 32))]
        rows: usize,
        /// Numbers of a feature
        #[arg(long, default_value_t = 128, value_parser = number(1..=65_536))]
        dim: usize,
        /// Clusters
        #[arg(long, default_value_t = 27, value_parser = number(1..=65_536))]
        clusters: usize,
        /// Threads; 0 for all cores
        #[arg(long, default_value_t = 0, value_parser = number(0..=1024))]
        threads: usize,
        /// Measured rounds
        #[arg(long, default_value_t = 10, value_parser = number(1..=MOST))]
        steps: usize,
        /// Rounds before that
        #[arg(long, default_value_t = 2, value_parser = number(0..=MOST))]
        warmup: usize,
    },
    /// Segmentation of made-up pictures: forward, upsampling and argmax at their full size
    Predict {
        /// Settings laid over the recipe camvid_r18, as key=value; `densesiam keys` explains them
        settings: Vec<String>,
        /// Side of the pictures
        #[arg(long, default_value_t = 320, value_parser = value_parser!(u32).range(32..=8192))]
        size: u32,
        /// Pictures at once
        #[arg(long, default_value_t = 32, value_parser = number(1..=4096))]
        batch: usize,
        /// Measured batches
        #[arg(long, default_value_t = 5, value_parser = number(1..=MOST))]
        steps: usize,
        /// Batches before that
        #[arg(long, default_value_t = 1, value_parser = number(0..=MOST))]
        warmup: usize,
    },
    /// Finding the pictures below a folder: time and memory
    Index {
        /// A folder of pictures
        root: PathBuf,
    },
    /// Peak memory of the pre-training step at each grid number, over that of SimSiam (grid 0)
    ///
    /// Each grid number is measured in a process of its own.
    Memory {
        /// Settings laid over the paper's recipe, as key=value; `densesiam keys` explains them
        settings: Vec<String>,
        /// Grid numbers; SimSiam is always measured
        #[arg(long, value_delimiter = ',', default_value = "1,3,7,9,14", value_parser = number(0..=256))]
        grids: Vec<usize>,
        /// Steps in each process; the optimizer's memory is there from the second on
        #[arg(long, default_value_t = 2, value_parser = number(1..=MOST))]
        steps: usize,
        /// Processes at each grid number, of whose peaks the least counts
        #[arg(long, default_value_t = 3, value_parser = number(1..=MOST))]
        repeats: usize,
    },
}

/// The options of a training step's measurement
#[derive(Debug, Args)]
pub(crate) struct StepArguments {
    /// Settings laid over the recipe (the paper's, camvid_r18, or the one that is named), as key=value; `densesiam keys`
    /// explains them
    settings: Vec<String>,
    /// Measured steps
    #[arg(long, default_value_t = 5, value_parser = number(1..=MOST))]
    steps: usize,
    /// Steps before that
    #[arg(long, default_value_t = 2, value_parser = number(0..=MOST))]
    warmup: usize,
    /// Leave the machine's limits out, so that the command's own time is that of its steps
    #[arg(long)]
    no_limits: bool,
    /// Several processes that train together
    #[command(flatten)]
    processes: ProcessArguments,
}

/// The options of a data path's measurement
#[derive(Debug, Args)]
pub(crate) struct PictureArguments {
    /// A folder of pictures
    root: PathBuf,
    /// How many of them, and how often
    #[command(flatten)]
    passes: PassArguments,
}

/// How many pictures are read, and how often
#[derive(Debug, Args)]
pub(crate) struct PassArguments {
    /// How many of the pictures
    #[arg(long, default_value_t = 120, value_parser = number(1..=1_000_000_000))]
    pictures: usize,
    /// How often
    #[arg(long, default_value_t = 5, value_parser = number(1..=MOST))]
    repeats: usize,
}

/// Measures.
pub(super) fn run(bench: &Bench) -> Result<(), Error> {
    match bench {
        Bench::Step(arguments) => step::pretrain(arguments),
        Bench::SegmentStep { step, regions } => step::segment(step, *regions),
        Bench::TransferStep { recipe, step } => step::transfer(recipe, step),
        Bench::Detect { recipe, step } => step::detect(recipe, step),
        Bench::Loader { pictures, size } => data::pretrain_views(pictures, *size),
        Bench::SegmentLoader(pictures) => data::segment_views(pictures),
        Bench::TransferLoader { recipe, settings, passes } => data::transfer_views(recipe, settings, passes),
        Bench::Clusters { rows, dim, clusters, threads, steps, warmup } => {
            clusters::run([*rows, *dim, *clusters], *threads, (*warmup, *steps))
        }
        Bench::Predict { settings, size, batch, steps, warmup } => {
            predict::run(settings, *size, *batch, (*warmup, *steps))
        }
        Bench::Index { root } => index::run(root),
        Bench::Memory { settings, grids, steps, repeats } => memory::run(settings, grids, *steps, *repeats),
    }
}

/// The most often that anything is measured.
const MOST: u64 = 1_000_000;

/// Reads a number within a range.
fn number(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
