//! One binary, which measures what the reader allocates in all of its tests together.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

mod dictionaries;
mod encoders;
mod formats;
mod hostile;
mod matching;
mod mutations;
mod networks;
mod released;
mod resnet;
mod write;

use std::path::{Path, PathBuf};

use densesiam_weights::{Limits, WeightsError, WeightsFile, read_bytes};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(files().join(name)).unwrap()
}

/// The names of all test files but the expectations, in order.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(files()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".expected"));
    names.sort();
    names
}

fn read_any(bytes: &[u8]) -> Result<WeightsFile, WeightsError> {
    read_bytes(bytes, &Limits::default())
}

fn message(bytes: &[u8]) -> String {
    read_any(bytes).unwrap_err().to_string()
}
