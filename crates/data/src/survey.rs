//! A look at a few pictures of a data set before anything is decided from it: how large they are, which cannot be
//! read. Whoever plans a run, chooses its sizes or examines a machine looks through this.

use crate::decode::{DecodeLimits, decode};
use crate::index::ImageIndex;

/// What a few pictures, taken evenly from the index, looked like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// How many were looked at.
    pub looked_at: usize,
    /// Shorter sides of the readable ones in pixels, ascending.
    pub shorter_sides: Vec<u32>,
    /// Number in the index of each unreadable one, and why.
    pub unreadable: Vec<(usize, String)>,
}

impl Survey {
    /// Looks at up to `count` pictures.
    pub fn of(index: &ImageIndex, count: usize, limits: &DecodeLimits) -> Self {
        let looked_at = index.len().min(count);
        let mut survey = Self { looked_at, ..Self::default() };
        for sample in (0..looked_at).map(|place| place * index.len() / looked_at) {
            let bytes = std::fs::read(index.path(sample)).map_err(|error| error.to_string());
            match bytes.and_then(|bytes| decode(&bytes, limits).map_err(|error| error.to_string())) {
                Ok(image) => survey.shorter_sides.push(image.shorter_side()),
                Err(why) => survey.unreadable.push((sample, why)),
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
