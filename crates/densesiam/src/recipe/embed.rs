//! The recipe of embeddings: the features of an encoder for whole pictures and their patches.

use std::fmt;

use densesiam_nn::EncoderSettings;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, tables_of};
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::training::measuring;
use super::{DataSettings, Recipe, RunSettings};

/// What `densesiam embed` and `densesiam explore` compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbedRecipe {
    /// Where it runs; it has no run directory, so that `run.name` is not used. The default precision is float32, as for a probe.
    pub run: RunSettings,
    /// How pictures are read. The command names them, so that `data.root` is not used.
    pub data: DataSettings,
    /// Encoders that do not say which they are: random ones and those of files.
    pub encoder: EncoderSettings,
    /// The features.
    pub embed: EmbedSettings,
}

impl Default for EmbedRecipe {
    fn default() -> Self {
        let (run, encoder) = measuring();
        Self { run, data: DataSettings::default(), encoder, embed: EmbedSettings::default() }
    }
}

/// `[embed]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbedSettings {
    /// Shorter side at which the encoder sees a picture, in pixels.
    pub size: u32,
    /// The map that is taken.
    pub stage: Stage,
    /// Pictures of one size that the encoder sees at once; for memory and speed alone.
    pub batch_size: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        Self { size: 224, stage: Stage::C5, batch_size: 16 }
    }
}

/// A stage of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Stride 4.
    C2,
    /// Stride 8.
    C3,
    /// Stride 16.
    C4,
    /// Stride 32: what pre-training leaves to its heads.
    C5,
}

impl Stage {
    /// Its place among the encoder's maps.
    pub fn place(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::C2 => "c2",
            Self::C3 => "c3",
            Self::C4 => "c4",
            Self::C5 => "c5",
        })
    }
}

impl Recipe for EmbedRecipe {
    const COMMAND: &'static str = "embed";
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Segmentation", "Embeddings"];

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
        self.encoder.validate()?;
        within("embed.size", self.embed.size, 8..=8192, "pixels")?;
        within("embed.batch_size", self.embed.batch_size, 1..=4096, "pictures")
    }
}
