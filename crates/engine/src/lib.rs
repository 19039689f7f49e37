//! What a training run needs around its model: the optimizer, the files that it writes, the choice of the device, and
//! how it is stopped.
//!
//! The crate knows named tensors and steps. It knows no model, no loss and no data set, and contains no training loop.

pub mod checkpoint;
pub mod device;
pub mod environment;
pub mod interrupt;
pub mod log;
pub mod memory;
pub mod optimizer;
pub mod processes;
pub mod run_dir;
pub mod waiting;
