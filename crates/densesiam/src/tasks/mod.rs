//! The tasks: each file holds one whole loop, in sight.

pub mod pretrain;
pub mod probe;
pub mod segment;
