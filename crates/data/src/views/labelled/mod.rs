//! Square crops of labelled pictures, on which a segmentation is trained with labels.
//!
//! A picture is scaled by a random factor, cropped, mirrored and changed in its colours, each as OpenMMLab's
//! segmentation library does for FCN on Cityscapes (mmsegmentation, `RandomResize`, `RandomCrop` and
//! `PhotoMetricDistortion`), with [`crate::opencv`]. The label map takes the same way. Where the scaled picture is
//! smaller than the crop, the rest is padding: void in the labels, and to be set to 0 in the network's input.

mod crops;
mod distortion;
mod settings;

pub use crops::{LabelledCrop, LabelledCrops};
pub use distortion::Distortion;
pub use settings::CropSettings;

#[cfg(test)]
mod tests;
