//! What a run is told to do. A recipe is a TOML file in which every key has a default; what is typed after it on the
//! command line is laid over it, and the complete result is written into the run directory.

pub mod ablation;
pub mod builtin;
pub mod keys;
pub mod labels;
pub mod pretrain;
pub mod probe;
pub mod segment;

use std::ffi::OsStr;
use std::path::Path;

use densesiam_data::loader::PATIENCE;
use densesiam_engine::device::{DeviceRequest, PrecisionRequest};
use densesiam_engine::duration::Duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A recipe, for whatever task.
pub trait Recipe: Serialize + DeserializeOwned + Default {
    /// Its table `[run]`.
    fn run(&mut self) -> &mut RunSettings;
}

impl Recipe for pretrain::PretrainRecipe {
    fn run(&mut self) -> &mut RunSettings {
        &mut self.run
    }
}

impl Recipe for segment::SegmentRecipe {
    fn run(&mut self) -> &mut RunSettings {
        &mut self.run
    }
}

/// A recipe by run directory, by file or by the name of one that the program carries, under the `settings` of the
/// command line. A run without a name has the file's; a run directory is where it is, wherever the run was begun.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn find<R: Recipe>(recipe: &str, settings: &[String]) -> Result<R, Error> {
    let path = Path::new(recipe);
    let read = |path: &Path| densesiam_text::read(path).map_err(|error| Error::text(path, "a recipe", error));
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let of_run = path.join("recipe.toml");
    if of_run.is_file() {
        let mut recipe: R = keys::load(&read(&of_run)?, &of_run.display().to_string(), settings)?;
        let absolute = std::path::absolute(path).map_err(|source| Error::file(path, source))?;
        // A recipe is text, and the folders around this one may have names that are none.
        let run = if absolute.to_str().is_some() { &absolute } else { path };
        recipe.run().dir = text(run.parent().map(Path::as_os_str));
        recipe.run().name = text(run.file_name());
        return Ok(recipe);
    }
    let contents = match builtin::find(recipe) {
        _ if path.is_file() => read(path)?,
        Some(carried) => carried.to_owned(),
        None => {
            let known = builtin::RECIPES.map(|(name, _)| name).join(", ");
            let message = format!("{recipe:?} is no file, no run and no recipe; the program carries {known}");
            return Err(Error::Usage(message));
        }
    };
    let mut loaded: R = keys::load(&contents, recipe, settings)?;
    if loaded.run().name.is_empty() {
        loaded.run().name = text(path.file_stem());
    }
    Ok(loaded)
}

/// `[run]`: where and on what a run happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// Name of the run directory; empty for the recipe's own name.
    pub name: String,
    /// Folder that holds run directories.
    pub dir: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: DeviceRequest,
    /// `auto`, `fp32` or `bf16`.
    pub precision: PrecisionRequest,
    /// Threads of the processor that libtorch uses; 0 for all cores.
    pub threads: usize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            dir: "runs".into(),
            seed: 1,
            device: DeviceRequest::Auto,
            precision: PrecisionRequest::Auto,
            threads: 0,
        }
    }
}

/// `[data]`: the pictures and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// A folder with pictures, or with tar shards, in any tree below it; a text file with one path a line; a tar shard;
    /// or many by a pattern, `coco-{000000..000127}.tar`.
    pub root: String,
    /// Threads that decode and augment; 0 for one per four cores on the processor, all cores beside a card.
    pub workers: usize,
    /// Batches that may be ready ahead of the step.
    pub prefetch: usize,
    /// Share of unreadable pictures past which the run fails; each is skipped and listed until then.
    pub max_bad_share: f64,
    /// Pictures of a shorter side below this are skipped as unreadable.
    pub min_side: u32,
    /// Pictures of more pixels than this are skipped as unreadable.
    pub max_pixels: u64,
    /// Seconds in which no picture is made ready before the run is saved and ends: storage that does not answer.
    pub patience: u64,
}

impl Default for DataSettings {
    fn default() -> Self {
        let (max_bad_share, max_pixels, patience) = (0.1, 100_000_000, PATIENCE.as_secs());
        Self {
            root: String::new(),
            workers: 0,
            prefetch: 2,
            max_bad_share,
            min_side: 8,
            max_pixels,
            patience,
        }
    }
}

impl DataSettings {
    /// Longest time that a batch is waited for.
    pub fn patience(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.patience)
    }
}

/// `[train]`: how long, and what is written when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainSettings {
    /// Pictures a step.
    pub batch_size: usize,
    /// Length of the training.
    pub duration: Duration,
    /// How often metrics are written.
    pub log_every: Duration,
    /// How often a checkpoint is written; one is always written at the end.
    pub checkpoint_every: Duration,
    /// How many checkpoints are kept.
    pub keep_last: usize,
    /// How often a contact sheet of pseudo-categories is drawn.
    pub pictures_every: Duration,
    /// How many pictures a contact sheet shows.
    pub pictures: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            batch_size: 512,
            duration: Duration::Epochs(200.0),
            log_every: Duration::Steps(10),
            checkpoint_every: Duration::Epochs(1.0),
            keep_last: 2,
            pictures_every: Duration::OfTraining(0.05),
            pictures: 6,
        }
    }
}

/// `[monitor]`: collapse is measured, warned of, and may stop the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitorSettings {
    /// How often the monitors are computed.
    pub every: Duration,
    /// A spread of the global outputs below this counts as collapse; 1 is evenly spread, 0 is one point.
    pub min_spread: f64,
    /// Fewer used pseudo-categories than this count as collapse.
    pub min_categories: u64,
    /// Stop the run, with a saved state, when the monitors say collapse.
    pub stop_on_collapse: bool,
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self { every: Duration::Steps(50), min_spread: 0.1, min_categories: 2, stop_on_collapse: false }
    }
}
