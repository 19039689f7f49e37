//! What a training run needs around its model: how parameters are stepped, what is written where,
//! on which device, and how it is stopped.
//!
//! The crate knows named tensors and steps; it knows no model, no loss and no data set, and holds no loop.

pub mod checkpoint;
pub mod device;
pub mod environment;
pub mod interrupt;
pub mod log;
pub mod optimizer;
pub mod run_dir;
pub mod waiting;
