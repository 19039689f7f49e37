//! Copies a view of a storage to contiguous elements.

use crate::budget::Budget;
use crate::{DType, WeightsError};

/// The most axes of a tensor; PyTorch and NumPy have the same limit.
const MOST_AXES: usize = 64;

/// The positions of a tensor's elements in its storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strided {
    pub(crate) dtype: DType,
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
}

/// The elements of the tensor `name`, contiguous. The description of the view is checked against the storage.
pub(crate) fn contiguous(
    name: &str,
    view: &Strided,
    storage: &[u8],
    budget: &mut Budget,
) -> Result<Vec<u8>, WeightsError> {
    let size = view.dtype.size();
    let plan = plan(view, storage.len() / size).map_err(|reason| WeightsError::tensor(name, reason))?;
    let Some(Plan { first, axes, count }) = plan else { return Ok(Vec::new()) };
    budget.charge(count * size)?;
    let mut bytes = Vec::with_capacity(count * size);
    // The innermost run of neighbouring elements is copied at once; if the tensor is contiguous, that is the whole
    // tensor.
    let (outer, run) = split_off_run(&axes);
    let mut places = vec![0; outer.len()];
    let mut at = first;
    while bytes.len() < count * size {
        bytes.extend_from_slice(&storage[at * size..(at + run) * size]);
        at = next_place(&mut places, outer, at);
    }
    Ok(bytes)
}

/// One axis: the number of elements, and the distance between them.
#[derive(Clone, Copy, Debug)]
struct Axis {
    length: usize,
    stride: usize,
}

/// A view after the check that every element is within the storage.
struct Plan {
    first: usize,
    axes: Vec<Axis>,
    count: usize,
}

/// `None` for a tensor without elements.
fn plan(view: &Strided, elements: usize) -> Result<Option<Plan>, String> {
    let Strided { shape, strides, offset, .. } = view;
    if shape.len() != strides.len() || shape.len() > MOST_AXES {
        return Err(format!("it has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let lies = || format!("shape {shape:?}, strides {strides:?} and offset {offset} do not fit its storage");
    let first = usize::try_from(*offset).map_err(|_| lies())?;
    let natural = |&number: &i64| usize::try_from(number).map_err(|_| lies());
    let lengths = shape.iter().map(natural).collect::<Result<Vec<_>, _>>()?;
    let strides = strides.iter().map(natural).collect::<Result<Vec<_>, _>>()?;
    if lengths.contains(&0) {
        return Ok(None);
    }
    // The stride of an axis with one element is never used and may be anything.
    let axes: Vec<Axis> = lengths
        .into_iter()
        .zip(strides)
        .filter(|&(length, _)| length > 1)
        .map(|(length, stride)| Axis { length, stride })
        .collect();
    let count = axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.length));
    let last = axes.iter().try_fold(first, |last, axis| {
        (axis.length - 1).checked_mul(axis.stride).and_then(|reach| last.checked_add(reach))
    });
    let count = count.filter(|count| count.checked_mul(view.dtype.size()).is_some()).ok_or_else(lies)?;
    last.filter(|&last| last < elements).ok_or_else(lies)?;
    Ok(Some(Plan { first, axes, count }))
}

/// The outer axes, and the number of neighbouring elements that the inner ones form together.
fn split_off_run(axes: &[Axis]) -> (&[Axis], usize) {
    let mut run = 1;
    let mut outer = axes;
    while let Some((axis, rest)) = outer.split_last() {
        if axis.stride != run {
            break;
        }
        run *= axis.length;
        outer = rest;
    }
    (outer, run)
}

/// Advances the outer axes by one; returns the new position, starting from `at`.
fn next_place(places: &mut [usize], outer: &[Axis], mut at: usize) -> usize {
    for (place, axis) in places.iter_mut().zip(outer).rev() {
        *place += 1;
        at += axis.stride;
        if *place < axis.length {
            break;
        }
        at -= axis.stride * axis.length;
        *place = 0;
    }
    at
}

/// Strides of a contiguous tensor, with the last axis fastest, or the first one (Fortran's order).
pub(crate) fn strides_in_a_row(shape: &[i64], first_axis_fastest: bool) -> Vec<i64> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1i64;
    let mut put = |axis: usize| {
        strides[axis] = stride;
        stride = stride.saturating_mul(shape[axis]);
    };
    if first_axis_fastest {
        (0..shape.len()).for_each(&mut put);
    } else {
        (0..shape.len()).rev().for_each(&mut put);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn read(offset: i64, shape: &[i64], strides: &[i64]) -> Result<Vec<u8>, String> {
        let storage: Vec<u8> = (0..12).collect();
        let view = Strided { dtype: DType::U8, offset, shape: shape.to_vec(), strides: strides.to_vec() };
        let mut budget = Budget::new(storage.len(), &Limits::default());
        contiguous("t", &view, &storage, &mut budget).map_err(|error| error.to_string())
    }

    #[test]
    fn views_are_written_out_in_a_row() {
        assert_eq!(read(0, &[3, 4], &[4, 1]).unwrap(), (0..12).collect::<Vec<u8>>());
        assert_eq!(read(0, &[4, 3], &[1, 4]).unwrap(), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(read(1, &[3, 2], &[4, 2]).unwrap(), [1, 3, 5, 7, 9, 11]);
        assert_eq!(read(7, &[2, 3], &[0, 0]).unwrap(), [7; 6]);
        assert_eq!(read(2, &[2, 1, 3], &[3, i64::MAX, 1]).unwrap(), [2, 3, 4, 5, 6, 7]);
        assert_eq!(read(11, &[], &[]).unwrap(), [11]);
        assert!(read(0, &[0, 4], &[4, 1]).unwrap().is_empty());
    }

    #[test]
    fn views_that_leave_their_storage_are_errors() {
        for (offset, shape, strides) in [
            (1, vec![3, 4], vec![4, 1]),
            (12, vec![], vec![]),
            (-1, vec![2], vec![1]),
            (0, vec![-1], vec![1]),
            (5, vec![3], vec![-1]),
            (0, vec![2], vec![1, 1]),
            (0, vec![i64::MAX, i64::MAX], vec![0, 0]),
            (0, vec![i64::MAX], vec![i64::MAX]),
            (i64::MAX, vec![2], vec![i64::MAX]),
            (0, vec![1; 65], vec![1; 65]),
        ] {
            let error = read(offset, &shape, &strides).unwrap_err();
            assert!(error.starts_with("the tensor t cannot be read"), "{error}");
        }
        assert!(read(0, &[1 << 40], &[0]).unwrap_err().contains("too many for a file of its size"));
    }
}
