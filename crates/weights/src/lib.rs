//! Named tensors out of any weights file that people have, and which of a model's tensors they are.
//!
//! [`read`] recognises a file by its content: safetensors, PyTorch's zip format (`torch.save` since 1.6), PyTorch's
//! older format, and plain pickles with NumPy arrays as detectron2 writes them. The last three are pickles, which are
//! programs; nothing of them is run here. Their instructions build plain values only. A name of Python that is not on a
//! short list (`pickle/global.rs`) stands for an object that holds nothing, such as a training library's settings; a
//! tensor within it is not found. Names that start programs or run code refuse the file.
//!
//! [`match_names`] then says which tensors of the file are which of the model: it finds the encoder by the names of its
//! blocks, whatever stands before them, translates detectron2's, and says which network it is. Nothing is taken silently:
//! what is missing, left over or of another shape is in the [`NameMatch`], which prints as a few lines.
//!
//! [`write_torch`] and [`write_detectron2`] write what those tools read, [`onnx`] writes whole networks.
//!
//! Memory is bounded by the size of the file and by [`Limits`], whatever the file says about itself.

mod budget;
mod collect;
mod error;
mod file;
mod matching;
mod numpy;
pub mod onnx;
mod pickle;
mod safetensors_file;
mod strided;
mod tensor;
mod torch;
mod write;

pub use error::WeightsError;
pub use file::{Format, Limits, WeightsFile, read, read_bytes};
pub use matching::{Layout, Match, Mismatch, NameMatch, NoMatch, match_names};
pub use tensor::{DType, Tensor};
pub use write::{StateDict, WriteError, write_detectron2, write_torch};
