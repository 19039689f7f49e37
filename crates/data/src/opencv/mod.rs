//! What OpenCV makes of 8-bit pictures, to the last bit: published figures of supervised segmentation are of networks
//! that were trained and tested on such pictures.
//!
//! [`Window`] says which part of a scaled picture is looked at. [`WindowResizer`] computes the pixels of that part alone,
//! between whole pixels and without antialiasing, unlike [`crate::resize`]; labels are those of single pixels. Compared
//! with OpenCV 4.11 on x86-64.

mod bilinear;
pub(crate) mod hsv;
mod window;

pub use bilinear::WindowResizer;
pub use window::{Window, fitted};

#[cfg(test)]
mod tests;
