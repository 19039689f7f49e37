//! What libtorch has, Rust needs and tch lacks, and layers that are faster than libtorch's, through C++. It lies in four
//! folders, each with one Rust file of the same name:
//!
//! * `layers`: what is differentiated, by kernels where they can compute it and by libtorch everywhere else
//! * `processor`: the kernels on the processor, compiled for each instruction set, and the choice among those
//! * `cuda`: the kernels for CUDA devices, compiled at run time
//! * `libtorch`: calls of libtorch's own
//!
//! Layers know the kernels, and no kernel knows a layer. How tensors and errors cross between the languages is in `border`.
//! All unsafe code of the workspace is in this crate.

mod border;
mod cuda;
mod layers;
mod libtorch;
mod processor;

pub use cuda::cuda_kernels;
pub use layers::{
    BatchNorm, batch_norm, contrast, convolution, cross_entropy, max_pool, norm_convolution, sample,
};
pub use libtorch::{
    SgdStep, allow_tf32, built_with, clear_gradients, cuda_has_bf16, cuda_peak_memory, fused_sgd, load_cuda,
    show_config, total_norm, upload, version,
};
pub use processor::processor_kernels;

#[cfg(test)]
mod tests;
