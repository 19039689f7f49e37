//! What libtorch has, Rust needs and tch lacks, and layers that are faster than libtorch's on a processor, through C++
//! (`torch_ext.cpp` is the border, `layers.h` the list of layers).
//!
//! All unsafe code of the workspace is here. A `tch::Tensor` holds a pointer to a C++ `at::Tensor`; the C++ side
//! borrows those for the length of a call and keeps none.

use std::ffi::{CStr, c_char, c_void};

use tch::kind::Element;
use tch::{Device, Tensor};

unsafe extern "C" {
    fn torch_ext_free(text: *mut c_char);
    fn torch_ext_show_config() -> *mut c_char;
    fn torch_ext_built_with() -> *mut c_char;
    fn torch_ext_load_cuda() -> *mut c_char;
    fn torch_ext_fused_sgd(
        parameters: *const *const c_void,
        gradients: *const *const c_void,
        momentum_buffers: *const *const c_void,
        count: usize,
        weight_decay: f64,
        momentum: f64,
        learning_rate: f64,
        first_step: bool,
        found_inf: *const c_void,
    ) -> *mut c_char;
    fn torch_ext_upload(tensor: *const c_void, device_index: i64, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_allow_tf32(allow: bool);
    fn torch_ext_cuda_kernels(tensor: *const c_void) -> *mut c_char;
    fn torch_ext_cuda_peak_memory(device_index: i64) -> i64;
    fn torch_ext_clear_gradients(parameters: *const *const c_void, count: usize) -> *mut c_char;
    fn torch_ext_total_norm(
        tensors: *const *const c_void,
        count: usize,
        norm: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_convolution(
        input: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        padding: i64,
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
        weight: *const c_void,
        bias: *const c_void,
        stride: i64,
        padding: i64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_sample(map: *const c_void, grid: *const c_void, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_max_pool(map: *const c_void, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_contrast(
        q: *const c_void,
        r: *const c_void,
        temperature: f64,
        output: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_cross_entropy(p: *const c_void, z: *const c_void, output: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_cuda_has_bf16(device_index: i64) -> bool;
}

/// Takes over a C string made by `strdup`, or `None` for null.
fn owned(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so a NUL-terminated string of strdup that is ours to free, once, here.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        torch_ext_free(text);
        Some(owned)
    }
}

/// The tensor that a C++ function leaves behind a pointer, unless it returns a message.
///
/// # Panics
/// With that message: contracts of the callers.
fn tensor_from(name: &str, call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Tensor {
    let mut tensor = std::ptr::null_mut();
    if let Some(message) = owned(call(&mut tensor)) {
        panic!("{name}: {message}");
    }
    // SAFETY: no failure, so `tensor` is a new at::Tensor that nobody else owns.
    unsafe { Tensor::from_ptr(tensor.cast()) }
}

fn pointer(tensor: Option<&Tensor>) -> *const c_void {
    tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void)
}

fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr() as *const c_void).collect()
}

/// How the loaded libtorch was built: version, compiler, processor capability in use, libraries.
pub fn show_config() -> String {
    // SAFETY: takes nothing and returns a string of strdup.
    owned(unsafe { torch_ext_show_config() }).unwrap_or_default()
}

/// The version of the libtorch in use, `2.11.0`, or `None` if it does not say.
pub fn version() -> Option<String> {
    version_of(&show_config())
}

/// `TORCH_VERSION=2.11.0, ` within libtorch's build settings.
fn version_of(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("TORCH_VERSION=")?;
    rest.split([',', ' ', '\n']).next().filter(|version| !version.is_empty()).map(str::to_owned)
}

/// The version of the libtorch whose headers this was compiled with, `2.11.0`. Another one at run time has other
/// layouts of its classes.
pub fn built_with() -> String {
    // SAFETY: takes nothing and returns a string of strdup.
    owned(unsafe { torch_ext_built_with() }).unwrap_or_default()
}

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use, so that one program serves machines with and without
/// CUDA. To be called before anything that asks for CUDA: libtorch remembers what it found then.
///
/// # Errors
/// What the system's loader says: the library is not there, or one that it needs.
pub fn load_cuda() -> Result<(), String> {
    // SAFETY: takes nothing and returns null or a string of strdup.
    owned(unsafe { torch_ext_load_cuda() }).map_or(Ok(()), Err)
}

/// `values`, of which `size` tells the shape, as a tensor on `device`. Neither the host nor what a CUDA device computes now
/// waits for the copy: it goes by page-locked memory, beside the computation.
///
/// # Panics
/// When there are not as many values as the shape holds: a contract of the caller.
pub fn upload<T: Element>(values: &[T], size: &[i64], device: Device) -> Tensor {
    assert_eq!(size.iter().product::<i64>(), values.len() as i64, "upload: {size:?}");
    let strides: Vec<i64> = (0..size.len()).map(|axis| size[axis + 1..].iter().product()).collect();
    // SAFETY: `values` holds the whole tensor, outlives it, and is only read: it is copied before this function returns.
    let borrowed = unsafe { Tensor::from_blob(values.as_ptr().cast(), size, &strides, T::KIND, Device::Cpu) };
    match device {
        Device::Cuda(index) => {
            // SAFETY: a tensor that outlives the call; C++ throws are returned.
            tensor_from("upload", |output| unsafe {
                torch_ext_upload(pointer(Some(&borrowed)), index as i64, output)
            })
        }
        other => borrowed.to_device_(other, T::KIND, false, true),
    }
}

/// Compiles this crate's kernels for the kind of a tensor and the CUDA device that it is on, unless that was done before.
///
/// # Errors
/// Why libtorch's layers serve there in their place: the tensor is not on a CUDA device, or is neither in float32 nor in
/// bfloat16; the environment has `DENSESIAM_CUDA_KERNELS=0`; NVIDIA's compiler is not found, or does not know the device;
/// or the device cannot start a kernel. What fails so is also printed, once.
pub fn cuda_kernels(tensor: &Tensor) -> Result<(), String> {
    // SAFETY: a tensor that outlives the call; what is thrown is caught there.
    owned(unsafe { torch_ext_cuda_kernels(pointer(Some(tensor))) }).map_or(Ok(()), Err)
}

/// Whether products and convolutions of float32 on CUDA devices may round their factors to TF32, of 10 bits. libtorch allows
/// it in convolutions unless told otherwise.
pub fn allow_tf32(allow: bool) {
    // SAFETY: sets two switches of libtorch.
    unsafe { torch_ext_allow_tf32(allow) };
}

/// The most bytes that tensors on the CUDA device of this index have held at once.
pub fn cuda_peak_memory(index: usize) -> u64 {
    // SAFETY: takes a number; what C++ throws is answered with 0.
    unsafe { torch_ext_cuda_peak_memory(index as i64) }.max(0) as u64
}

/// The settings of one group of a fused SGD step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Momentum factor, 0 for none.
    pub momentum: f64,
    /// Weight decay, added to the gradient (not decoupled).
    pub weight_decay: f64,
    /// Whether the momentum buffers hold nothing yet and are to be set to the gradient.
    pub first_step: bool,
}

/// One step of SGD with momentum over lists of equal length, in place and in one pass over memory, as
/// `torch.optim.SGD` computes it. Where `found_inf` (one float32) holds 1, nothing is changed: a step can be
/// skipped without asking the device.
///
/// # Panics
/// When the lists differ in length, a gradient's or buffer's strides differ from its parameter's (the kernel walks all
/// three as flat memory), or libtorch refuses their shapes, types or devices: contracts of the caller.
pub fn fused_sgd(
    parameters: &[Tensor],
    gradients: &[Tensor],
    momentum_buffers: &[Tensor],
    step: SgdStep,
    found_inf: Option<&Tensor>,
) {
    assert!(parameters.len() == gradients.len() && parameters.len() == momentum_buffers.len());
    let (parameters, gradients, buffers) =
        (pointers(parameters), pointers(gradients), pointers(momentum_buffers));
    // SAFETY: the three lists hold `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe {
        torch_ext_fused_sgd(
            parameters.as_ptr(),
            gradients.as_ptr(),
            buffers.as_ptr(),
            parameters.len(),
            step.weight_decay,
            step.momentum,
            step.learning_rate,
            step.first_step,
            found_inf.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void),
        )
    });
    if let Some(message) = failure {
        panic!("fused_sgd: {message}");
    }
}

