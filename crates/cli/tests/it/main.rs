//! Tests of the program as a user runs it, in one binary: each further one links libtorch again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail as tests do")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they leave out, and figures")]

mod ablate;
mod bad_input;
mod command_line;
mod data;
mod documentation;
mod embed;
mod endurance;
mod explore;
mod foreign;
mod fuzz;
mod golden;
mod interop;
mod interop_webdataset;
mod knn;
mod machines;
mod methods;
mod predict;
mod probe;
mod processes;
mod program;
mod report;
mod resume;
mod segment;
mod segment_methods;
mod shards;
mod smallest;
mod transfer;
