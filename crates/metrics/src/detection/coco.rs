//! COCO's average precision and recall, as pycocotools computes them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cells::{Cell, check_new, checked, judge_cells};
use super::curve::Curve;
use super::ranking::{Judged, Ranking, Reached};
use super::{Detection, EvaluationError, Truth};

mod matching;
mod scores;

pub use scores::CocoScores;

/// IoU thresholds: 0.5, 0.55, ..., 0.95.
const THRESHOLDS: usize = 10;
/// Ranges of object areas in pixels, both ends included: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// Numbers of best detections of a class in a picture that are counted.
const MOST: [u32; 3] = [1, 10, 100];

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Boxes.
    Boxes,
    /// Masks.
    Masks,
}

/// Collects what COCO's figures are computed from; see the [module](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoEvaluator {
    kind: Kind,
    pictures: BTreeSet<usize>,
    classes: Vec<ClassCounts>,
}

/// What was seen of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ClassCounts {
    /// Objects to be found, for each range of areas.
    objects: [usize; AREAS.len()],
    ranking: Ranking,
}

impl CocoEvaluator {
    /// An evaluator of `classes` classes that has seen nothing.
    pub fn new(classes: usize, kind: Kind) -> Self {
        Self { kind, pictures: BTreeSet::new(), classes: vec![ClassCounts::default(); classes] }
    }

    /// Compares the detections in some pictures with their truth. Every picture is given once, with all of its objects;
    /// a picture without any need not be given. Of each class and picture the best 100 detections count.
    ///
    /// # Errors
    /// A [`EvaluationError`] for what cannot be scored; nothing is counted then.
    pub fn update(&mut self, truths: &[Truth], detections: &[Detection]) -> Result<(), EvaluationError> {
        let pictures = checked(truths, detections, self.classes.len())?;
        check_new(&self.pictures, &pictures)?;
        let kind = self.kind;
        let judged = judge_cells(truths, detections, |cell| matching::judge(&cell, kind));
        let judged: Vec<_> = judged.into_iter().collect::<Result<_, _>>()?;
        for (class, counts) in judged {
            self.classes[class].add(counts);
        }
        self.pictures.extend(pictures);
        Ok(())
    }

    /// Adds what another evaluator has seen of other pictures.
    ///
    /// # Errors
    /// [`EvaluationError::Unlike`] and [`EvaluationError::Twice`], if they do not belong together.
    pub fn merge(&mut self, other: Self) -> Result<(), EvaluationError> {
        let what =
            |evaluator: &Self| format!("COCO's {:?} in {} classes", evaluator.kind, evaluator.classes.len());
        if (self.kind, self.classes.len()) != (other.kind, other.classes.len()) {
            return Err(EvaluationError::Unlike { one: what(self), other: what(&other) });
        }
        check_new(&self.pictures, &other.pictures)?;
        for (own, others) in self.classes.iter_mut().zip(other.classes) {
            own.add(others);
        }
        self.pictures.extend(other.pictures);
        Ok(())
    }

    /// The figures over all pictures.
    pub fn finish(mut self) -> CocoScores {
        self.classes.iter_mut().for_each(|class| class.ranking.sort());
        CocoScores::new(self.kind, &self.classes)
    }
}

impl ClassCounts {
    fn add(&mut self, more: Self) {
        self.objects.iter_mut().zip(more.objects).for_each(|(sum, objects)| *sum += objects);
        self.ranking.0.extend(more.ranking.0);
    }

    /// Recall and precision down the ranking; nothing if there is no object to be found.
    fn reached(&self, area: usize, threshold: usize) -> Vec<Reached> {
        let objects = self.objects[area] as f64;
        let reached = |[hits, misses]: [u32; 2]| Reached {
            recall: f64::from(hits) / objects,
            precision: f64::from(hits) / (f64::from(misses) + f64::from(hits) + f64::EPSILON),
        };
        self.ranking.counts(bit(area, threshold)).map(reached).collect()
    }
}

/// The bit of [`Judged`] for a range of areas and a threshold.
fn bit(area: usize, threshold: usize) -> usize {
    area * THRESHOLDS + threshold
}

/// As NumPy's linspace makes the thresholds, in the last bits too.
fn thresholds() -> [f64; THRESHOLDS] {
    let step = (0.95 - 0.5) / (THRESHOLDS - 1) as f64;
    std::array::from_fn(|index| if index == THRESHOLDS - 1 { 0.95 } else { index as f64 * step + 0.5 })
}
