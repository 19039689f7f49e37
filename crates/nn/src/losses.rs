//! The distances of eq. 2 and 3 and the contrastive loss of eq. 6.
//!
//! No function here stops a gradient; that is done visibly where a loss is put together.

use densesiam_torch_ext::cross_entropy;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// `D` of eq. 1. Both distances are a negative inner product of an encoded prediction and an encoded target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distance {
    /// Negative cosine similarity, eq. 2; in `[-1, 1]`.
    #[serde(rename = "cosine")]
    Cosine,
    /// Cross-entropy of softmax outputs, eq. 3; at least the entropy of the target.
    #[serde(rename = "ce")]
    CrossEntropy,
}

impl Distance {
    /// The prediction's factor of the inner product, same shape as `p`; `channels` is the axis of the channels.
    pub fn encode_prediction(self, p: &Tensor, channels: i64) -> Tensor {
        match self {
            Self::Cosine => normalised(p, channels),
            Self::CrossEntropy => p.log_softmax(channels, p.kind()),
        }
    }

    /// The target's factor of the inner product, same shape as `z`.
    pub fn encode_target(self, z: &Tensor, channels: i64) -> Tensor {
        match self {
            Self::Cosine => normalised(z, channels),
            Self::CrossEntropy => z.softmax(channels, z.kind()),
        }
    }

    /// `D(p, z)` at every position: `[B, D, ...]` to `[B, ...]`.
    pub fn at_each(self, p: &Tensor, z: &Tensor) -> Tensor {
        let product = self.encode_prediction(p, 1) * self.encode_target(z, 1);
        -product.sum_dim_intlist(1, false, product.kind())
    }

    /// `D(p, z)`, mean over all positions and samples, in the kind of the losses.
    pub fn mean(self, p: &Tensor, z: &Tensor) -> Tensor {
        let kind = loss_kind(p.kind());
        match self {
            _ if p.numel() == 0 => of_nothing(p),
            Self::Cosine => self.at_each(&p.to_kind(kind), &z.to_kind(kind)).mean(kind),
            Self::CrossEntropy => cross_entropy(p, z),
        }
    }
}

/// The squared distance of rows of length 1, `|n(p) - n(z)|^2 = 2 - 2 cos(p, z)`, mean over all rows (BYOL, eq. 2).
pub(crate) fn squared_distance(p: &Tensor, z: &Tensor) -> Tensor {
    (Distance::Cosine.mean(p, z) + 1.0) * 2.0
}

/// `x` divided by its L2 norm along an axis, with PyTorch's floor of 1e-12 under the norm.
pub(crate) fn normalised(x: &Tensor, axis: i64) -> Tensor {
    let norm = x.norm_scalaropt_dim(2.0, [axis], true).clamp_min(1e-12);
    x / norm
}

/// `x` in the kind of the losses, divided by its L2 norm along an axis. Half precision would put lengths off by 0.4 percent.
pub(crate) fn unit(x: &Tensor, axis: i64) -> Tensor {
    normalised(&x.to_kind(loss_kind(x.kind())), axis)
}

/// Eq. 6, `-log(exp(cos(q_i, r_i) / t) / sum_j exp(cos(q_i, r_j) / t))`, which keeps no similarities for the backward
/// pass; mean over all rows.
pub fn contrast(q: &Tensor, r: &Tensor, temperature: f64) -> Tensor {
    if q.numel() == 0 {
        of_nothing(q) + of_nothing(r)
    } else {
        densesiam_torch_ext::contrast(q, r, temperature)
    }
}

/// The cross-entropy of logits `[B, K, ...]` against labels `[B, ...]` at every position, `[B, ...]`.
pub(crate) fn entropy_of_labels(logits: &Tensor, labels: &Tensor) -> Tensor {
    -logits.log_softmax(1, logits.kind()).gather(1, &labels.unsqueeze(1), false).squeeze_dim(1)
}

/// The loss of outputs that belong to no sample, in a process without one: 0, with a backward pass through the same layers as
/// in the other processes, which wait in each of them.
pub(crate) fn of_nothing(outputs: &Tensor) -> Tensor {
    outputs.sum(loss_kind(outputs.kind()))
}

/// The part of a loss that a process adds to the loss of all: the mean over its own samples, times their share of all samples.
pub(crate) fn weighed(mean: Tensor, share: f64) -> Tensor {
    if share == 1.0 { mean } else { mean * share }
}

/// Zero, for a loss that has no input to be computed from.
pub(crate) fn zero_like(x: &Tensor) -> Tensor {
    Tensor::zeros([0i64; 0], (loss_kind(x.kind()), x.device()))
}

/// The kind that losses are computed in: float64 for float64, float32 for everything else.
pub(crate) fn loss_kind(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}
