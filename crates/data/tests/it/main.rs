//! The crate's laws, checked from outside: one binary, grouped by part.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

mod data_sets;
mod decoding;
mod evaluating;
mod files;
mod fixtures;
mod indexing;
mod jpeg;
mod labels;
mod loading;
mod orientation;
mod segmenting;
mod shards;
