//! The recipe of a k-NN classification: whether the encoder's features of a picture are close to those of its kind.

use densesiam_nn::EncoderSettings;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, tables_of};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::probe::ProbeFeatures;
use super::training::measuring;
use super::{DataSettings, Recipe, RunSettings};

/// A whole k-NN classification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnnRecipe {
    /// Where it runs; it has no run directory, so that `run.name` and `run.dir` are not used. The default precision is
    /// float32, as for a probe.
    pub run: RunSettings,
    /// The pictures, in a folder for each kind.
    pub data: DataSettings,
    /// Encoders that do not say which they are: random ones and those of files.
    pub encoder: EncoderSettings,
    /// Features and neighbours.
    pub knn: KnnSettings,
}

impl Default for KnnRecipe {
    fn default() -> Self {
        let (run, encoder) = measuring();
        Self { run, data: DataSettings::default(), encoder, knn: KnnSettings::default() }
    }
}

/// `[knn]`. Neighbours and temperature are those of Wu et al. 2018 and of the field since, but for their number: sets that
/// are used here have few pictures of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnnSettings {
    /// Shorter side of the pictures, of which the centred square is taken, in pixels.
    pub size: u32,
    /// The maps that are pooled.
    pub features: ProbeFeatures,
    /// Neighbours that vote, `k`.
    pub neighbours: i64,
    /// A neighbour of cosine `s` has `exp(s / temperature)` votes.
    pub temperature: f64,
    /// Pictures that the encoder sees at once; for memory and speed alone.
    pub batch_size: usize,
}

impl Default for KnnSettings {
    fn default() -> Self {
        Self { size: 128, features: ProbeFeatures::C5, neighbours: 20, temperature: 0.07, batch_size: 32 }
    }
}

impl KnnSettings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("knn.size", self.size, 8..=8192, "pixels")?;
        within("knn.neighbours", self.neighbours, 1..=10_000, "pictures")?;
        let temperature = self.temperature;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "knn.temperature", &temperature, "a finite number above 0")?;
        within("knn.batch_size", self.batch_size, 1..=4096, "pictures")
    }
}

impl Recipe for KnnRecipe {
    const COMMAND: &'static str = "knn";
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Segmentation", "k-NN"];

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
        self.knn.validate()
    }
}
