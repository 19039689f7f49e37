//! The batch that the loader delivers for one step.

use std::fmt;

/// One batch of views. `D` is what was drawn for each sample ([`crate::views::Augmentation::Drawn`]).
#[derive(Clone, PartialEq)]
pub struct Batch<D> {
    /// Step of the run, from 0.
    pub step: u64,
    /// Epoch of the step, from 0; the epoch in which the batch is complete.
    pub epoch: u64,
    /// The epoch of which each sample is, with which its views were drawn: that of the step, unless samples wait for those
    /// of their group ([`crate::order::Schedule`]).
    pub epochs: Vec<u64>,
    /// The number in the index of the sample that is actually used in each slot.
    pub samples: Vec<u64>,
    /// All first views, all second views and so on, each `[B, size, size, 3]` bytes with the size of that view. If the size
    /// of a view is drawn ([`crate::views::Augmentation::drawn_size`]): the view of each sample, `[height, width, 3]` bytes.
    pub views: Vec<Vec<u8>>,
    /// What was drawn for each sample.
    pub drawn: Vec<D>,
}

impl<D> fmt::Debug for Batch<D> {
    /// Leaves out the pixels.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, epoch, samples, .. } = self;
        write!(formatter, "Batch {{ step: {step}, epoch: {epoch}, samples: {samples:?}, .. }}")
    }
}
