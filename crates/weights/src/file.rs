//! Recognises the format of a file by its content.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::budget::Budget;
use crate::collect::{Collected, NoStorages, collect};
use crate::error::{few, readable};
use crate::pickle::object::Object;
use crate::pickle::{Pickle, read_pickle};
use crate::safetensors_file::{looks_like_safetensors, read_safetensors};
use crate::torch::{is_legacy_magic, read_legacy, read_zip};
use crate::{Tensor, WeightsError};

/// Limits beyond which a weights file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest accepted file in bytes. The tensors of a file take at most four times this limit, and at most sixteen
    /// times the file's own size plus a mebibyte, which leaves room for shared and expanded tensors.
    pub max_bytes: u64,
    /// Most instructions of a pickle; each costs up to about a hundred bytes of memory.
    pub max_instructions: u64,
}

impl Default for Limits {
    /// 8 GiB, beyond any encoder; and two million instructions, thirty times what a ResNet's checkpoint has with its
    /// optimizer.
    fn default() -> Self {
        Self { max_bytes: 8 << 30, max_instructions: 2_000_000 }
    }
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// `torch.save` since PyTorch 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before PyTorch 1.6.
    TorchLegacy,
    /// A pickle with NumPy arrays, as detectron2 and Detectron write.
    Pickle,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::TorchZip => "PyTorch",
            Format::TorchLegacy => "PyTorch (before 1.6)",
            Format::Pickle => "pickle with NumPy arrays",
        })
    }
}

/// The tensors of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsFile {
    /// The format that the content showed.
    pub format: Format,
    /// Its tensors. In a checkpoint the keys of the dictionaries that lead to a tensor come before its name, separated
    /// by dots: `state_dict.module.conv1.weight`. Entries that are not tensors are left out.
    pub tensors: Vec<Tensor>,
    /// The first few values of each kind that are not read: Python objects in the file, by their class
    /// (`mmengine.logging.HistoryBuffer`), in which no tensor is searched for; and tensors of an unsupported kind, with
    /// the reason.
    pub unread: Vec<String>,
}

impl WeightsFile {
    /// The values that are not read, as one line; `None` if everything is read.
    pub fn not_read(&self) -> Option<String> {
        (!self.unread.is_empty()).then(|| few(&self.unread))
    }
}

/// Reads the tensors of a weights file, whose format is recognised by its content. No code in the file is run.
///
/// The whole file is held in memory while it is read.
///
/// # Errors
/// A [`WeightsError`] that says what is wrong with the file.
pub fn read(path: &Path, limits: &Limits) -> Result<WeightsFile, WeightsError> {
    let max_bytes = limits.max_bytes;
    let file = File::open(path)?;
    let announced = file.metadata()?.len();
    let mut bytes = Vec::new();
    if announced <= max_bytes {
        // One byte more than allowed shows a file that grows while it is read, or that has no size.
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    let size = announced.max(bytes.len() as u64);
    if size > max_bytes {
        return Err(WeightsError::FileTooLarge { bytes: size, max_bytes });
    }
    read_bytes(&bytes, limits)
}

/// As [`read`], from the bytes of a file.
///
/// # Errors
/// A [`WeightsError`] that says what is wrong with the bytes.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<WeightsFile, WeightsError> {
    let budget = &mut Budget::new(bytes.len(), limits);
    if bytes.is_empty() {
        return Err(WeightsError::Empty);
    }
    if looks_like_safetensors(bytes) {
        let tensors = read_safetensors(bytes, budget)?;
        return Ok(WeightsFile { format: Format::Safetensors, tensors, unread: Vec::new() });
    }
    let (format, collected) = if bytes.starts_with(b"PK\x03\x04") {
        (Format::TorchZip, read_zip(bytes, limits, budget)?)
    } else if looks_like_pickle(bytes) {
        read_pickles(bytes, limits, budget)?
    } else if let Some(pickle) = pickle_in_npy(bytes) {
        read_pickles(pickle, limits, budget)?
    } else {
        return Err(WeightsError::NotWeights {
            start: readable(&bytes[..bytes.len().min(12)]),
            reason: what_it_looks_like(bytes),
        });
    };
    let Collected { tensors, unread } = collected;
    Ok(WeightsFile { format, tensors, unread })
}

/// Pickles since protocol 2 begin with an instruction that states their protocol.
fn looks_like_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// The pickle in a NumPy file (`.npy`) of Python objects, as DetCon's are. One of numbers has none.
fn pickle_in_npy(bytes: &[u8]) -> Option<&[u8]> {
    let [1, _minor, low, high, rest @ ..] = bytes.strip_prefix(NPY)? else { return None };
    let header = usize::from(u16::from_le_bytes([*low, *high]));
    rest.get(header..).filter(|rest| looks_like_pickle(rest))
}

/// Whether a pickle has the names of a ResNet of haiku, also within objects that are not read, as BYOL's.
fn is_of_haiku(pickle: &Pickle) -> bool {
    let names_block = |text: &str| text.contains("/~/block_group_");
    pickle.objects.all().any(|object| matches!(object, Object::Text(text) if names_block(text)))
}

/// The first pickle is either the whole file or the magic number of PyTorch's older format.
fn read_pickles(
    bytes: &[u8],
    limits: &Limits,
    budget: &mut Budget,
) -> Result<(Format, Collected), WeightsError> {
    let first = read_pickle(bytes, limits.max_instructions)?;
    if is_legacy_magic(&first) {
        return Ok((Format::TorchLegacy, read_legacy(&bytes[first.length..], limits, budget)?));
    }
    if is_of_haiku(&first) {
        return Err(WeightsError::unsupported(
            "pickle",
            "it holds a ResNet of JAX (haiku), as BYOL's and DetCon's are, whose layers of stride 2 pad otherwise than \
             PyTorch's ('SAME'), so that its weights would compute other features here",
        ));
    }
    let collected = collect(&first, &mut NoStorages, budget)?;
    Ok((Format::Pickle, collected))
}

/// How NumPy's files of one array or object begin.
const NPY: &[u8] = b"\x93NUMPY";

/// How the index of a TensorFlow checkpoint ends: a table of LevelDB's form.
const END_OF_TABLE: &[u8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

fn what_it_looks_like(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    if start.starts_with(b"<") {
        "it looks like a web page, so that the download went wrong"
    } else if start.starts_with(b"version https://git-lfs") {
        "it is a git-lfs pointer; run git lfs pull"
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        "it is compressed with gzip; unpack it first"
    } else if bytes.starts_with(b"\x89HDF") {
        "it is an HDF5 file of another framework"
    } else if bytes.starts_with(NPY) {
        "it is a NumPy file of one array, which has no names"
    } else if bytes.ends_with(END_OF_TABLE) {
        "it is the index of a TensorFlow checkpoint, which is not read; its networks pad otherwise than PyTorch's \
         ('SAME')"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "it is a tar archive; unpack it first"
    } else {
        "safetensors, PyTorch files and pickles of detectron2 are read"
    }
}
