//! A convolution and its batch norm, as the heads of segmenters and detectors repeat it.

use tch::Tensor;

use crate::layers::{BatchNorm, Convolution, Mode};
use crate::store::{Initial, Scope};

/// A convolution of stride 1 without a bias, and its norm.
#[derive(Debug)]
pub(crate) struct NormedConvolution {
    convolution: Convolution,
    norm: BatchNorm,
}

impl NormedConvolution {
    /// With the convolution's and the norm's places, whose names differ between frameworks.
    pub(crate) fn new(
        [convolution, norm]: [&Scope; 2],
        channels: [i64; 2],
        kernel: i64,
        initial: Initial,
    ) -> Self {
        Self {
            convolution: Convolution::of_kernel(convolution, channels, kernel, initial, None),
            norm: BatchNorm::affine(norm, channels[1], 1.0),
        }
    }

    /// `[B, in, h, w]` to `[B, out, h, w]`.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.norm.forward(&self.convolution.forward(x), mode)
    }

    /// The same with ReLU after it.
    pub(crate) fn forward_relu(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.norm.forward_relu(&self.convolution.forward(x), mode)
    }
}

/// Several in a row, each with ReLU: `[B, in, h, w]` to `[B, out, h, w]`.
pub(crate) fn all_relu(layers: &[NormedConvolution], x: &Tensor, mode: Mode) -> Tensor {
    let Some((first, rest)) = layers.split_first() else { return x.shallow_clone() };
    let (mut map, mut norm) = (first.convolution.forward(x), &first.norm);
    for next in rest {
        map = next.convolution.forward_after(norm, &map, mode);
        norm = &next.norm;
    }
    norm.forward_relu(&map, mode)
}
