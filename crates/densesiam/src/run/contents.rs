//! What a checkpoint holds, as stated in `run` of its manifest.

use densesiam_data::index::ImageIndex;
use densesiam_engine::checkpoint::Checkpoint;
use densesiam_nn::Architecture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tch::Tensor;

use super::setup::Run;
use crate::error::Error;
use crate::recipe::TRANSFER;
use crate::recipe::transfer::Model;

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The task that wrote it: `pretrain`, `segment`.
    pub task: String,
    /// The method that trained it.
    pub method: String,
    /// Which encoder.
    pub architecture: Architecture,
    /// What the names of the encoder's tensors begin with: `encoder.`.
    pub encoder: String,
    /// Pseudo-categories of a segmentation.
    pub categories: Option<i64>,
    /// The classes that it has learnt by labels, in order; none without labels.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Seed of the run.
    #[serde(default)]
    pub seed: u64,
    /// How many pictures it was trained on.
    #[serde(default)]
    pub pictures: u64,
    /// A hash of their names.
    #[serde(default)]
    pub data_fingerprint: String,
    /// A checksum of what else is known of them and was trained on: regions, labels or objects.
    #[serde(default)]
    pub annotations: Option<u32>,
    /// The unreadable ones that the run had met: number, and what is wrong.
    #[serde(default)]
    pub bad_files: Vec<(u64, String)>,
    /// Its best evaluation.
    pub best: Option<Best>,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done at that evaluation.
    pub step: u64,
    /// The score.
    pub score: f64,
}

impl Contents {
    /// What a checkpoint of this run holds, without the findings of the run so far.
    pub(super) fn of(run: &Run) -> Self {
        Self {
            task: run.task.name.to_owned(),
            method: run.task.method.to_owned(),
            architecture: run.architecture,
            encoder: run.task.encoder.to_owned(),
            categories: run.categories,
            classes: run.classes.clone(),
            seed: run.common.run.seed,
            pictures: run.index.len() as u64,
            data_fingerprint: fingerprint(&run.index),
            annotations: run.annotations,
            bad_files: Vec::new(),
            best: None,
        }
    }

    /// The network of a transfer; nothing of another task.
    pub fn model(&self) -> Option<Model> {
        let is_it = |model: &Model| self.task == TRANSFER && self.method == model.name();
        Model::ALL.into_iter().find(is_it)
    }

    /// Reads what a checkpoint states about its contents.
    ///
    /// # Errors
    /// [`Error::Usage`] when the manifest lacks a field.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let mut said = checkpoint.manifest.run.clone();
        if let Value::Object(said) = &mut said {
            complete(said, &checkpoint.model);
        }
        serde_json::from_value(said).map_err(|error| {
            let path = checkpoint.path.display();
            Error::Usage(format!("the manifest of {path} is incomplete: {error}"))
        })
    }

    /// The encoder's tensors of a model's state, under torchvision's names (`conv1.weight`, ...).
    pub fn encoder_tensors(&self, state: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        encoder_tensors(&self.encoder, state)
    }
}

/// The tensors of a model's state whose names begin with `prefix`, under torchvision's names (`conv1.weight`,
/// `layer1.0.bn1.running_mean`, ..., `num_batches_tracked` included, without `fc`).
pub(super) fn encoder_tensors(prefix: &str, state: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let of_encoder = |(name, tensor): &(String, Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    state.iter().filter_map(of_encoder).collect()
}

/// Supplies what manifests did not say at first, when there was one method and each task had one name for its encoder.
fn complete(said: &mut Map<String, Value>, model: &[(String, Tensor)]) {
    let is_segmentation = said.get("task").is_some_and(|task| task == "segment");
    let mut supply = |key: &str, value: Value| {
        said.entry(key).or_insert(value);
    };
    supply("method", json!("densesiam"));
    supply("encoder", json!(if is_segmentation { "backbone." } else { "encoder." }));
    let projector = model.iter().find(|(name, _)| is_segmentation && name == "projector.6.weight");
    supply("categories", json!(projector.map(|(_, weight)| weight.size()[0])));
}

/// A hash of the pictures' names.
pub(super) fn fingerprint(index: &ImageIndex) -> String {
    format!("{:016x}", index.fingerprint())
}
