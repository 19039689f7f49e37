//! Two aligned views of a picture, which unsupervised segmentation compares: invariance and equivariance.
//!
//! Both views start from the same square frame of the picture ([`crate::frame`]) and differ in their colours. View 1
//! is cropped, in pixels; view 2 shows the whole frame, and the same crop and flip are applied to its *features*
//! ([`AlignedPair::feature_box`], [`AlignedPair::flip`]). Source: the paper, section 4.
//!
//! The release changes the colours of the whole frame at `base_size` (640) and scales afterwards. Here each view is
//! resampled from the original picture to its final size first and coloured there, on a quarter of the pixels. To get
//! the same result, contrast blends view 1 against the mean grey of the whole frame, and the blur's sigma, in pixels of
//! `base_size`, is scaled to the pixels of the view. Two differences remain: clamping and the blur act on averaged
//! pixels, and the crop is resampled with antialiasing (the release: bilinear without).

mod draw;
mod settings;

pub use draw::AlignedPair;
pub use settings::{AlignedViews, BlurDraw, CropRounding};
