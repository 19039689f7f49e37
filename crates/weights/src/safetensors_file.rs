//! safetensors files, read with the format's own crate.

use safetensors::tensor::{Dtype, SafeTensors};

use crate::budget::Budget;
use crate::{DType, Tensor, WeightsError};

pub(crate) const FORMAT: &str = "safetensors";

/// Whether a file begins with the length of a JSON header, followed by that header.
pub(crate) fn looks_like_safetensors(bytes: &[u8]) -> bool {
    let Some((length, header)) = bytes.split_first_chunk() else { return false };
    header.first() == Some(&b'{') && u64::from_le_bytes(*length) <= header.len() as u64
}

/// All tensors, in the order of their data.
pub(crate) fn read_safetensors(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Tensor>, WeightsError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| WeightsError::damaged(FORMAT, error.to_string()))?;
    let mut views: Vec<_> = file.iter().collect();
    views.sort_by_key(|(_, view)| view.data().as_ptr());
    let mut tensors = Vec::with_capacity(views.len());
    for (name, view) in views {
        let dtype = dtype(view.dtype()).ok_or_else(|| {
            WeightsError::tensor(name, format!("elements of type {:?} are not read", view.dtype()))
        })?;
        let sizes = view.shape().iter().map(|&size| i64::try_from(size));
        let shape = sizes.collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| WeightsError::tensor(name, "a size is out of range"))?;
        budget.charge(view.data().len())?;
        tensors.push(Tensor { name: name.to_owned(), dtype, shape, bytes: view.data().to_vec() });
    }
    Ok(tensors)
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}
