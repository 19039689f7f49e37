//! Writes weights files for other tools, in the formats that those tools write themselves.
//!
//! Their pickles hold only tensors, texts and numbers, so that `torch.load(weights_only=True)` accepts them.

mod detectron2;
mod pickle;
mod torch;

pub use detectron2::{write_detectron2, write_detectron2_model};
pub use torch::{StateDict, write_torch};

/// Why a weights file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system could not write it.
    #[error("it cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The format has no such elements.
    #[error("{name} is {dtype}, which {format} has no name for; convert it to f32 first")]
    Unsupported {
        /// The tensor.
        name: String,
        /// The type of its elements.
        dtype: crate::DType,
        /// The format.
        format: &'static str,
    },
}
