//! The two views of unsupervised segmentation: invariance and equivariance.
//!
//! Both views start from the same square frame of the picture ([`crate::frame`]) and differ in their colours. View 1
//! is cropped, in pixels; view 2 shows the whole frame, and the same crop and flip are applied to its *features*
//! ([`SegmentBatch::boxes`], [`SegmentBatch::flips`]). the paper, section 4.
//!
//! The release changes the colours of the whole frame at `base_size` (640) and scales afterwards. Here each view is
//! resampled from the original picture to its final size first and coloured there, on a quarter of the pixels. So that
//! this comes to the same: contrast blends view 1 against the mean grey of the whole frame, and the blur's sigma, in
//! pixels of `base_size`, is scaled to the pixels of the view. What remains is that clamping and the blur act on
//! averaged pixels, and that the crop is resampled with antialiasing (the release: bilinear without).

mod batch;
mod draw;
mod settings;

pub use batch::{SegmentBatch, SegmentLoader};
pub use draw::{SegmentPair, draw_segment_views};
pub use settings::{BlurDraw, CropRounding, SegmentAugmentation};
