//! The border to C++, with `border.h` on its other side. A `tch::Tensor` holds a pointer to a C++ `at::Tensor`; the C++
//! side borrows them for the duration of a call and keeps none.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

unsafe extern "C" {
    fn torch_ext_free(text: *mut c_char);
}

/// Takes over a C string made by `strdup`, or `None` for null.
pub(crate) fn owned(text: *mut c_char) -> Option<String> {
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

/// The tensor that a C++ function writes through a pointer, unless it returns a message.
///
/// # Panics
/// With that message; callers must prevent it.
pub(crate) fn tensor_from(name: &str, call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Tensor {
    let mut tensor = std::ptr::null_mut();
    if let Some(message) = owned(call(&mut tensor)) {
        unwind_if_lost(&message);
        panic!("{name}: {message}");
    }
    // SAFETY: no failure, so `tensor` is a new at::Tensor that nobody else owns.
    unsafe { Tensor::from_ptr(tensor.cast()) }
}

/// What the message of a lost process begins with.
pub(crate) const LOST: char = '\x1f';

/// Leaves the step if a process of the group is lost, without the message of a panic: it is no fault of the program, and the
/// training loop reports it.
pub(crate) fn unwind_if_lost(message: &str) {
    if message.contains(LOST) {
        std::panic::resume_unwind(Box::new(message.to_owned()));
    }
}

pub(crate) fn pointer(tensor: Option<&Tensor>) -> *const c_void {
    tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr() as *const c_void)
}

pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr() as *const c_void).collect()
}
