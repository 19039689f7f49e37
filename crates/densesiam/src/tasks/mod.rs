//! The tasks. `training.rs` is the loop of all tasks that train; pre-training and segmentation each have a learner and
//! an observer for it. A probe has a short loop of its own, because it trains on features in memory.

pub mod embed;
pub mod knn;
pub mod learner;
pub mod pretrain;
pub mod probe;
pub mod segment;
pub mod training;
pub mod transfer;
