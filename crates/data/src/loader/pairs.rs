//! What the loader asks of a way to make view pairs: pre-training and segmentation differ in nothing else.

use std::fmt::Debug;

use densesiam_random::Key;

use crate::augment::{ApplyError, SettingError, ViewMaker};
use crate::image::RgbImage;

/// The settings of one way to make two views of a picture. What is drawn is a function of the key alone.
pub trait PairAugmentation: Clone + Debug + Send + Sync + 'static {
    /// Everything that is drawn for one picture.
    type Pair: Clone + Send;
    /// What the loader delivers for one step.
    type Batch: Send;

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    fn validate(&self) -> Result<(), SettingError>;

    /// Side of the square views in pixels.
    fn size(&self) -> u32;

    /// Draws both views of a picture of `(width, height)` pixels. `key` names seed, epoch and sample.
    fn draw(&self, size: (u32, u32), key: Key) -> Self::Pair;

    /// Makes both views, each `size * size * 3` bytes, interleaved RGB.
    ///
    /// # Errors
    /// An [`ApplyError`] where a crop lies outside the picture or a view has another length.
    fn apply(
        pair: &Self::Pair,
        maker: &mut ViewMaker,
        image: &RgbImage,
        views: &mut [Vec<u8>; 2],
    ) -> Result<(), ApplyError>;

    /// Arranges a finished batch for its user.
    fn deliver(made: PairBatch<Self::Pair>) -> Self::Batch;

    /// The memory of the views of a batch that is no longer needed.
    fn memory(batch: Self::Batch) -> [Vec<u8>; 2];
}

/// A finished batch as the workers made it.
#[derive(Clone, Debug, PartialEq)]
pub struct PairBatch<P> {
    /// Step of the run, from 0.
    pub step: u64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Side of the views in pixels.
    pub size: u32,
    /// The sample actually used in each place: its number in the index.
    pub samples: Vec<u64>,
    /// First and second views, each `[B, size, size, 3]` bytes.
    pub views: [Vec<u8>; 2],
    /// What was drawn for each sample.
    pub pairs: Vec<P>,
}
