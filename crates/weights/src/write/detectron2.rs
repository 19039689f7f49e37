//! Writes the model format of detectron2: a pickle of NumPy arrays under detectron2's names.

use std::io::{self, Write};

use super::WriteError;
use super::pickle::Pickle;
use crate::matching::to_detectron2;
use crate::{DType, Tensor};

/// Writes an encoder under torchvision's names as a `.pkl` file for detectron2's `MODEL.WEIGHTS`. The names are
/// translated to detectron2's, and `matching_heuristics` lets detectron2 find them in a model by their endings.
///
/// # Errors
/// [`WriteError`] if `out` refuses, or for elements that NumPy does not have.
pub fn write_detectron2(out: impl Write, tensors: &[Tensor], author: &str) -> Result<(), WriteError> {
    write(out, (tensors, to_detectron2), author, true)
}

/// Writes a whole model as a `.pkl` file for detectron2's `MODEL.WEIGHTS`, which takes its tensors by their names as they are.
///
/// # Errors
/// As [`write_detectron2`].
pub fn write_detectron2_model(out: impl Write, tensors: &[Tensor], author: &str) -> Result<(), WriteError> {
    write(out, (tensors, str::to_owned), author, false)
}

fn write(
    out: impl Write,
    (tensors, name_of): (&[Tensor], impl Fn(&str) -> String),
    author: &str,
    matching: bool,
) -> Result<(), WriteError> {
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.dtype == DType::BF16) {
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        return Err(WriteError::Unsupported { name, dtype, format: "NumPy" });
    }
    let mut pickle = Pickle::new(out, 3)?;
    pickle.dict(|file| {
        file.text("model")?;
        file.dict(|model| {
            tensors.iter().try_for_each(|tensor| {
                model.text(&name_of(&tensor.name))?;
                array(model, tensor)
            })
        })?;
        file.text("__author__")?;
        file.text(author)?;
        file.text("matching_heuristics")?;
        file.bool(matching)
    })?;
    pickle.finish()?.flush()?;
    Ok(())
}

/// An empty array, and its state.
fn array<W: Write>(pickle: &mut Pickle<W>, tensor: &Tensor) -> io::Result<()> {
    pickle.global("numpy.core.multiarray", "_reconstruct")?;
    pickle.tuple(|arguments| {
        arguments.global("numpy", "ndarray")?;
        arguments.ints(&[0])?;
        arguments.bytes(b"b")
    })?;
    pickle.call()?;
    pickle.tuple(|state| {
        state.int(1)?;
        state.ints(&tensor.shape)?;
        element_type(state, tensor.dtype)?;
        // The last axis is the fastest.
        state.bool(false)?;
        state.bytes(&tensor.bytes)
    })?;
    pickle.set_state()
}

fn element_type<W: Write>(pickle: &mut Pickle<W>, dtype: DType) -> io::Result<()> {
    let name = match dtype {
        DType::F64 => "f8",
        DType::F32 => "f4",
        DType::F16 | DType::BF16 => "f2",
        DType::I64 => "i8",
        DType::I32 => "i4",
        DType::I16 => "i2",
        DType::I8 => "i1",
        DType::U8 => "u1",
        DType::Bool => "b1",
    };
    pickle.global("numpy", "dtype")?;
    pickle.tuple(|arguments| {
        arguments.text(name)?;
        arguments.bool(false)?;
        arguments.bool(true)
    })?;
    pickle.call()?;
    pickle.tuple(|state| {
        state.int(3)?;
        state.text(if dtype.size() == 1 { "|" } else { "<" })?;
        (0..3).try_for_each(|_| state.none())?;
        state.int(-1)?;
        state.int(-1)?;
        state.int(0)
    })?;
    pickle.set_state()
}
