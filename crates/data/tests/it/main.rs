//! The crate's laws, checked from outside: one binary, grouped by part.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they leave out, and figures")]

mod coco;
mod coco_set;
mod data_sets;
mod decoding;
mod detecting;
mod detection_fixtures;
mod evaluating;
mod files;
mod fixtures;
mod indexing;
mod jpeg;
mod label_survey;
mod labelled_crops;
mod labels;
mod loading;
mod orientation;
mod regions;
mod segmenting;
mod shards;
mod tiffs;
mod voc;
mod voc_results;
