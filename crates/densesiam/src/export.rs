//! Taking the encoder elsewhere: torchvision's names, every tensor that its strict loading wants.

use std::path::Path;

use densesiam_engine::checkpoint::tensors_to_safetensors;
use tch::Tensor;

use crate::error::Error;
use crate::run::locate;

/// The encoder's tensors of a model's state, under torchvision's names (`conv1.weight`, `layer1.0.bn1.running_mean`,
/// ..., `num_batches_tracked` included, without `fc`).
pub fn encoder_tensors(state: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let of_encoder = |(name, tensor): &(String, Tensor)| {
        let encoder = name.strip_prefix("encoder.").or_else(|| name.strip_prefix("backbone."));
        encoder.map(|name| (name.to_owned(), tensor.shallow_clone()))
    };
    state.iter().filter_map(of_encoder).collect()
}

/// Writes the encoder of a checkpoint to `out`, and returns how many tensors it has. `checkpoint` is a checkpoint's
/// folder, or a run directory, whose newest checkpoint is taken.
///
/// # Errors
/// When the checkpoint cannot be read or the file not be written.
pub fn export(checkpoint: &Path, out: &Path) -> Result<usize, Error> {
    let (_, checkpoint) = locate(checkpoint)?;
    let tensors = encoder_tensors(&checkpoint.model);
    let architecture = checkpoint.manifest.run["architecture"].as_str().unwrap_or("unknown").to_owned();
    let step = checkpoint.manifest.step.to_string();
    let metadata = [("architecture".to_owned(), architecture), ("step".to_owned(), step)];
    tensors_to_safetensors(out, &tensors, &metadata.into())?;
    Ok(tensors.len())
}
