//! Integration tests of the networks and losses, in one binary: each further one links libtorch again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail as tests do")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they leave out, and figures")]

mod box_laws;
mod cuda;
mod detector_laws;
mod detector_parity;
mod fcn_laws;
mod fcn_parity;
mod fixtures;
mod laws;
mod made_up;
mod names;
mod norm_laws;
mod parity;
mod pooling;
mod pretrain_parity;
mod region_laws;
mod rival_parity;
mod segment_parity;
mod segment_rival_parity;
mod transfer;
