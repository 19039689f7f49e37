//! Examines the pictures of a data set, or a few of them, before decisions depend on them: how large they are, and
//! which cannot be read. It is used to plan a run, to choose its sizes, to check a data set and to examine a machine.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use crate::decode::{DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::index::ImageIndex;
use crate::loader::SampleError;

/// The properties of the pictures that were examined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// How many were examined.
    pub looked_at: usize,
    /// Bytes of those files that could be read.
    pub bytes: u64,
    /// Shorter sides of the readable ones in pixels, ascending.
    pub shorter_sides: Vec<u32>,
    /// The unreadable ones, in the order of the index.
    pub unreadable: Vec<Unreadable>,
}

/// A picture that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number in the index.
    pub sample: usize,
    /// The kind of fault ([`SampleError::kind`]).
    pub kind: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Survey {
    /// Examines up to `count` pictures, taken evenly from the index.
    pub fn of(index: &ImageIndex, count: usize, limits: &DecodeLimits) -> Self {
        let count = index.len().min(count);
        Self::of_samples(index, (0..count).map(|place| place * index.len() / count), limits)
    }

    /// Examines consecutive pictures of the index, on `workers` threads (at least 1).
    pub fn of_range(index: &ImageIndex, range: Range<usize>, limits: &DecodeLimits, workers: usize) -> Self {
        let workers = workers.clamp(1, range.len().max(1));
        let part = |worker: usize| range.start + range.len() * worker / workers;
        thread::scope(|scope| {
            let look = |worker| move || Self::of_samples(index, part(worker)..part(worker + 1), limits);
            let parts: Vec<_> = (0..workers).map(|worker| scope.spawn(look(worker))).collect();
            let mut survey = Self::default();
            for part in parts {
                survey.add(part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            survey
        })
    }

    /// Adds the survey of later pictures.
    pub fn add(&mut self, later: Self) {
        self.looked_at += later.looked_at;
        self.bytes += later.bytes;
        self.shorter_sides.extend(later.shorter_sides);
        self.shorter_sides.sort();
        self.unreadable.extend(later.unreadable);
    }

    fn of_samples(index: &ImageIndex, samples: impl Iterator<Item = usize>, limits: &DecodeLimits) -> Self {
        let (mut survey, mut bytes, mut image) = (Self::default(), Vec::new(), RgbImage::default());
        for sample in samples {
            survey.looked_at += 1;
            let read = index.place(sample).read_into(&mut bytes).map_err(SampleError::from).and_then(|()| {
                survey.bytes += bytes.len() as u64;
                Ok(decode_into(&bytes, limits, &mut image)?)
            });
            match read {
                Ok(()) => survey.shorter_sides.push(image.shorter_side()),
                Err(error) => {
                    let (kind, why) = (error.kind(), error.to_string());
                    survey.unreadable.push(Unreadable { sample, kind, why });
                }
            }
        }
        survey.shorter_sides.sort_unstable();
        survey
    }

    /// The median of the shorter sides; `None` when nothing was readable.
    pub fn median_shorter_side(&self) -> Option<u32> {
        self.shorter_sides.get(self.shorter_sides.len() / 2).copied()
    }
}
