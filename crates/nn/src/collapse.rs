//! Numbers that distinguish a healthy run from a collapsed one. All stay on the device until they are read.

use densesiam_torch_ext::Group;
use tch::{Kind, Tensor};

use crate::losses::normalised;

/// Standard deviation over the samples of L2-normalised outputs `[rows, D]`, mean over channels, times `sqrt(D)`:
/// 1 for directions spread evenly over the sphere, 0 when all outputs are the same (SimSiam, figure 2). The samples are those
/// of all processes.
pub fn spread(z: &Tensor, group: &Group) -> Tensor {
    let z = z.detach().to_kind(Kind::Float);
    let channels = z.size()[1] as f64;
    let z = normalised(&z, 1);
    let deviation = if group.is_alone() { z.std_dim(0, false, false) } else { deviation_of_all(&z, group) };
    deviation.mean(Kind::Float) * channels.sqrt()
}

/// The deviation of each channel over the rows `[rows, D]` of all processes.
fn deviation_of_all(z: &Tensor, group: &Group) -> Tensor {
    let z = z.to_kind(Kind::Double);
    let sum = |rows: &Tensor| rows.sum_dim_intlist(0, false, Kind::Double);
    let sums = Tensor::stack(&[sum(&z), sum(&(&z * &z)), sum(&z.ones_like())], 0);
    group.sum(&sums);
    let mean = sums.get(0) / sums.get(2);
    (sums.get(1) / sums.get(2) - &mean * &mean).clamp_min(0.0).sqrt().to_kind(Kind::Float)
}

/// How the pseudo-categories (argmax over the channels of `[B, N, ...]`) are used by all positions of a batch.
#[derive(Debug)]
pub struct CategoryUse {
    /// Entropy of the histogram over `ln N`: 1 when all categories are used alike, 0 when only one is.
    pub entropy: Tensor,
    /// Number of categories that occur at all.
    pub used: Tensor,
}

/// Measures the use of pseudo-categories in the batches of all processes; ours.
pub fn category_use(z: &Tensor, group: &Group) -> CategoryUse {
    let categories = z.size()[1];
    let counts = category_counts(&z.detach().argmax(1, false), categories);
    group.sum(&counts);
    let share = counts.to_kind(Kind::Float) / counts.sum(Kind::Float);
    let entropy = -(share.xlogy(&share)).sum(Kind::Float) / (categories.max(2) as f64).ln();
    CategoryUse { entropy, used: counts.gt(0).sum(Kind::Float) }
}

/// How often each of `categories` occurs among `labels` of any shape: `[categories]`, integers. `bincount` would ask a CUDA
/// device for the largest label, and wait.
pub(crate) fn category_counts(labels: &Tensor, categories: i64) -> Tensor {
    let labels = labels.flatten(0, -1);
    Tensor::zeros([categories], (Kind::Int64, labels.device())).index_add(0, &labels, &labels.ones_like())
}
