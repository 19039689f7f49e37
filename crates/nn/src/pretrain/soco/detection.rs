//! The layers of a detector that are pre-trained with the encoder (SoCo, section 3.3): a feature pyramid with norms and the head of
//! its boxes.

use tch::Tensor;

use crate::encoder::{Architecture, Features};
use crate::layers::{BatchNorm, Convolution, Linear, Mode};
use crate::store::{Initial, Scope};

/// A convolution without a bias, and its norm: `0` and `1` below its place.
#[derive(Debug)]
struct NormedConvolution {
    convolution: Convolution,
    norm: BatchNorm,
}

impl NormedConvolution {
    fn new(scope: &Scope, channels: [i64; 2], kernel: i64) -> Self {
        let initial = Initial::UniformFanIn(channels[0] * kernel * kernel);
        Self {
            convolution: Convolution::of_kernel(&(scope / "0"), channels, kernel, initial, None),
            norm: BatchNorm::affine(&(scope / "1"), channels[1], 1.0),
        }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        self.norm.forward(&self.convolution.forward(x), mode)
    }
}

/// From C2..C5 to P2..P5 (Lin et al. 2017): 1x1 convolutions, sums from the top down, and a 3x3 convolution at each level.
#[derive(Debug)]
pub(super) struct NormedPyramid {
    /// From C2.
    laterals: [NormedConvolution; 4],
    /// From P2.
    outputs: [NormedConvolution; 4],
}

impl NormedPyramid {
    /// Below `scope`, with `width` channels: `laterals.0` (of C2) to `laterals.3`, and `outputs` alike.
    pub(super) fn new(scope: &Scope, architecture: Architecture, width: i64) -> Self {
        let channels = architecture.channels();
        let layer = |name: &str, channels: i64, kernel: i64| {
            NormedConvolution::new(&(scope / name), [channels, width], kernel)
        };
        Self {
            laterals: std::array::from_fn(|level| layer(&format!("laterals.{level}"), channels[level], 1)),
            outputs: std::array::from_fn(|level| layer(&format!("outputs.{level}"), width, 3)),
        }
    }

    /// P2 to P5, `[B, width, h, w]` each.
    pub(super) fn forward(&self, features: &Features, mode: Mode) -> [Tensor; 4] {
        let mut levels: [Tensor; 4] =
            std::array::from_fn(|level| self.laterals[level].forward(&features.maps[level], mode));
        for level in (0..3).rev() {
            let above = levels[level + 1].upsample_nearest2d(&levels[level].size()[2..], None, None);
            levels[level] = &levels[level] + above;
        }
        std::array::from_fn(|level| self.outputs[level].forward(&levels[level], mode))
    }
}

/// Four 3x3 convolutions with norms and ReLU, and a linear layer with ReLU, on the values of boxes.
#[derive(Debug)]
pub(super) struct BoxHead {
    convolutions: [NormedConvolution; 4],
    linear: Linear,
}

impl BoxHead {
    /// Below `scope`, from `width` channels of `bins x bins` values to `out` channels: `convs.0` to `convs.3`, and `linear`.
    pub(super) fn new(scope: &Scope, width: i64, bins: i64, out: i64) -> Self {
        let convolution =
            |index| NormedConvolution::new(&(scope / format!("convs.{index}").as_str()), [width; 2], 3);
        Self {
            convolutions: std::array::from_fn(convolution),
            linear: Linear::new(&(scope / "linear"), [width * bins * bins, out], true),
        }
    }

    /// `[rows, width, bins, bins]` to `[rows, out]`.
    pub(super) fn forward(&self, boxes: &Tensor, mode: Mode) -> Tensor {
        let [first, rest @ ..] = &self.convolutions;
        let (mut map, mut norm) = (first.convolution.forward(boxes), &first.norm);
        for next in rest {
            map = next.convolution.forward_after(norm, &map, mode);
            norm = &next.norm;
        }
        self.linear.forward(&norm.forward_relu(&map, mode).flatten(1, -1)).relu()
    }
}
