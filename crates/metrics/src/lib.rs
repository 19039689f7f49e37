//! Scores of unsupervised segmentation (the paper, section 4): one [`ConfusionMatrix`] over the whole set, one
//! [`Matching`] of its clusters to the ground-truth classes, and the [`SegmentationScores`] that follow.
//!
//! ```text
//! let mut matrix = ConfusionMatrix::new(27, 27, 255);
//! matrix.update(&labels, &clusters)?;                     // per batch; `merge` joins processes
//! let matching = Matching::one_to_one(&matrix);           // once, over the whole set
//! let scores = SegmentationScores::new(&matrix, &matching, Some(&is_thing))?;
//! ```
//!
//! A model that was trained on labels predicts classes, not clusters: [`Matching::identity`].
//!
//! [`detection`] scores boxes and masks of objects.
//!
//! All scores are **fractions** in `0..=1`, `None` if there is nothing to score; [`percent`] prints them. Class and cluster indices count from 0.

mod assignment;
mod confusion;
pub mod detection;
mod segmentation;
mod spread;

#[cfg(test)]
mod parity;

pub use assignment::{Matching, MatchingRule};
pub use confusion::{ConfusionError, ConfusionMatrix};
pub use segmentation::{ClassScores, MeanScores, ScoreError, SegmentationScores, ThingsStuff};
pub use spread::Spread;

/// A score in percent with two decimals, as tables have it; a dash if there is nothing to score.
pub fn percent(score: Option<f64>) -> String {
    score.map_or("-".to_owned(), |score| format!("{:.2}", 100.0 * score))
}
