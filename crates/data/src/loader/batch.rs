//! What a batch of pre-training holds.

use std::fmt;

use densesiam_geometry::{Region, View};
use densesiam_random::Key;

use super::pairs::{PairAugmentation, PairBatch};
use crate::augment::{ApplyError, Augmentation, SettingError, ViewMaker, ViewPair, draw_views};
use crate::image::RgbImage;

/// One batch of view pairs.
#[derive(Clone, PartialEq)]
pub struct Batch {
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
    /// Crop and flip of both views of each sample, in image space.
    pub geometry: Vec<[View; 2]>,
    /// What the two crops of each sample have in common, in image space; `None` where they do not overlap.
    pub overlaps: Vec<Option<Region>>,
    /// How often a second crop was drawn again, summed over the samples.
    pub redraws: u64,
}

impl fmt::Debug for Batch {
    /// Without the pixels.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, epoch, samples, .. } = self;
        write!(formatter, "Batch {{ step: {step}, epoch: {epoch}, samples: {samples:?}, .. }}")
    }
}

impl PairAugmentation for Augmentation {
    type Pair = ViewPair;
    type Batch = Batch;

    fn validate(&self) -> Result<(), SettingError> {
        Augmentation::validate(self)
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn draw(&self, size: (u32, u32), key: Key) -> ViewPair {
        draw_views(self, size, key)
    }

    fn apply(
        pair: &ViewPair,
        maker: &mut ViewMaker,
        image: &RgbImage,
        views: &mut [Vec<u8>; 2],
    ) -> Result<(), ApplyError> {
        pair.views.iter().zip(views).try_for_each(|(parameters, view)| maker.apply(image, parameters, view))
    }

    fn deliver(made: PairBatch<ViewPair>) -> Batch {
        let PairBatch { step, epoch, size, samples, views, pairs } = made;
        let geometry = pairs.iter().map(|pair| pair.views.map(|parameters| parameters.view)).collect();
        let overlaps = pairs.iter().map(|pair| pair.overlap).collect();
        let redraws = pairs.iter().map(|pair| u64::from(pair.redraws)).sum();
        Batch { step, epoch, size, samples, views, geometry, overlaps, redraws }
    }

    fn memory(batch: Batch) -> [Vec<u8>; 2] {
        batch.views
    }
}
