//! Precision over recall.

use serde::{Deserialize, Serialize};

use super::ranking::{Reached, interpolated};

/// Points of recall at which a curve is known: 0, 0.01, ..., 1.
const POINTS: usize = 101;

/// The best precision at each recall or a higher one, for one class at an IoU of 0.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Precision at recall 0, 0.01, ..., 1, fractions; 0 where the recall is not reached.
    pub precision: Vec<f64>,
}

impl Curve {
    /// The recall of each point.
    pub fn recall() -> Vec<f64> {
        // As NumPy's linspace makes them: 0.29 is 29 * 0.01, which is another number than 29 / 100.
        let point = |index: usize| if index == POINTS - 1 { 1.0 } else { index as f64 * 0.01 };
        (0..POINTS).map(point).collect()
    }

    pub(super) fn through(reached: &[Reached]) -> Self {
        Self { precision: interpolated(reached, &Self::recall()) }
    }
}
