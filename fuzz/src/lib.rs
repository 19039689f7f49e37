//! What is fuzzed. Each target is a function of the bytes of a file with a bound for its memory
//! ([`densesiam_fixtures::fuzz::Target`]); the crates' own tests take the same functions from here by their path and
//! run what the fuzzer has left in `corpus` and `crashes`, so that they need neither the fuzzer nor its flags.
//!
//! Manifests belong to a crate that links libtorch, which takes an hour to compile with the fuzzer's flags and has no part
//! in reading them: the files that read them are compiled here a second time.

pub mod data;
pub mod detection;
pub mod manifest;
pub mod recipe;
pub mod weights;

use densesiam_fixtures::fuzz::Target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs one input; the fuzzer's programs call nothing else.
pub fn run(target: &Target, bytes: &[u8]) {
    target.run(&ALLOCATOR, bytes);
}
