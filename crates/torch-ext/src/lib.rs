//! Functions of libtorch that Rust needs and tch lacks, and layers that are faster than libtorch's, through C++. The
//! code is in five folders, each with one Rust file of the same name:
//!
//! * `layers`: functions with gradients, by kernels where they can compute them and by libtorch everywhere else
//! * `processor`: the kernels on the processor, compiled for each instruction set, and the choice among those
//! * `cuda`: the kernels for CUDA devices, compiled at run time
//! * `libtorch`: calls of libtorch's own
//! * `group`: several processes that train one model
//!
//! Layers know the kernels, but kernels know no layers. `border` passes tensors and errors between the languages. All
//! unsafe code of the workspace is in this crate.

mod border;
mod cuda;
mod group;
mod layers;
mod libtorch;
mod processor;

pub use cuda::cuda_kernels;
pub use group::{Buckets, Group, GroupError, StoreServer};
pub use layers::{
    BatchNorm, batch_norm, cluster_sums, contrast, convolution, cross_entropy, max_pool, norm_convolution,
    roi_align, sample,
};
pub use libtorch::{
    AdamState, SgdStep, allow_tf32, built_with, clear_gradients, cuda_begin_peak_memory, cuda_has_bf16,
    cuda_peak_memory, fused_adam, fused_sgd, give_back_free_memory, load_cuda, show_config, total_norm,
    upload, version,
};
pub use processor::processor_kernels;

#[cfg(test)]
mod tests;
