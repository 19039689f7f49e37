//! Layers with gradients (`layers/layers.h` is their list): computed by kernels of the processor or of a CUDA device if
//! there are any for these shapes and kinds, else by libtorch.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use crate::border::{pointer, tensor_from};
use crate::group::Group;

unsafe extern "C" {
    fn torch_ext_convolution(
        input: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        dilation: i64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_batch_norm(
        input: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        residual: *const c_void,
        relu: bool,
        views: i64,
        momentum: f64,
        epsilon: f64,
        group: *const c_void,
        output: *mut *mut c_void,
        again: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_norm_convolution(
        input: *const c_void,
        norm_weight: *const c_void,
        norm_bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        relu: bool,
        views: i64,
        momentum: f64,
        epsilon: f64,
        group: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        dilation: i64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_sample(map: *const c_void, grid: *const c_void, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_max_pool(map: *const c_void, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_roi_align(
        map: *const c_void,
        boxes: *const f64,
        count: i64,
        scale: f64,
        bins: i64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_contrast(
        q: *const c_void,
        r: *const c_void,
        temperature: f64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_cluster_sums(
        rows: *const c_void,
        centroids: *const c_void,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_cross_entropy(p: *const c_void, z: *const c_void, output: *mut *mut c_void) -> *mut c_char;
}

/// A convolution of `input` `[B, in, H, W]` with `weight` `[out, in, k, k]` and `bias` `[out]`, padded by `dilation *
/// (k / 2)`, with gradients. On a processor with AVX2, a 3x3 convolution in float32 with stride 1 and multiples of 16
/// channels uses Winograd's F(4x4, 3x3), which takes a quarter of the products and is exact to about 1e-5 of the
/// outputs' deviation; the gradient of the weights of a 1x1 convolution in bfloat16 uses one matrix product. On a CUDA device the 7x7
/// convolution of a ResNet's stem is computed as a 4x4 one. Everything else uses libtorch.
///
/// # Panics
/// When the shapes do not fit, which the caller must prevent.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, dilation]: [i64; 2],
) -> Tensor {
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("convolution", |output| unsafe {
        let (input, weight) = (pointer(Some(input)), pointer(Some(weight)));
        torch_ext_convolution(input, weight, pointer(bias), stride, dilation, output)
    })
}

/// What batch norm does besides normalising.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'t> {
    /// Weight and bias, `[C]` each.
    pub affine: Option<(&'t Tensor, &'t Tensor)>,
    /// Running mean and variance, `[C]` each.
    pub running: (&'t Tensor, &'t Tensor),
    /// In training: the number of equal parts of the batch that each have their own statistics. One after the other,
    /// these update the running statistics by `momentum` (the variance unbiased). 0 normalises by the running
    /// statistics.
    pub views: i64,
    /// Share of a view in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Added to the normalised values, of the input's shape.
    pub residual: Option<&'t Tensor>,
    /// Whether ReLU follows.
    pub relu: bool,
    /// The processes whose batches have common statistics in training, if there are others. A process may then have no value
    /// at all.
    pub group: Option<&'t Group>,
}

/// Normalises `input` `[B, C, H, W]` or `[rows, C]`, adds the residual, applies ReLU, with gradients. On a processor
/// with AVX2 and on a CUDA device, for maps in float32 or bfloat16, this takes one sweep over memory instead of
/// libtorch's three; else libtorch is used.
///
/// The output is returned twice, over the same memory: if the two are used separately, their gradients are summed
/// within the sweep.
///
/// # Panics
/// When the shapes do not fit, or a view in training has only one value per channel; the caller must prevent both.
pub fn batch_norm(input: &Tensor, norm: BatchNorm<'_>) -> [Tensor; 2] {
    let mut again = std::ptr::null_mut();
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    let output = tensor_from("batch_norm", |output| unsafe {
        torch_ext_batch_norm(
            pointer(Some(input)),
            pointer(norm.affine.map(|(weight, _)| weight)),
            pointer(norm.affine.map(|(_, bias)| bias)),
            pointer(Some(norm.running.0)),
            pointer(Some(norm.running.1)),
            pointer(norm.residual),
            norm.relu,
            norm.views,
            norm.momentum,
            norm.epsilon,
            norm.group.map_or(std::ptr::null(), Group::pointer),
            output,
            &mut again,
        )
    });
    // SAFETY: no failure, so `again` is a new at::Tensor too.
    [output, unsafe { Tensor::from_ptr(again.cast()) }]
}

/// A batch norm, affine and without residual, of `input` `[B, in, H, W]`, and then a convolution, with gradients; or of
/// `[rows, in]`, and then a linear layer of weight `[out, in]`. The same as [`batch_norm`] followed by [`convolution`],
/// but if the processor has kernels, the map between them is not kept for the backward pass, but recomputed there.
///
/// # Panics
/// As those two, and when the norm has a residual or no weight; the caller must prevent this.
pub fn norm_convolution(
    input: &Tensor,
    norm: BatchNorm<'_>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, dilation]: [i64; 2],
) -> Tensor {
    assert!(norm.residual.is_none(), "norm_convolution: a residual");
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("norm_convolution", |output| unsafe {
        torch_ext_norm_convolution(
            pointer(Some(input)),
            pointer(norm.affine.map(|(weight, _)| weight)),
            pointer(norm.affine.map(|(_, bias)| bias)),
            pointer(Some(norm.running.0)),
            pointer(Some(norm.running.1)),
            norm.relu,
            norm.views,
            norm.momentum,
            norm.epsilon,
            norm.group.map_or(std::ptr::null(), Group::pointer),
            pointer(Some(weight)),
            pointer(bias),
            stride,
            dilation,
            output,
        )
    })
}

/// `map` `[B, C, h, w]` read at `grid` `[B, H, W, 2]`, (x, y) from -1 to 1 over the map: bilinear, border padding,
/// `align_corners = false`; `[B, C, H, W]` in the map's kind, computed in the grid's. With a gradient for the map; on a
/// processor with AVX2, for a float32 grid without gradient, computed by vectors over channels, else by libtorch.
///
/// # Panics
/// When the shapes do not fit, which the caller must prevent.
pub fn sample(map: &Tensor, grid: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("sample", |output| unsafe {
        torch_ext_sample(pointer(Some(map)), pointer(Some(grid)), output)
    })
}

/// The largest of each 3x3 window of `map` `[B, C, H, W]`, at a stride of 2 with a border of 1, as ResNet's stem pools,
/// with gradients: half the size, rounded up. On a processor with AVX2, for maps in float32 or bfloat16, one byte per
/// output is kept for the backward pass; else libtorch is used, which keeps the map and eight bytes per output.
///
/// # Panics
/// When the map does not have four axes, which the caller must prevent.
pub fn max_pool(map: &Tensor) -> Tensor {
    // SAFETY: a tensor that outlives the call; C++ throws are returned.
    tensor_from("max_pool", |output| unsafe { torch_ext_max_pool(pointer(Some(map)), output) })
}

/// The values of `boxes` of a map `[B, C, h, w]`, by RoIAlign (He et al. 2017): `[boxes, C, bins, bins]`, with a gradient for the
/// map. A box is its picture and x0, y0, x1, y1 in pixels, of which a cell of the map is `1 / scale`. A bin is the mean of samples
/// at most a cell apart; the centre of the first cell is at half a cell. On a processor with AVX2, for maps in float32 or
/// bfloat16, computed by vectors over channels, else by matrix products of libtorch. The gradient is summed in a fixed order.
///
/// # Panics
/// When a box belongs to no picture or is not finite, which the caller must prevent.
pub fn roi_align(map: &Tensor, boxes: &[[f64; 5]], scale: f64, bins: i64) -> Tensor {
    // SAFETY: a tensor and boxes that outlive the call; C++ throws are returned.
    tensor_from("roi_align", |output| unsafe {
        let count = boxes.len() as i64;
        torch_ext_roi_align(pointer(Some(map)), boxes.as_ptr().cast(), count, scale, bins, output)
    })
}

/// Every row of `q` `[B, N, D]` against all rows of `r` `[B, N, D]` of the same sample (eq. 6): the cross-entropy of
/// identifying its own row by the cosines over `temperature`; mean over `B` and `N`, with gradients for both. A scalar
/// in float64 for rows in float64, in float32 for all others. Only the rows themselves are kept for the backward pass.
///
/// # Panics
/// When the shapes or kinds differ, which the caller must prevent.
pub fn contrast(q: &Tensor, r: &Tensor, temperature: f64) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("contrast", |output| unsafe {
        torch_ext_contrast(pointer(Some(q)), pointer(Some(r)), temperature, output)
    })
}

/// The sums of rows `[R, D]` by the nearest of centroids `[K, D]`, in float64 `[K + 1, D + 1]`, without gradients: for each cluster
/// the sum of its rows and, in the last column, their number; the first number of the last line is the sum of all squared
/// distances. A processor with AVX2 reads rows in float32 once.
///
/// # Panics
/// When the shapes or kinds differ, which the caller must prevent.
pub fn cluster_sums(rows: &Tensor, centroids: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("cluster_sums", |output| unsafe {
        torch_ext_cluster_sums(pointer(Some(rows)), pointer(Some(centroids)), output)
    })
}

/// The cross-entropy of `softmax(z)` and `softmax(p)` over the second axis (eq. 3): `[B, C, ...]` both, mean over all
/// positions, with gradients. A scalar in float64 for maps in float64, in float32 for all others. On a CUDA device, if
/// `z` needs no gradient, `[B, C]` and `[B, C, H, W]` are read as they are, and nothing else is kept for the backward
/// pass.
///
/// # Panics
/// When the shapes differ, which the caller must prevent.
pub fn cross_entropy(p: &Tensor, z: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("cross_entropy", |output| unsafe {
        torch_ext_cross_entropy(pointer(Some(p)), pointer(Some(z)), output)
    })
}
