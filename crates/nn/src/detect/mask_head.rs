//! The head that predicts a mask of 28 x 28 pixels for each box and class (He et al. 2017).

use densesiam_torch_ext::upload;
use tch::{Reduction, Tensor};

use super::numbers;
use super::pyramid::head_convolution;
use crate::layers::{Convolution, Mode};
use crate::losses::loss_kind;
use crate::normed_convolution::{NormedConvolution, all_relu};
use crate::store::{Initial, Scope};

/// Pixels of a mask along a side.
pub const MASK_SIDE: usize = 28;

/// Four 3x3 convolutions, a transposed one that doubles the side, and a 1x1.
#[derive(Debug)]
pub(super) struct MaskHead {
    convolutions: [NormedConvolution; 4],
    /// `[in, out, 2, 2]`, and `[out]`.
    enlarging: (Tensor, Tensor),
    predictor: Convolution,
    classes: i64,
}

impl MaskHead {
    /// Bins of a box along a side.
    pub(super) const BINS: i64 = MASK_SIDE as i64 / 2;

    /// `mask_fcn1` to `mask_fcn4`, `deconv` and `predictor` below `scope`.
    pub(super) fn new(scope: &Scope, width: i64, classes: i64) -> Self {
        let enlarging = scope / "deconv";
        let none = Initial::Constant(0.0);
        Self {
            convolutions: std::array::from_fn(|index| head_convolution(scope, "mask_fcn", (index, width))),
            enlarging: (
                enlarging.parameter("weight", &[width, width, 2, 2], Initial::KaimingNormalFanOut),
                enlarging.parameter("bias", &[width], none),
            ),
            predictor: Convolution::of_kernel(
                &(scope / "predictor"),
                [width, classes],
                1,
                Initial::Normal(0.001),
                Some(none),
            ),
            classes,
        }
    }

    /// The logits of the masks of each box's own class, `[boxes, 28, 28]` in the kind of the losses, from values `[boxes, C, 14, 14]`.
    fn logits(&self, values: &Tensor, classes: &[usize], mode: Mode) -> Tensor {
        let map = all_relu(&self.convolutions, values, mode);
        let [weight, bias] = [&self.enlarging.0, &self.enlarging.1].map(|of| of.to_kind(map.kind()));
        let map = map.conv_transpose2d(&weight, Some(&bias), [2, 2], [0, 0], [0, 0], 1, [1, 1]).relu();
        let logits = self.predictor.forward(&map);
        let rows = classes.iter().enumerate();
        let rows: Vec<i64> = rows.map(|(row, &class)| row as i64 * self.classes + class as i64).collect();
        let rows = upload(&rows, &[rows.len() as i64], logits.device());
        logits.flatten(0, 1).index_select(0, &rows).to_kind(loss_kind(logits.kind()))
    }

    /// The loss of the masks of each box's class, as a sum over their pixels. `masks` has those of all boxes, row by row.
    pub(super) fn loss(&self, values: &Tensor, classes: &[usize], masks: &[bool], mode: Mode) -> Tensor {
        let logits = self.logits(values, classes, mode);
        let masks: Vec<u8> = masks.iter().map(|&inside| u8::from(inside)).collect();
        let masks = upload(&masks, &logits.size(), logits.device()).to_kind(logits.kind());
        logits.binary_cross_entropy_with_logits(&masks, None::<&Tensor>, None::<&Tensor>, Reduction::Sum)
    }

    /// How likely each pixel of each box belongs to an object of the box's class, row by row.
    pub(super) fn probabilities(&self, values: &Tensor, classes: &[usize]) -> Vec<Vec<f32>> {
        let masks = numbers(&self.logits(values, classes, Mode::Evaluate).sigmoid());
        masks
            .chunks_exact(MASK_SIDE * MASK_SIDE)
            .map(|mask| mask.iter().map(|&p| p as f32).collect())
            .collect()
    }
}
