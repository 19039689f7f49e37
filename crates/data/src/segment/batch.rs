//! What a batch of segmentation holds.

use std::fmt;

use densesiam_geometry::Region;
use densesiam_random::Key;

use super::{SegmentAugmentation, SegmentPair, draw_segment_views};
use crate::augment::{ApplyError, SettingError, ViewMaker};
use crate::image::RgbImage;
use crate::loader::{Loader, PairAugmentation, PairBatch};

/// The loader of segmentation: [`Loader`] with all it promises (order, any number of workers, start at any step,
/// replacement of unreadable files), delivering [`SegmentBatch`]es.
pub type SegmentLoader = Loader<SegmentAugmentation>;

/// One batch of view pairs of segmentation.
#[derive(Clone, PartialEq)]
pub struct SegmentBatch {
    /// Step of the run, from 0.
    pub step: u64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Side of the views in pixels.
    pub size: u32,
    /// The sample actually used in each place: its number in the index.
    pub samples: Vec<u64>,
    /// First views (cropped, mirrored) and second views (whole frames), each `[B, size, size, 3]` bytes.
    pub views: [Vec<u8>; 2],
    /// The part of the features of each second view that its first view shows: edges as shares of the feature map,
    /// within `[0, 1]`.
    pub boxes: Vec<Region>,
    /// Whether the cropped features of each second view are to be mirrored left to right.
    pub flips: Vec<bool>,
}

impl fmt::Debug for SegmentBatch {
    /// Without the pixels.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, epoch, samples, .. } = self;
        write!(formatter, "SegmentBatch {{ step: {step}, epoch: {epoch}, samples: {samples:?}, .. }}")
    }
}

impl PairAugmentation for SegmentAugmentation {
    type Pair = SegmentPair;
    type Batch = SegmentBatch;

    fn validate(&self) -> Result<(), SettingError> {
        SegmentAugmentation::validate(self)
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn draw(&self, size: (u32, u32), key: Key) -> SegmentPair {
        draw_segment_views(self, size, key)
    }

    fn apply(
        pair: &SegmentPair,
        maker: &mut ViewMaker,
        image: &RgbImage,
        views: &mut [Vec<u8>; 2],
    ) -> Result<(), ApplyError> {
        pair.views
            .iter()
            .zip(views)
            .try_for_each(|(parameters, view)| maker.apply_in_frame(image, &pair.frame, parameters, view))
    }

    fn deliver(made: PairBatch<SegmentPair>) -> SegmentBatch {
        let PairBatch { step, epoch, size, samples, views, pairs } = made;
        let (boxes, flips) = pairs.iter().map(|pair| (pair.feature_box, pair.flip)).unzip();
        SegmentBatch { step, epoch, size, samples, views, boxes, flips }
    }

    fn memory(batch: SegmentBatch) -> [Vec<u8>; 2] {
        batch.views
    }
}
