//! Weights files for other tools, in the formats that they write themselves.
//!
//! Their pickles hold tensors, texts and numbers alone, so that `torch.load(weights_only=True)` takes them.

mod detectron2;
mod pickle;
mod torch;

pub use detectron2::write_detectron2;
pub use torch::{StateDict, write_torch};

/// Why a weights file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system would not take it.
    #[error("it cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The format has no such elements.
    #[error("{name} is {dtype}, which {format} has no name for; convert it to f32 first")]
    Unsupported {
        /// The tensor.
        name: String,
        /// Its elements.
        dtype: crate::DType,
        /// The format.
        format: &'static str,
    },
}
