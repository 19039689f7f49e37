//! Functions of libtorch that tch does not offer (`libtorch/calls.cpp`): versions, the capabilities and permissions of
//! a CUDA device, asynchronous uploads, and functions for the optimizer.

use std::ffi::{c_char, c_void};

use tch::kind::Element;
use tch::{Device, Tensor};

use crate::border::{owned, pointer, pointers, tensor_from};

unsafe extern "C" {
    fn torch_ext_show_config() -> *mut c_char;
    fn torch_ext_built_with() -> *mut c_char;
    fn torch_ext_load_cuda() -> *mut c_char;
    fn torch_ext_allow_tf32(allow: bool);
    fn torch_ext_cuda_has_bf16(device_index: i64) -> bool;
    fn torch_ext_cuda_peak_memory(device_index: i64) -> i64;
    fn torch_ext_cuda_begin_peak_memory(device_index: i64);
    fn torch_ext_give_back_free_memory();
    fn torch_ext_upload(tensor: *const c_void, device_index: i64, output: *mut *mut c_void) -> *mut c_char;
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
    fn torch_ext_fused_adam(
        parameters: *const *const c_void,
        gradients: *const *const c_void,
        moments: *const *const c_void,
        squares: *const *const c_void,
        steps: *const *const c_void,
        count: usize,
        weight_decay: f64,
        learning_rate: f64,
        found_inf: *const c_void,
    ) -> *mut c_char;
    fn torch_ext_clear_gradients(parameters: *const *const c_void, count: usize) -> *mut c_char;
    fn torch_ext_total_norm(
        tensors: *const *const c_void,
        count: usize,
        norm: *mut *mut c_void,
    ) -> *mut c_char;
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
pub(crate) fn version_of(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("TORCH_VERSION=")?;
    rest.split([',', ' ', '\n']).next().filter(|version| !version.is_empty()).map(str::to_owned)
}

/// The version of the libtorch whose headers this was compiled with, `2.11.0`. Another version at run time would have
/// other layouts of its classes.
pub fn built_with() -> String {
    // SAFETY: takes nothing and returns a string of strdup.
    owned(unsafe { torch_ext_built_with() }).unwrap_or_default()
}

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use, so that one program serves machines with and
/// without CUDA. Must be called before anything asks for CUDA, because libtorch remembers what it finds the first time.
///
/// # Errors
/// The message of the system's loader: the library, or one that it needs, is missing.
pub fn load_cuda() -> Result<(), String> {
    // SAFETY: takes nothing and returns null or a string of strdup.
    owned(unsafe { torch_ext_load_cuda() }).map_or(Ok(()), Err)
}

/// Sets whether products and convolutions of float32 on CUDA devices may round their factors to TF32, of 10 bits.
/// libtorch allows it in convolutions unless told otherwise.
pub fn allow_tf32(allow: bool) {
    // SAFETY: sets two switches of libtorch.
    unsafe { torch_ext_allow_tf32(allow) };
}

/// Whether the CUDA device of this index computes bf16 convolutions in hardware (compute capability 8.0 on). False if
/// there is no such device.
pub fn cuda_has_bf16(index: usize) -> bool {
    // SAFETY: takes a number, asks libtorch's hooks.
    unsafe { torch_ext_cuda_has_bf16(index as i64) }
}

/// The most bytes that tensors on the CUDA device of this index have held at once.
pub fn cuda_peak_memory(index: usize) -> u64 {
    // SAFETY: takes a number; what C++ throws is answered with 0.
    unsafe { torch_ext_cuda_peak_memory(index as i64) }.max(0) as u64
}

/// Makes [`cuda_peak_memory`] what tensors on this device hold now.
pub fn cuda_begin_peak_memory(index: usize) {
    // SAFETY: takes a number; what C++ throws changes nothing.
    unsafe { torch_ext_cuda_begin_peak_memory(index as i64) }
}

/// Gives the memory that was freed back to the system, where the allocator has a way to do so (jemalloc and glibc).
pub fn give_back_free_memory() {
    // SAFETY: takes nothing, and moves nothing that is in use.
    unsafe { torch_ext_give_back_free_memory() }
}

/// `values` as a tensor of shape `size` on `device`. Neither the host nor the current computation of a CUDA device
/// waits for the copy, which uses page-locked memory and runs beside the computation.
///
/// # Panics
/// When the number of values does not fit the shape, which the caller must prevent.
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

/// The settings of one group of a fused SGD step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Momentum factor, 0 for none.
    pub momentum: f64,
    /// Weight decay, added to the gradient (not decoupled).
    pub weight_decay: f64,
    /// Whether the momentum buffers are still empty and must be set to the gradient.
    pub first_step: bool,
}

/// One step of SGD with momentum over lists of equal length, in place and in one pass over memory, as `torch.optim.SGD`
/// computes it. If `found_inf` (one float32) holds 1, nothing is changed, so a step can be skipped without reading from
/// the device.
///
/// # Panics
/// When the lists differ in length, a gradient's or buffer's strides differ from its parameter's (the kernel treats all
/// three as flat memory), or libtorch refuses their shapes, types or devices; the caller must prevent these.
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

/// The running means of a list of parameters' gradients and of their squares, and how many steps each parameter has taken, a float32
/// scalar.
#[derive(Debug)]
pub struct AdamState<'s> {
    /// Means of the gradients.
    pub moments: &'s [Tensor],
    /// Means of their squares.
    pub squares: &'s [Tensor],
    /// Steps.
    pub steps: &'s [Tensor],
}

/// One step of Adam (Kingma and Ba 2015) over lists of equal length with the rates 0.9 and 0.999 and the floor 1e-8, in place and in one
/// pass over memory, as `torch.optim.Adam` computes it; `weight_decay` is added to the gradient. If `found_inf` (one float32) holds 1,
/// nothing is changed.
///
/// # Panics
/// As [`fused_sgd`].
pub fn fused_adam(
    parameters: &[Tensor],
    gradients: &[Tensor],
    state: &AdamState,
    (learning_rate, weight_decay): (f64, f64),
    found_inf: Option<&Tensor>,
) {
    let AdamState { moments, squares, steps } = state;
    let lists = [parameters, gradients, moments, squares, steps];
    assert!(lists.iter().all(|list| list.len() == parameters.len()));
    let [parameters, gradients, moments, squares, steps] = lists.map(pointers);
    // SAFETY: the lists hold `count` pointers to tensors that outlive the call; C++ throws are returned.
    let failure = owned(unsafe {
        torch_ext_fused_adam(
            parameters.as_ptr(),
            gradients.as_ptr(),
            moments.as_ptr(),
            squares.as_ptr(),
            steps.as_ptr(),
            parameters.len(),
            weight_decay,
            learning_rate,
            found_inf.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void),
        )
    });
    if let Some(message) = failure {
        panic!("fused_adam: {message}");
    }
}

/// Sets `.grad` of every parameter to undefined (PyTorch's `None`): parameters without a gradient in the next backward
/// pass can then be distinguished from those with a zero gradient.
///
/// # Panics
/// When libtorch refuses a tensor that is not a leaf, which the caller must prevent.
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
/// When the tensors differ in device or type, or are not floating-point; the caller must prevent this.
pub fn total_norm(tensors: &[Tensor]) -> Option<Tensor> {
    if tensors.is_empty() {
        return None;
    }
    let pointers = pointers(tensors);
    // SAFETY: `count` pointers to tensors that outlive the call; C++ throws are returned.
    let norm = |norm| unsafe { torch_ext_total_norm(pointers.as_ptr(), pointers.len(), norm) };
    Some(tensor_from("total_norm", norm))
}