/// Sets `.grad` of every parameter to undefined (PyTorch's `None`): what gets no gradient in the next backward pass
/// can then be told from what gets a zero one.
///
/// # Panics
/// When libtorch refuses: a tensor that is not a leaf, a contract of the caller.
pub fn clear_gradients(parameters: &[Tensor]) {
    let pointers = pointers(parameters);
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe { torch_ext_clear_gradients(pointers.as_ptr(), pointers.len()) });
    if let Some(message) = failure {
        panic!("clear_gradients: {message}");
    }
}

/// The Euclidean norm of all tensors taken as one vector: a scalar of their type, computed on their device and left
/// there. `None` for an empty list.
///
/// # Panics
/// When the tensors differ in device or type, or are not of floating point: contracts of the caller.
pub fn total_norm(tensors: &[Tensor]) -> Option<Tensor> {
    if tensors.is_empty() {
        return None;
    }
    let pointers = pointers(tensors);
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let norm = |norm| unsafe { torch_ext_total_norm(pointers.as_ptr(), pointers.len(), norm) };
    Some(tensor_from("total_norm", norm))
}

/// A convolution of `input` `[B, in, H, W]` with `weight` `[out, in, k, k]` and `bias` `[out]`, with gradients. On a
/// processor with AVX2 a 3x3 one in float32 of stride 1, padding 1 and channels in multiples of 16 goes by Winograd's
/// F(4x4, 3x3), which takes a quarter of the products and is exact to about 1e-5 of the outputs' deviation; the gradient
/// of a 1x1 one's weights in bfloat16 goes by one product of matrices. On a CUDA device the 7x7 one of a ResNet's stem goes as
/// one of 4x4; all else by libtorch.
///
/// # Panics
/// When the shapes do not fit: a contract of the caller.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding]: [i64; 2],
) -> Tensor {
    // SAFETY: pointers to tensors that outlive the call, or null; C++ throws are returned.
    tensor_from("convolution", |output| unsafe {
        let (input, weight) = (pointer(Some(input)), pointer(Some(weight)));
        torch_ext_convolution(input, weight, pointer(bias), stride, padding, output)
    })
}

