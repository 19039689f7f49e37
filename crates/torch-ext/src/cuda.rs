//! The kernels for CUDA devices (`cuda/cuda.h`): the layers start them; Rust only asks whether there are any.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use crate::border::{owned, pointer};

unsafe extern "C" {
    fn torch_ext_cuda_kernels(tensor: *const c_void) -> *mut c_char;
}

/// Compiles this crate's kernels for the kind of a tensor and its CUDA device, unless they are already compiled.
///
/// # Errors
/// Why libtorch's layers are used instead: the tensor is not on a CUDA device, or is neither in float32 nor in
/// bfloat16; the environment has `DENSESIAM_CUDA_KERNELS=0`; NVIDIA's compiler is not found, or does not know the
/// device; or the device cannot start a kernel. Such a failure is also printed once.
pub fn cuda_kernels(tensor: &Tensor) -> Result<(), String> {
    // SAFETY: a tensor that outlives the call; what is thrown is caught there.
    owned(unsafe { torch_ext_cuda_kernels(pointer(Some(tensor))) }).map_or(Ok(()), Err)
}
