//! Reads named tensors from weights files of all common formats, and matches them with a model's tensors.
//!
//! [`read`] recognises a file by its content: safetensors, PyTorch's zip format (`torch.save` since 1.6), PyTorch's
//! older format, and plain pickles with NumPy arrays as detectron2 writes them. The last three are pickles, which are
//! programs, but nothing in them is run here: their instructions only build plain values. A Python name that is not on
//! a short list (`pickle/global.rs`), such as a training library's settings, stands for an empty object, and a tensor
//! within it is not found. A file with names that start programs or run code is refused.
//!
//! [`match_names`] then matches the tensors of the file with those of the model: it finds the encoder by the names of
//! its blocks, with any prefix, translates the names of detectron2, and identifies the network. Nothing is ignored
//! silently: tensors that are missing, left over or of another shape are in the [`NameMatch`], which displays as a few
//! lines.
//!
//! [`write_torch`] and [`write_detectron2`] write files for those tools, [`onnx`] writes whole networks.
//!
//! Memory is bounded by the size of the file and by [`Limits`], whatever the file claims about itself.

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
pub use write::{StateDict, WriteError, write_detectron2, write_detectron2_model, write_torch};
