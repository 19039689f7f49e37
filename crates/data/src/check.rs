//! What the check of a data set finds wrong, and how a check is divided among threads.

use std::fmt::Display;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

/// The kind of fault of a split that cannot be opened.
pub const NO_SPLIT: &str = "splits that cannot be used";

/// Something that is wrong with a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault, in a few words that are the same for all faults of that kind.
    pub kind: &'static str,
    /// What is wrong, with the names of the files.
    pub why: String,
}

impl Fault {
    pub(crate) fn new(kind: &'static str, why: impl Display) -> Self {
        Self { kind, why: why.to_string() }
    }
}

/// What `look` finds in consecutive samples, which `workers` threads (at least 1) share, in the order of the samples.
pub(crate) fn examined(
    range: Range<usize>,
    workers: usize,
    look: impl Fn(Range<usize>) -> Vec<Fault> + Sync,
) -> Vec<Fault> {
    let workers = workers.clamp(1, range.len().max(1));
    let part = |worker: usize| range.start + range.len() * worker / workers;
    let look = &look;
    thread::scope(|scope| {
        let looking = |worker| move || look(part(worker)..part(worker + 1));
        let parts: Vec<_> = (0..workers).map(|worker| scope.spawn(looking(worker))).collect();
        let joined = parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.flatten().collect()
    })
}
