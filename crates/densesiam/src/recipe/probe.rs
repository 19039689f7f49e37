//! The recipe of a dense linear probe: one linear layer on the frozen features of an encoder.

use densesiam_data::labelled::{Extent, ReadingSettings};
use densesiam_nn::EncoderSettings;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, tables_of};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::labels::LabelSettings;
use super::training::measuring;
use super::{DataSettings, Recipe, RunSettings};

/// A complete probe. Its default is meant for CamVid; a ResNet-18 takes about a minute there on two cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeRecipe {
    /// The device. A probe has no run directory, so `run.name` and `run.dir` are not used. The default precision is
    /// float32, because a score should not depend on the machine that measures it.
    pub run: RunSettings,
    /// The labelled set.
    pub data: DataSettings,
    /// The layout of the labelled set, and its splits.
    pub labels: LabelSettings,
    /// The encoders. Those that do not state their architecture, random ones and those from files, have the one set here:
    /// by default a ResNet-18 as in torchvision. The output stride holds for all.
    pub encoder: EncoderSettings,
    /// The linear layer.
    pub probe: ProbeSettings,
}

impl Default for ProbeRecipe {
    fn default() -> Self {
        let (run, encoder) = measuring();
        Self {
            run,
            data: DataSettings::default(),
            labels: LabelSettings::default(),
            encoder,
            probe: ProbeSettings::default(),
        }
    }
}

/// `[probe]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeSettings {
    /// Shorter side of the pictures, of which the centred square is taken, in pixels.
    pub size: u32,
    /// What the layer sees.
    pub features: ProbeFeatures,
    /// Times that every picture is seen.
    pub epochs: u64,
    /// Pictures a step.
    pub batch_size: usize,
    /// Learning rate at the start for 512 channels; it falls to 0 along half a cosine. With other features it is
    /// divided by the channels: each has deviation 1, so that the curvature of the loss grows with their number.
    pub learning_rate: f64,
    /// Momentum of the steps.
    pub momentum: f64,
    /// Weight decay of the layer.
    pub weight_decay: f64,
    /// Pictures of the training split that are used, evenly spaced; 0 for all.
    pub pictures: usize,
    /// Pictures that the encoder sees at once; this affects only memory and speed.
    pub evaluate_batch_size: usize,
}

impl Default for ProbeSettings {
    /// Chosen by the training loss on CamVid, not by mIoU. On ResNet-18's C5, random and trained, rates of 0.3 and 1
    /// come within 0.015 of each other, 3 to more, and three times the epochs to 0.04 less at most; with 768, 960 and
    /// 2048 random channels the best of 0.1, 0.3, 1 and 3 were 0.3, 0.3 and 0.1.
    fn default() -> Self {
        Self {
            size: 320,
            features: ProbeFeatures::C5,
            epochs: 20,
            batch_size: 16,
            learning_rate: 0.5,
            momentum: 0.9,
            weight_decay: 1e-4,
            pictures: 0,
            evaluate_batch_size: 16,
        }
    }
}

/// Which maps of the encoder a probe reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeFeatures {
    /// Stride 32: what pre-training leaves to its heads.
    C5,
    /// Stride 16.
    C4,
    /// Both.
    C4C5,
    /// C2 to C5.
    Hypercolumn,
}

impl ProbeFeatures {
    /// The stages that are read, as places in C2, C3, C4, C5.
    pub fn stages(self) -> &'static [usize] {
        match self {
            Self::C5 => &[3],
            Self::C4 => &[2],
            Self::C4C5 => &[2, 3],
            Self::Hypercolumn => &[0, 1, 2, 3],
        }
    }

    /// Channels and side of each map that is read, of pictures of `size` pixels a side.
    pub fn shapes(self, encoder: &EncoderSettings, size: u32) -> Vec<[i64; 2]> {
        let (channels, sides) = (encoder.architecture.channels(), encoder.sides(size));
        let shape = |&stage: &usize| [channels[stage], i64::from(sides[stage])];
        self.stages().iter().map(shape).collect()
    }
}

impl ProbeSettings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        within("probe.size", self.size, 8..=8192, "pixels")?;
        within("probe.epochs", self.epochs, 1..=1_000_000, "epochs")?;
        within("probe.batch_size", self.batch_size, 1..=65_536, "pictures")?;
        let rate = self.learning_rate;
        require(rate > 0.0 && rate.is_finite(), "probe.learning_rate", &rate, "above 0")?;
        let momentum = self.momentum;
        require((0.0..1.0).contains(&momentum), "probe.momentum", &momentum, "from 0 to below 1")?;
        let decay = self.weight_decay;
        require(not_negative(decay), "probe.weight_decay", &decay, "0 or above")?;
        within("probe.pictures", self.pictures, 0..=1_000_000_000, "pictures")?;
        within("probe.evaluate_batch_size", self.evaluate_batch_size, 1..=4096, "pictures")
    }
}

impl Recipe for ProbeRecipe {
    const COMMAND: &'static str = "probe";
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Segmentation", "Probe"];

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        tables.all()
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        tables_of(self)
    }

    fn run(&mut self) -> &mut RunSettings {
        &mut self.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.run.validate()?;
        self.data.validate()?;
        self.labels.validate()?;
        self.encoder.validate()?;
        self.probe.validate()
    }
}

impl ProbeRecipe {
    /// How pictures and labels are read, with `workers` threads.
    pub fn reading(&self, workers: usize) -> ReadingSettings {
        ReadingSettings {
            extent: Extent::Centred(self.probe.size),
            batch_size: self.probe.evaluate_batch_size,
            workers,
            prefetch_batches: self.data.prefetch,
            limits: densesiam_data::decode::DecodeLimits { max_pixels: self.data.max_pixels },
            patience: self.data.patience(),
        }
    }
}
