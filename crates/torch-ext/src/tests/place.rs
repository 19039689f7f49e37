//! Where the layers are tested: the processor, an emulated CUDA device, and every CUDA device of the machine.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

// Links the emulator.
use densesiam_emulator as _;
use tch::{Device, Kind, Tensor};

use crate::{cuda_kernels, load_cuda};

/// Runs a kernel of a kind of value and a name over blocks of threads; returns 0 or an error's number.
pub(super) type Emulator =
    unsafe extern "C" fn(bool, *const c_char, *const c_uint, *const c_uint, *mut *mut c_void) -> c_int;

unsafe extern "C" {
    fn torch_ext_emulate_cuda(by: Option<Emulator>);
    pub(super) fn emulator_launch(
        bfloat16: bool,
        name: *const c_char,
        blocks: *const c_uint,
        threads: *const c_uint,
        arguments: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn emulator_most_threads(name: *const c_char) -> c_uint;
}

/// A device; while an emulated one lives, this thread's tensors on the processor are taken for tensors on it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) device: Device,
    pub(super) emulated: bool,
}

impl Place {
    pub(super) fn new(device: Device) -> Self {
        Self { device, emulated: false }
    }

    /// A CUDA device of two multiprocessors, so that small maps already give each thread many rows.
    pub(super) fn emulated() -> Self {
        Self::emulated_by(emulator_launch)
    }

    pub(super) fn emulated_by(emulator: Emulator) -> Self {
        // SAFETY: the function is of the type that the C++ side calls, and reads no more than it is given.
        unsafe { torch_ext_emulate_cuda(Some(emulator)) };
        Self { device: Device::Cpu, emulated: true }
    }

    /// Whether kernels for CUDA compute here.
    pub(super) fn has_cuda_kernels(&self) -> bool {
        self.emulated || self.device != Device::Cpu
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.emulated {
            // SAFETY: takes null or a function.
            unsafe { torch_ext_emulate_cuda(None) };
        }
    }
}

/// The places one after the other; each must be dropped before the next.
pub(super) fn places() -> impl Iterator<Item = Place> {
    let cards = (0..cards()).map(Device::Cuda).map(Place::new);
    [Device::Cpu].map(Place::new).into_iter().chain(std::iter::once_with(Place::emulated)).chain(cards)
}

/// How many CUDA devices there are.
pub(super) fn cards() -> usize {
    static CARDS: OnceLock<usize> = OnceLock::new();
    *CARDS.get_or_init(|| {
        let count = if load_cuda().is_ok() { tch::Cuda::device_count().max(0) as usize } else { 0 };
        // Without the kernels libtorch would be compared with itself.
        for device in (0..count).map(Device::Cuda) {
            for kind in [Kind::Float, Kind::BFloat16] {
                assert_eq!(cuda_kernels(&Tensor::zeros([1], (kind, device))), Ok(()), "{kind:?}");
            }
        }
        count
    })
}
