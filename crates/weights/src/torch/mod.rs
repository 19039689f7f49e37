//! Tensors as PyTorch pickles them: views of storages that are outside the pickle.

mod legacy;
mod zip;

pub(crate) use legacy::{is_legacy_magic, read_legacy};
pub(crate) use zip::read_zip;

use crate::DType;
use crate::pickle::global::Global;
use crate::pickle::object::{Id, Object, Objects};
use crate::strided::Strided;

pub(crate) const FORMAT: &str = "PyTorch";

/// The most bytes of a storage's key, which is a number in practice. With a hostile file, longer keys shared by many
/// tensors would take a long time to read.
const LONGEST_KEY: usize = 256;

/// A storage, as the pickle describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Storage<'a> {
    pub(crate) key: &'a str,
    pub(crate) dtype: DType,
    pub(crate) elements: usize,
}

impl Storage<'_> {
    /// Its size in bytes, if that size is possible.
    pub(crate) fn size(&self) -> Option<usize> {
        self.elements.checked_mul(self.dtype.size())
    }
}

/// A tensor of the pickle.
#[derive(Debug)]
pub(crate) struct TorchTensor<'a> {
    pub(crate) storage: Storage<'a>,
    pub(crate) view: Strided,
}

/// The tensor or parameter that a value stands for. `None` for other values, and an error for a tensor that contradicts
/// itself.
pub(crate) fn torch_tensor<'a>(objects: &Objects<'a>, id: Id) -> Option<Result<TorchTensor<'a>, String>> {
    let call = objects.call(id)?;
    match call.function {
        Global::RebuildTensor => Some(rebuilt(objects, call.arguments)),
        Global::RebuildParameter => {
            let inner = objects.sequence(call.arguments).and_then(|arguments| arguments.first());
            let inner = inner.and_then(|&inner| objects.call(inner));
            let tensor = inner.filter(|inner| inner.function == Global::RebuildTensor);
            Some(match tensor {
                Some(tensor) => rebuilt(objects, tensor.arguments),
                None => Err("it is a parameter around something else than a tensor".to_owned()),
            })
        }
        _ => None,
    }
}

fn rebuilt<'a>(objects: &Objects<'a>, arguments: Id) -> Result<TorchTensor<'a>, String> {
    let arguments = objects.sequence(arguments).unwrap_or_default();
    let &[storage, offset, shape, strides, ..] = arguments else {
        return Err(format!("it is described by {} values, too few", arguments.len()));
    };
    let storage = match *objects.get(storage) {
        Object::Persistent(description) => storage_described(objects, description)?,
        _ => return Err("it has no storage".to_owned()),
    };
    let wrong = |what: &str| format!("its {what} is not what PyTorch writes");
    let view = Strided {
        dtype: storage.dtype,
        offset: objects.int(offset).ok_or_else(|| wrong("offset"))?,
        shape: objects.ints(shape).ok_or_else(|| wrong("shape"))?,
        strides: objects.ints(strides).ok_or_else(|| wrong("strides"))?,
    };
    Ok(TorchTensor { storage, view })
}

/// From `("storage", type, key, device, elements)`; the older format adds an element for views of storages, which
/// PyTorch has left empty since 0.4.
pub(crate) fn storage_described<'a>(objects: &Objects<'a>, description: Id) -> Result<Storage<'a>, String> {
    let unknown = || "its storage is described in a way that PyTorch does not".to_owned();
    let (tag, dtype, key, elements, view) = match *objects.sequence(description).unwrap_or_default() {
        [tag, dtype, key, _device, elements] => (tag, dtype, key, elements, None),
        [tag, dtype, key, _device, elements, view] => (tag, dtype, key, elements, Some(view)),
        _ => return Err(unknown()),
    };
    if view.is_some_and(|view| !matches!(objects.get(view), Object::Nothing)) {
        return Err("its storage is a view of another, as PyTorch wrote before 0.4; save it anew".to_owned());
    }
    let dtype = match *objects.get(dtype) {
        Object::Global(Global::Storage(dtype)) => dtype,
        Object::Opaque => return Err("elements of its type are not read".to_owned()),
        _ => return Err(unknown()),
    };
    let elements = objects.int(elements).and_then(|elements| usize::try_from(elements).ok());
    match (objects.text(tag), objects.text(key), elements) {
        (Some("storage"), Some(key), Some(elements)) if key.len() <= LONGEST_KEY => {
            Ok(Storage { key, dtype, elements })
        }
        _ => Err(unknown()),
    }
}
