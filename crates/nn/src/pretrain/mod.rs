//! Pre-training methods, one file each, and the interface that other code uses.

pub mod densesiam;

use densesiam_geometry::View;
use densesiam_random::Key;
use densesiam_settings::duration::Now;
use tch::Tensor;

use crate::step::Step;

/// The views of a batch.
#[derive(Debug)]
pub struct Views<'b> {
    /// For each view all samples, `[B, 3, size, size]`, normalised.
    pub pixels: Vec<Tensor>,
    /// How each view of each sample was cut from its picture, in image space.
    pub cuts: &'b [Vec<View>],
    /// The key of each sample, for the points that a method draws.
    pub keys: &'b [Key],
    /// The share of the batch's pictures that these are: 1 unless other processes have the others.
    pub share: f64,
}

/// A way to pre-train an encoder.
pub trait Method {
    /// One step in training mode, up to the loss. Every stop-gradient is a `detach` in the method's own file.
    fn step(&mut self, views: &Views, now: Now) -> Step;

    /// Updates what follows the parameters after a step has updated them: momentum encoders, queues. Nothing changes if
    /// `skip`, a scalar on the device, is 1.
    fn follow(&mut self, _now: Now, _skip: &Tensor) {}

    /// The dense features of pictures `[B, 3, H, W]`, in evaluation mode and without gradient: `[B, C, h, w]`.
    fn features(&self, pictures: &Tensor) -> Tensor;

    /// Pseudo-category of each cell of pictures `[B, 3, H, W]`, `[B, side, side]`, in evaluation mode; `None` if the
    /// method has none.
    fn categories(&self, _pictures: &Tensor, _side: i64) -> Option<Tensor> {
        None
    }
}
