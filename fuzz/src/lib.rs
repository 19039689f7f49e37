//! What is fuzzed. Each target is a function of the bytes of a file with a bound for its memory
//! ([`densesiam_fixtures::fuzz::Target`]); the crates' own tests take the same functions from here by their path and
//! run what the fuzzer has left in `corpus` and `crashes`, so that they need neither the fuzzer nor its flags.
//!
//! Manifests and recipes belong to crates that link libtorch, which takes an hour to compile with the fuzzer's flags and
//! has no part in reading them: the files that read them are compiled here a second time.

pub mod data;
pub mod manifest;
pub mod recipe;
pub mod weights;

use densesiam_fixtures::fuzz::Target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Lengths of training, as recipes state them.
#[path = "../../crates/engine/src/duration.rs"]
pub mod duration;

/// How recipes are read.
#[path = "../../crates/densesiam/src/recipe/keys.rs"]
pub mod keys;

/// Runs one input; the fuzzer's programs call nothing else.
pub fn run(target: &Target, bytes: &[u8]) {
    target.run(&ALLOCATOR, bytes);
}
