//! Embeddings in files: the features of pictures, and of their patches.

mod read;
mod write;

use std::time::UNIX_EPOCH;

use densesiam_nn::Architecture;
use serde::{Deserialize, Serialize};

pub use read::Embeddings;
pub use write::{Format, Rows, Writer};

use crate::error::Error;
use crate::recipe::embed::Stage;
use crate::run::locate;
use crate::tasks::probe::Source;

/// The safetensors library reads no longer header, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// What embeddings are of. Embeddings of which this is equal are the same, unless a picture was changed under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The encoder: a run, a checkpoint, a file, or `random`.
    pub encoder: String,
    /// Which weights these were.
    pub weights: String,
    /// Which encoder it is.
    pub architecture: Architecture,
    /// The map that was taken.
    pub stage: Stage,
    /// Pixels along a side of one of its cells.
    pub stride: u32,
    /// Shorter side of the pictures as the encoder saw them, in pixels.
    pub size: u32,
    /// The arithmetic.
    pub precision: String,
    /// Larger pictures were not read, in pixels.
    pub max_pixels: u64,
    /// The folder of the pictures.
    pub root: String,
    /// A hash of the pictures' names.
    pub pictures: String,
}

/// The weights as they are now: the newest checkpoint in place of a run, which writes another one a moment later, and what tells these
/// weights from others that were at the same place before.
pub(crate) fn pinned(source: &Source, seed: u64) -> Result<(Source, String), Error> {
    Ok(match source {
        Source::Random => (Source::Random, format!("seed {seed}")),
        Source::Checkpoint(path) => {
            let (_, checkpoint) = locate(path)?;
            let manifest = serde_json::to_vec(&checkpoint.manifest).unwrap_or_default();
            let identity = format!("step {}, {:08x}", checkpoint.manifest.step, crc32c::crc32c(&manifest));
            (Source::Checkpoint(checkpoint.path), identity)
        }
        Source::Weights(path) => {
            let about = std::fs::metadata(path).map_err(|source| Error::file(path, source))?;
            let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let identity = format!("{} bytes of {}", about.len(), changed.unwrap_or_default().as_millis());
            (source.clone(), identity)
        }
    })
}
