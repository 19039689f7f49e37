//! The tasks: each file holds one whole loop, in sight.

pub mod pretrain;
pub mod segment;
