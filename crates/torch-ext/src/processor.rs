//! The kernels on the processor (`processor/processor.h`): the layers call them; Rust only asks whether there are any.

use std::ffi::{CStr, c_char};

unsafe extern "C" {
    fn torch_ext_processor_kernels() -> *const c_char;
}

/// The instruction set that this processor's kernels are compiled for, `avx2` or `avx512`; `None` if it has neither, in
/// which case libtorch's layers are used.
pub fn processor_kernels() -> Option<&'static str> {
    // SAFETY: takes nothing and returns null or a literal of the C++ side.
    unsafe {
        let name = torch_ext_processor_kernels();
        (!name.is_null()).then(|| CStr::from_ptr(name).to_str().expect("ASCII"))
    }
}
