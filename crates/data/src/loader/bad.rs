//! The unreadable pictures that a run has met so far.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use super::production::BatchMaker;
use super::{SampleScratch, load_sample};
use crate::index::ImageIndex;
use crate::views::Augmentation;

/// Unreadable pictures with the reason of each, by number in the index.
#[derive(Default)]
pub(super) struct BadFiles {
    bad: BTreeMap<u64, String>,
    recovered: Vec<(u64, String)>,
}

impl BadFiles {
    /// Tries again to read the pictures that an earlier part of the run could not read, on as many threads as there are
    /// workers. Pictures that can be read now are no longer bad. Numbers beyond the index are ignored.
    pub(super) fn known<A: Augmentation>(maker: &BatchMaker<A>, known: Vec<(u64, String)>) -> Self {
        let mut known: Vec<_> = known.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        known.retain(|&(sample, _)| sample < maker.index.len() as u64);
        let size = known.len().div_ceil(maker.settings.workers.max(1)).max(1);
        let readable: Vec<bool> = thread::scope(|scope| {
            let look = |part| scope.spawn(move || readable(maker, part));
            let parts: Vec<_> = known.chunks(size).map(look).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        let (mut bad, mut recovered) = (BTreeMap::new(), Vec::new());
        for (file, readable) in known.into_iter().zip(readable) {
            if readable { recovered.push(file) } else { bad.extend([file]) }
        }
        Self { bad, recovered }
    }

    /// The pictures that were unreadable in an earlier part of the run, and were readable when this part began.
    pub(super) fn recovered(&self) -> &[(u64, String)] {
        &self.recovered
    }

    /// Adds the unreadable pictures that were met while a batch was made. Pictures that the batch uses are readable
    /// again.
    pub(super) fn met(&mut self, bad: Vec<(u64, String)>, used: &[u64]) {
        self.bad.extend(bad);
        if !self.bad.is_empty() {
            used.iter().for_each(|sample| drop(self.bad.remove(sample)));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bad.len()
    }

    /// All unreadable pictures, in the order of the index.
    pub(super) fn all(&self) -> Vec<(u64, String)> {
        self.bad.iter().map(|(&sample, reason)| (sample, reason.clone())).collect()
    }

    /// The names of the first few, and the reason for each.
    pub(super) fn first(&self, count: usize, index: &ImageIndex) -> Vec<(String, String)> {
        let named =
            |(&sample, reason): (&u64, &String)| (index.place(sample as usize).to_string(), reason.clone());
        self.bad.iter().take(count).map(named).collect()
    }
}

fn readable<A: Augmentation>(maker: &BatchMaker<A>, files: &[(u64, String)]) -> Vec<bool> {
    let mut scratch = SampleScratch::new(&maker.settings.augmentation.sizes());
    files.iter().map(|&(sample, _)| load_sample(&maker.source(), sample, 0, &mut scratch).is_ok()).collect()
}
