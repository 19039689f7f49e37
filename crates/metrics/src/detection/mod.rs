//! Average precision of detected boxes and masks, by the rules of COCO ([`CocoEvaluator`]) and of PASCAL VOC
//! ([`VocEvaluator`]).
//!
//! ```text
//! let mut evaluator = CocoEvaluator::new(classes, Kind::Boxes);
//! evaluator.update(&truths, &detections)?;                // per batch of whole pictures; `merge` joins processes
//! let scores = evaluator.finish();                        // once, over the whole set
//! ```
//!
//! Detections are compared with the truth of their picture at once, so that an evaluator keeps some bits of each and no
//! mask. Pictures may come in any order; detections of equal scores count in the order of their pictures' numbers, and
//! in one picture in the order of the list.
//!
//! Scores are **fractions** in `0..=1`, `None` if there is nothing to score. Classes and pictures are numbered from 0.

mod cells;
mod coco;
mod curve;
mod ranking;
mod voc;

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;

pub use coco::{CocoEvaluator, CocoScores, Kind};
pub use curve::Curve;
pub use voc::{Rounding, VocEvaluator, VocRule, VocScores};

use densesiam_geometry::Xywh;
use densesiam_geometry::mask::RunLengths;

/// An object that a model found.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Number of its picture.
    pub picture: usize,
    /// Its class.
    pub class: usize,
    /// How sure the model is; only the order matters.
    pub score: f64,
    /// Its box in image space.
    pub bbox: Xywh,
    /// Its mask, if masks are scored.
    pub mask: Option<RunLengths>,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Number of its picture.
    pub picture: usize,
    /// Its class.
    pub class: usize,
    /// Its box in image space.
    pub bbox: Xywh,
    /// Its mask, if masks are scored.
    pub mask: Option<RunLengths>,
    /// Pixels of the object, by which COCO sorts it into small, medium and large; VOC does not look at it.
    pub area: f64,
    /// Whether it stands for many objects (COCO): any number of detections may lie in it, none of which counts.
    pub crowd: bool,
    /// Whether to find it neither rewards nor punishes (VOC).
    pub difficult: bool,
}

/// Truths, detections or evaluators that cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// An object of a class outside the data set's.
    #[error("picture {picture} has an object of class {class}, outside 0..{classes}")]
    Class {
        /// Number of the picture.
        picture: usize,
        /// The class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A score that has no place in an order.
    #[error("a detection in picture {picture} has the score {score}, which is no number")]
    Score {
        /// Number of the picture.
        picture: usize,
        /// The score.
        score: f64,
    },
    /// Masks are scored, and an object has none.
    #[error("an object in picture {picture} has no mask; score its box instead")]
    NoMask {
        /// Number of the picture.
        picture: usize,
    },
    /// Masks of one picture have different sizes.
    #[error(
        "picture {picture} has masks of {} x {} and of {} x {} pixels; make them all of the picture's size",
        one[0], one[1], other[0], other[1]
    )]
    MaskSize {
        /// Number of the picture.
        picture: usize,
        /// Height and width of one mask.
        one: [u32; 2],
        /// Height and width of another.
        other: [u32; 2],
    },
    /// A picture came twice, and detections of its second part would not know of those of the first.
    #[error("picture {picture} was scored twice; give each picture once, with all of its objects")]
    Twice {
        /// Number of the picture.
        picture: usize,
    },
    /// Evaluators that do not score the same.
    #[error("evaluators of {one} and of {other} cannot be merged")]
    Unlike {
        /// What the one scores.
        one: String,
        /// What the other scores.
        other: String,
    },
}
