//! NumPy arrays in pickles, the format of detectron2's weights.

use crate::budget::Budget;
use crate::pickle::global::Global;
use crate::pickle::object::{Id, Object, Objects};
use crate::strided::{Strided, contiguous, strides_in_a_row};
use crate::{DType, WeightsError};

/// An array of numbers. Other NumPy arrays (texts, objects, records, dates) are not tensors.
#[derive(Debug)]
pub(crate) struct NumpyArray<'a> {
    shape: Vec<i64>,
    dtype: DType,
    big_endian: bool,
    first_axis_fastest: bool,
    data: Data<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Data<'a> {
    Bytes(&'a [u8]),
    /// Bytes that an old protocol wrote as a text, each byte as the character with its number.
    Latin1(&'a str),
}

/// The array that a value stands for. `None` for other values, and an error for an array that contradicts itself.
pub(crate) fn numpy_array<'a>(objects: &Objects<'a>, id: Id) -> Option<Result<NumpyArray<'a>, String>> {
    let call = objects.call(id)?;
    let arguments = objects.sequence(call.arguments).unwrap_or_default();
    let parts = match (call.function, arguments) {
        (Global::NumpyReconstruct, _) => {
            let Some(state) = call.state else { return Some(Err("it was left empty".to_owned())) };
            match *objects.sequence(state).unwrap_or_default() {
                [_version, shape, dtype, order, data] => Parts { shape: Some(shape), dtype, order, data },
                _ => return Some(Err("its state is not what NumPy writes".to_owned())),
            }
        }
        (Global::NumpyFromBuffer, &[data, dtype, shape, order]) => {
            Parts { shape: Some(shape), dtype, order, data }
        }
        (Global::NumpyScalar, &[dtype, data]) => Parts { shape: None, dtype, order: dtype, data },
        (Global::NumpyFromBuffer | Global::NumpyScalar, _) => {
            return Some(Err("it is not described as NumPy does".to_owned()));
        }
        _ => return None,
    };
    match number_type(objects, parts.dtype) {
        Ok(Some(number)) => Some(array(objects, &parts, number)),
        Ok(None) => None,
        Err(reason) => Some(Err(reason)),
    }
}

struct Parts {
    /// A scalar has no shape.
    shape: Option<Id>,
    dtype: Id,
    order: Id,
    data: Id,
}

fn array<'a>(
    objects: &Objects<'a>,
    parts: &Parts,
    (dtype, big_endian): (DType, bool),
) -> Result<NumpyArray<'a>, String> {
    let shape = match parts.shape {
        Some(shape) => objects.ints(shape).ok_or("its shape is not what NumPy writes")?,
        None => Vec::new(),
    };
    let first_axis_fastest =
        matches!(objects.get(parts.order), Object::Bool(true)) || objects.text(parts.order) == Some("F");
    let data = raw_data(objects, parts.data).ok_or("its elements are not bytes")?;
    Ok(NumpyArray { shape, dtype, big_endian, first_axis_fastest, data })
}

fn raw_data<'a>(objects: &Objects<'a>, id: Id) -> Option<Data<'a>> {
    match objects.get(id) {
        Object::Bytes(bytes) => Some(Data::Bytes(bytes)),
        Object::Call(call) if call.function == Global::Bytes => Some(Data::Bytes(&[])),
        Object::Call(call) if call.function == Global::CodecsEncode => {
            match *objects.sequence(call.arguments)? {
                [text, codec] if objects.text(codec) == Some("latin1") => {
                    objects.text(text).map(Data::Latin1)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The type of the elements and whether they are big-endian; `None` for types that are not numbers.
fn number_type(objects: &Objects, id: Id) -> Result<Option<(DType, bool)>, String> {
    let unknown = || "its type is not what NumPy writes".to_owned();
    let call = objects.call(id).filter(|call| call.function == Global::NumpyDType).ok_or_else(unknown)?;
    let name = objects.sequence(call.arguments).and_then(|arguments| objects.text(*arguments.first()?));
    let name = name.ok_or_else(unknown)?;
    let bare = name.trim_start_matches(['<', '>', '=', '|']);
    let state = call.state.and_then(|state| objects.sequence(state));
    let order = state.and_then(|state| objects.text(*state.get(1)?));
    let big_endian = order == Some(">") || name.starts_with('>');
    let dtype = match bare {
        "f8" => DType::F64,
        "f4" => DType::F32,
        "f2" => DType::F16,
        "i8" => DType::I64,
        "i4" => DType::I32,
        "i2" => DType::I16,
        "i1" => DType::I8,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        _ if bare.starts_with(['O', 'S', 'U', 'V', 'M', 'm', 'a']) => return Ok(None),
        _ => return Err("its numbers are of a type that is not read".to_owned()),
    };
    Ok(Some((dtype, big_endian)))
}

impl NumpyArray<'_> {
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The elements, little-endian and contiguous.
    pub(crate) fn read(&self, name: &str, budget: &mut Budget) -> Result<Vec<u8>, WeightsError> {
        let decoded;
        let data = match self.data {
            Data::Bytes(bytes) => bytes,
            Data::Latin1(text) => {
                decoded = latin1(name, text, budget)?;
                &decoded
            }
        };
        let view = Strided {
            dtype: self.dtype,
            offset: 0,
            shape: self.shape.clone(),
            strides: strides_in_a_row(&self.shape, self.first_axis_fastest),
        };
        let mut bytes = contiguous(name, &view, data, budget)?;
        if bytes.len() != data.len() {
            return Err(WeightsError::tensor(name, "its shape does not account for all of its bytes"));
        }
        if self.big_endian {
            bytes.chunks_exact_mut(self.dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

fn latin1(name: &str, text: &str, budget: &mut Budget) -> Result<Vec<u8>, WeightsError> {
    budget.charge(text.len())?;
    let bytes = text.chars().map(|character| u8::try_from(u32::from(character)));
    let bytes = bytes.collect::<Result<Vec<_>, _>>();
    bytes.map_err(|_| WeightsError::tensor(name, "its bytes are written as a text that is not Latin-1"))
}