/// What batch norm is to do, besides normalising.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'t> {
    /// Weight and bias, `[C]` each.
    pub affine: Option<(&'t Tensor, &'t Tensor)>,
    /// Running mean and variance, `[C]` each.
    pub running: (&'t Tensor, &'t Tensor),
    /// In training: how many equal parts of the batch have each their own statistics, which one after the other move the
    /// running ones by `momentum` (the variance unbiased). 0 normalises by the running ones.
    pub views: i64,
    /// Share of a view in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Added to the normalised values, of the input's shape.
    pub residual: Option<&'t Tensor>,
    /// Whether ReLU follows.
    pub relu: bool,
}

/// Normalises `input` `[B, C, H, W]` or `[rows, C]`, adds the residual, applies ReLU, with gradients. On a processor with
/// AVX2 and on a CUDA device, for maps in float32 or bfloat16, one sweep over memory for what libtorch needs three for; else by
/// libtorch.
///
/// The output comes twice, over the same memory: given to two uses, their gradients are summed within the sweep.
///
/// # Panics
/// When the shapes do not fit, or a view to train on has one value a channel: contracts of the caller.
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
            output,
            &mut again,
        )
    });
    // SAFETY: no failure, so `again` is a new at::Tensor too.
    [output, unsafe { Tensor::from_ptr(again.cast()) }]
}

