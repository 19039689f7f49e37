//! Predictions of many targets.

use tch::Tensor;

use crate::losses::of_nothing;

/// `-2 cos(y_i, z_j)` of unit columns `y` and `z`, `[B, D, n]`, mean over the `pairs` of a sample, `[B, n, n]` of 0 and 1, and then
/// over all samples; 0 for a sample without a pair. The floor under the number of pairs is that of PixPro's and SoCo's released code.
pub fn paired(y: &Tensor, z: &Tensor, pairs: &Tensor) -> Tensor {
    if y.numel() == 0 {
        return of_nothing(y);
    }
    let pairs = pairs.to_kind(y.kind());
    let over = |sums: Tensor| sums.sum_dim_intlist([1i64, 2].as_slice(), false, y.kind());
    let cosine = y.transpose(1, 2).bmm(z);
    (over(cosine * &pairs) / (over(pairs) + 1e-6)).mean(y.kind()) * -2.0
}
