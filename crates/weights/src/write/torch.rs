//! Writes the format of `torch.save` since PyTorch 1.6: a zip archive of a pickle and, as separate entries, the bytes
//! of each tensor.

use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::WriteError;
use super::pickle::Pickle;
use crate::{DType, Tensor};

/// Named tensors, and the other contents of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct StateDict<'a> {
    /// The tensors, in the order of the dictionary.
    pub tensors: &'a [Tensor],
    /// The key of the state dict beside `meta` (`state_dict` for OpenMMLab); `None` if the state dict is the whole
    /// file.
    pub under: Option<&'a str>,
    /// Texts stored beside the state dict, under the key `meta`.
    pub meta: &'a [(&'a str, &'a str)],
}

/// Writes a file that `torch.load` reads, also with `weights_only=True` and, because the tensors are aligned to 64
/// bytes, with `mmap=True`. Equal tensors give equal files.
///
/// # Errors
/// [`WriteError::Io`] if `out` refuses.
pub fn write_torch(out: impl Write + Seek, state: &StateDict) -> Result<(), WriteError> {
    let mut archive = ZipWriter::new(out);
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .with_alignment(64);
    let mut write = |name: &str, bytes: &[u8]| -> io::Result<()> {
        let large = bytes.len() > u32::MAX as usize;
        archive.start_file(format!("archive/{name}"), stored.large_file(large))?;
        archive.write_all(bytes)
    };
    write("data.pkl", &pickle(state)?)?;
    write("byteorder", b"little")?;
    for (key, tensor) in state.tensors.iter().enumerate() {
        write(&format!("data/{key}"), &tensor.bytes)?;
    }
    write("version", b"3\n")?;
    archive.finish().map_err(io::Error::from)?.flush()?;
    Ok(())
}

fn pickle(state: &StateDict) -> io::Result<Vec<u8>> {
    let mut pickle = Pickle::new(Vec::new(), 2)?;
    match state.under {
        None => tensors(&mut pickle, state.tensors)?,
        Some(key) => pickle.dict(|file| {
            file.text("meta")?;
            file.dict(|meta| {
                state.meta.iter().try_for_each(|(key, value)| {
                    meta.text(key)?;
                    meta.text(value)
                })
            })?;
            file.text(key)?;
            tensors(file, state.tensors)
        })?,
    }
    pickle.finish()
}

fn tensors<W: Write>(pickle: &mut Pickle<W>, tensors: &[Tensor]) -> io::Result<()> {
    pickle.ordered_dict(|items| {
        for (key, tensor) in tensors.iter().enumerate() {
            items.text(&tensor.name)?;
            rebuilt(items, key, tensor)?;
        }
        Ok(())
    })
}

/// A tensor in the form in which PyTorch rebuilds it from its own storage.
fn rebuilt<W: Write>(pickle: &mut Pickle<W>, key: usize, tensor: &Tensor) -> io::Result<()> {
    pickle.global("torch._utils", "_rebuild_tensor_v2")?;
    pickle.tuple(|arguments| {
        arguments.tuple(|storage| {
            storage.text("storage")?;
            storage.global("torch", storage_type(tensor.dtype))?;
            storage.text(&key.to_string())?;
            storage.text("cpu")?;
            storage.int((tensor.bytes.len() / tensor.dtype.size()) as i64)
        })?;
        arguments.outside()?;
        arguments.int(0)?;
        arguments.ints(&tensor.shape)?;
        arguments.ints(&strides(&tensor.shape))?;
        // No gradient is needed, and there are no hooks.
        arguments.bool(false)?;
        arguments.ordered_dict(|_| Ok(()))
    })?;
    pickle.call()
}

/// The distance in elements from one index to the next along each axis, the last axis fastest.
fn strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

fn storage_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "DoubleStorage",
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        DType::Bool => "BoolStorage",
    }
}
