//! LARS (You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks"), in the form that
//! self-supervised learning uses (MoCo v3's `moco/optimizer.py`): the trust ratio scales the decayed gradient before
//! it enters the momentum, and parameters of one dimension (norms, biases) are left out of it.

use tch::Tensor;

/// The gradient with weight decay and, for matrices and kernels, the trust ratio: `trust_coefficient * |p| / |d|` with
/// `d = gradient + weight_decay * p`, or 1 if either norm is 0. Computed on the device; nothing is read back.
pub(super) fn scaled_gradient(
    parameter: &Tensor,
    gradient: &Tensor,
    weight_decay: f64,
    trust_coefficient: f64,
) -> Tensor {
    let decayed = gradient + parameter * weight_decay;
    if parameter.dim() <= 1 {
        return decayed;
    }
    let (parameter_norm, decayed_norm) = (parameter.norm(), decayed.norm());
    let both = parameter_norm.gt(0.0).logical_and(&decayed_norm.gt(0.0));
    let ratio = parameter_norm * trust_coefficient / decayed_norm;
    &decayed * ratio.where_self(&both, &ratio.ones_like())
}
