//! What libtorch has, Rust needs and tch lacks, through a small C++ file (`torch_ext.cpp`).
//!
//! All unsafe code of the workspace is here. A `tch::Tensor` holds a pointer to a C++ `at::Tensor`; the C++ side
//! borrows those for the length of a call and keeps none.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

unsafe extern "C" {
    fn torch_ext_free(text: *mut c_char);
    fn torch_ext_show_config() -> *mut c_char;
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
    fn torch_ext_clear_gradients(parameters: *const *const c_void, count: usize) -> *mut c_char;
    fn torch_ext_total_norm(
        tensors: *const *const c_void,
        count: usize,
        norm: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_cuda_has_bf16() -> bool;
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

fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr() as *const c_void).collect()
}

/// How the loaded libtorch was built: version, compiler, processor capability in use, libraries.
pub fn show_config() -> String {
    // SAFETY: takes nothing and returns a string of strdup.
    owned(unsafe { torch_ext_show_config() }).unwrap_or_default()
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
    let mut norm = std::ptr::null_mut();
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe { torch_ext_total_norm(pointers.as_ptr(), pointers.len(), &mut norm) });
    if let Some(message) = failure {
        panic!("total_norm: {message}");
    }
    // SAFETY: no failure, so `norm` is a new at::Tensor that nobody else owns.
    Some(unsafe { Tensor::from_ptr(norm.cast()) })
}

/// Whether the current CUDA device computes bf16 convolutions in hardware (compute capability 8.0 on). False where
/// there is no CUDA.
pub fn cuda_has_bf16() -> bool {
    // SAFETY: takes nothing, asks libtorch's hooks.
    unsafe { torch_ext_cuda_has_bf16() }
}
