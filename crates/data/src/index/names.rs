//! The names of all pictures in one buffer of bytes.

use std::collections::HashSet;

/// Names by number, each followed by a line feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<u64>,
}

impl Names {
    pub(super) fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u64);
        self.bytes.push(b'\n');
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous] as usize + 1);
        &self.bytes[start..self.ends[index] as usize]
    }

    /// The same names in the order of their bytes.
    pub(super) fn sorted(&self) -> Self {
        let mut slices: Vec<&[u8]> = (0..self.len()).map(|index| self.get(index)).collect();
        slices.sort_unstable();
        let mut sorted =
            Self { bytes: Vec::with_capacity(self.bytes.len()), ends: Vec::with_capacity(self.len()) };
        slices.into_iter().for_each(|slice| sorted.push(slice));
        sorted
    }

    /// Adds the names of `other`, except those with the numbers in `without`.
    pub(super) fn extend_without(&mut self, other: &Self, without: &HashSet<usize>) {
        let kept = (0..other.len()).filter(|number| !without.contains(number));
        kept.for_each(|number| self.push(other.get(number)));
    }

    /// Frees the memory that a growing buffer holds in reserve.
    pub(super) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn hash(&self) -> u64 {
        densesiam_random::hash(&self.bytes)
    }
}
