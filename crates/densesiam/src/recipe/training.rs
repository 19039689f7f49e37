//! The tables that the recipe of every training has, and the allowed values of their keys.

use densesiam_data::loader::PATIENCE;
use densesiam_engine::device::{DeviceRequest, PrecisionRequest};
use densesiam_engine::optimizer::OptimizerSettings;
use densesiam_nn::{Architecture, EncoderSettings};
use densesiam_settings::duration::{Duration, Length};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::home;

/// A recipe of a training.
pub trait Training: Recipe + Clone {
    /// The tables that every training has.
    fn common(&mut self) -> &mut Common;

    /// Which encoder.
    fn architecture(&self) -> Architecture;

    /// What the encoder begins with.
    fn beginning(&self) -> &Beginning;

    /// Whether the maps of all batches have one shape, so that a search for the fastest convolution of a shape pays.
    fn repeats_shapes(&self) -> bool {
        true
    }
}

/// The tables that every training has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// Where a run happens, and on which device.
    pub run: RunSettings,
    /// The pictures.
    pub data: DataSettings,
    /// How parameters are updated.
    pub optimizer: OptimizerSettings,
    /// How long the training is, and what is written when.
    pub train: TrainSettings,
    /// When a run counts as collapsed.
    pub monitor: MonitorSettings,
}

impl Common {
    /// Checks how it is trained: optimizer, length and monitors.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate_training(&self) -> Result<(), SettingError> {
        self.optimizer.validate()?;
        self.train.validate()?;
        self.monitor.validate()
    }
}

/// `[run]`: where a run happens, and on which device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// Name of the run directory; empty for the recipe's own name.
    pub name: String,
    /// Folder that holds run directories.
    #[serde(deserialize_with = "home::setting")]
    pub dir: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: DeviceRequest,
    /// `auto`, `fp32` or `bf16`.
    pub precision: PrecisionRequest,
    /// Threads of the processor that libtorch uses; 0 for all cores.
    pub threads: usize,
    /// Seconds to wait for another process of the training.
    pub timeout: u64,
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
            timeout: 900,
        }
    }
}

/// Run and encoder, by default, of what measures encoders: float32, because a score should not depend on the machine that measures it, and
/// for encoders that do not state their architecture a ResNet-18 as in torchvision.
pub(super) fn measuring() -> (RunSettings, EncoderSettings) {
    let run = RunSettings { precision: PrecisionRequest::Fp32, ..RunSettings::default() };
    let architecture = Architecture::ResNet18;
    (run, EncoderSettings { architecture, zero_residual: false, ..EncoderSettings::default() })
}

impl RunSettings {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("run.seed", self.seed, 0..=(1 << 53) - 1, "(exact in JSON)")?;
        within("run.threads", self.threads, 0..=1024, "threads")?;
        within("run.timeout", self.timeout, 1..=1_000_000, "seconds")
    }
}

/// `[encoder]`: what the encoder begins with. Which encoder it is, the model's settings say in the same table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beginning {
    /// A run directory, or a `.pth`, `.pkl` or safetensors file of torchvision, timm, detectron2, mmseg, SimSiam, MoCo or
    /// DenseCL; empty or `random` to begin with random weights.
    #[serde(deserialize_with = "home::setting")]
    pub weights: String,
    /// Whether these weights are given the scale of random ones ([`densesiam_nn::rescale`]).
    pub rescale: bool,
}

impl Beginning {
    /// The run or the file; `None` for random weights.
    pub fn given(&self) -> Option<&str> {
        Some(self.weights.as_str()).filter(|weights| !["", "random"].contains(weights))
    }
}

/// `[data]`: regions of the pictures. How the pictures are read, [`DataSettings`] says in the same table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionSource {
    /// A file that `densesiam data regions` wrote for these pictures; empty for a method that compares no regions.
    #[serde(deserialize_with = "home::setting")]
    pub regions: String,
}

/// `[data]`: the pictures and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// A folder with pictures, or with tar shards, in any tree below it; a text file with one path a line; a tar shard;
    /// or many by a pattern, `coco-{000000..000127}.tar`.
    #[serde(deserialize_with = "home::setting")]
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
    /// Seconds without a new picture after which the run is saved and ends, because the storage does not answer.
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
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("data.workers", self.workers, 0..=1024, "threads")?;
        within("data.prefetch", self.prefetch, 1..=1024, "batches")?;
        within("data.max_bad_share", self.max_bad_share, 0.0..=1.0, "of the pictures")?;
        within("data.min_side", self.min_side, 0..=65_535, "pixels")?;
        within("data.max_pixels", self.max_pixels, 1..=10_000_000_000, "pixels")?;
        within("data.patience", self.patience, 1..=1_000_000, "seconds")
    }

    /// The longest time that a step waits for its batch.
    pub fn patience(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.patience)
    }
}

/// Which of several processes have common batch statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormSharing {
    /// All: the statistics are those of the whole batch.
    #[default]
    All,
    /// Those of a machine.
    Machine,
    /// Each has its own.
    Local,
}

/// `[train]`: how long the training is, and what is written when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainSettings {
    /// Pictures a step.
    pub batch_size: usize,
    /// Which processes have common batch statistics.
    pub batch_norm: NormSharing,
    /// Length of the training.
    pub duration: Length,
    /// How often metrics are written.
    pub log_every: Duration,
    /// How often a checkpoint is written, or how old the newest one may be; one is always written at the end.
    pub checkpoint_every: Length,
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
            batch_norm: NormSharing::All,
            duration: Length::Counted(Duration::Epochs(200.0)),
            log_every: Duration::Steps(10),
            checkpoint_every: Length::Counted(Duration::Epochs(1.0)),
            keep_last: 2,
            pictures_every: Duration::OfTraining(0.05),
            pictures: 6,
        }
    }
}

impl TrainSettings {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let pictures = "pictures; batch norm needs at least 2";
        within("train.batch_size", self.batch_size, 2..=65_536, pictures)?;
        within("train.keep_last", self.keep_last, 0..=1_000_000, "checkpoints")?;
        within("train.pictures", self.pictures, 0..=256, "pictures")
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

impl MonitorSettings {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let spread = self.min_spread;
        require(spread.is_finite(), "monitor.min_spread", &spread, "a finite number")?;
        within("monitor.min_categories", self.min_categories, 0..=8192, "pseudo-categories")
    }
}
