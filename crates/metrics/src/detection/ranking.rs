//! What became of the detections of one class, and the precision and recall that follow.

use serde::{Deserialize, Serialize};

/// What became of one detection, at each of up to 64 ways to judge it: a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) score: f64,
    pub(super) picture: usize,
    /// Its place among the detections of its class and picture, by falling score.
    pub(super) rank: u32,
    /// Where it found an object.
    pub(super) hit: u64,
    /// Where it does not count.
    pub(super) ignored: u64,
}

/// The detections of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranking(pub(super) Vec<Judged>);

impl Ranking {
    /// Brings the detections of all pictures into their order: by falling score, equal ones by picture and rank.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.picture.cmp(&b.picture)).then(a.rank.cmp(&b.rank))
        });
    }

    /// The numbers of hits and of misses, after each detection that counts, of a sorted ranking judged in the way `bit`.
    pub(super) fn counts(&self, bit: usize) -> impl Iterator<Item = [u32; 2]> {
        let counting = self.0.iter().filter(move |judged| judged.ignored >> bit & 1 == 0);
        counting.scan([0, 0], move |counts, judged| {
            counts[usize::from(judged.hit >> bit & 1 == 0)] += 1;
            Some(*counts)
        })
    }

    /// The number of hits among the first `most` detections of each picture, judged in the way `bit`.
    pub(super) fn hits(&self, bit: usize, most: u32) -> usize {
        let hit = |judged: &&Judged| {
            judged.rank < most && judged.hit >> bit & 1 == 1 && judged.ignored >> bit & 1 == 0
        };
        self.0.iter().filter(hit).count()
    }
}

/// A place on the way down a ranking: the share of objects that were found so far, and the share of detections so far that
/// found one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) recall: f64,
    pub(super) precision: f64,
}

/// The best precision at or behind each point of recall (rising, as the recall of `reached` is), 0 where it is not reached.
pub(super) fn interpolated(reached: &[Reached], points: &[f64]) -> Vec<f64> {
    let mut precisions = vec![0.0; points.len()];
    let (mut best, mut place) = (0.0_f64, reached.len());
    for (precision, point) in precisions.iter_mut().zip(points).rev() {
        while place > 0 && reached[place - 1].recall >= *point {
            place -= 1;
            best = best.max(reached[place].precision);
        }
        *precision = best;
    }
    precisions
}
