//! Limits the memory that one file can make the reader allocate for tensors.

use crate::{Limits, WeightsError};

/// Expanded and shared tensors are written out in full, and a few of them are legitimate; a file whose tensors take
/// more than this many times its own size is a bomb.
const LARGEST_GROWTH: u64 = 16;

/// A storage and the tensors made from it are both in memory for a while.
const COPIES: u64 = 4;

/// An allowance so that a tiny file may hold a few expanded tensors.
const SMALL: u64 = 1 << 20;

/// Bytes that may still be allocated for the data of tensors.
#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: u64,
    left: u64,
}

impl Budget {
    pub(crate) fn new(file_bytes: usize, limits: &Limits) -> Self {
        let by_size = (file_bytes as u64).saturating_mul(LARGEST_GROWTH).saturating_add(SMALL);
        let max_bytes = by_size.min(limits.max_bytes.saturating_mul(COPIES));
        Self { max_bytes, left: max_bytes }
    }

    /// Must be called before the allocation.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), WeightsError> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or(WeightsError::TensorsTooLarge { max_bytes: self.max_bytes })?;
        Ok(())
    }
}