/// A batch norm, affine and without residual, of `input` `[B, in, H, W]`, and then a convolution, with gradients; or of
/// `[rows, in]`, and then a linear layer of weight `[out, in]`. As [`batch_norm`] and [`convolution`] one after the other, but where the processor has kernels the map between them is not kept
/// for backward, but made again there.
///
/// # Panics
/// As those two, and when the norm has a residual or no weight: contracts of the caller.
pub fn norm_convolution(
    input: &Tensor,
    norm: BatchNorm<'_>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding]: [i64; 2],
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
            pointer(Some(weight)),
            pointer(bias),
            stride,
            padding,
            output,
        )
    })
}

/// `map` `[B, C, h, w]` read at `grid` `[B, H, W, 2]`, (x, y) from -1 to 1 over the map: bilinear, border padding,
/// `align_corners = false`; `[B, C, H, W]` in the map's kind, computed in the grid's. With a gradient for the map; on a
/// processor with AVX2, for a float32 grid without gradient, by vectors over channels, else by libtorch.
///
/// # Panics
/// When the shapes do not fit: a contract of the caller.
pub fn sample(map: &Tensor, grid: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("sample", |output| unsafe {
        torch_ext_sample(pointer(Some(map)), pointer(Some(grid)), output)
    })
}

/// The largest of each 3x3 window of `map` `[B, C, H, W]`, at a stride of 2 with a border of 1, as ResNet's stem pools, with
/// gradients: half the size, rounded up. On a processor with AVX2, for maps in float32 or bfloat16, one byte an output is
/// kept for backward; else by libtorch, which keeps the map and eight bytes an output.
///
/// # Panics
/// When the map has not four axes: a contract of the caller.
pub fn max_pool(map: &Tensor) -> Tensor {
    // SAFETY: a tensor that outlives the call; C++ throws are returned.
    tensor_from("max_pool", |output| unsafe { torch_ext_max_pool(pointer(Some(map)), output) })
}

/// Every row of `q` `[B, N, D]` against all rows of `r` `[B, N, D]` of the same sample (eq. 6): the cross-entropy of telling its
/// own by the cosines over `temperature`; mean over `B` and `N`, with gradients for both. A scalar in float64 for rows in
/// float64, in float32 for all others. Only the rows themselves are kept for backward.
///
/// # Panics
/// When the shapes or kinds differ: a contract of the caller.
pub fn contrast(q: &Tensor, r: &Tensor, temperature: f64) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("contrast", |output| unsafe {
        torch_ext_contrast(pointer(Some(q)), pointer(Some(r)), temperature, output)
    })
}

/// The cross-entropy of `softmax(z)` and `softmax(p)` over the second axis (eq. 3): `[B, C, ...]` both, mean over all positions,
/// with gradients. A scalar in float64 for maps in float64, in float32 for all others. On a CUDA device, where `z` needs no
/// gradient, `[B, C]` and `[B, C, H, W]` are read as they are, and nothing else is kept for backward.
///
/// # Panics
/// When the shapes differ: a contract of the caller.
pub fn cross_entropy(p: &Tensor, z: &Tensor) -> Tensor {
    // SAFETY: two tensors that outlive the call; C++ throws are returned.
    tensor_from("cross_entropy", |output| unsafe {
        torch_ext_cross_entropy(pointer(Some(p)), pointer(Some(z)), output)
    })
}

/// Whether the CUDA device of this index computes bf16 convolutions in hardware (compute capability 8.0 on). False where
/// there is no such device.
pub fn cuda_has_bf16(index: usize) -> bool {
    // SAFETY: takes a number, asks libtorch's hooks.
    unsafe { torch_ext_cuda_has_bf16(index as i64) }
}

#[cfg(test)]
mod tests;
