//! The classes that a score says nothing about.

use std::fmt;

use densesiam_data::labelled::{Taxonomy, names_listed};
use densesiam_metrics::{ClassScores, SegmentationScores};
use serde::Deserialize;
use serde_json::Value;

/// The classes without a labelled pixel, to be shown after a score: nothing if there is no such class, else ` (over 1
/// of 2 classes; absent: b)`.
#[derive(Clone, Debug)]
pub struct Absent {
    names: Vec<String>,
    /// The number of classes that the mean IoU covers, and of all classes. A class that is absent but predicted counts
    /// as 0 in the mean.
    scored: [usize; 2],
}

impl Absent {
    /// The absent classes of a score over the classes of a taxonomy.
    pub fn of(scores: &SegmentationScores, taxonomy: &Taxonomy) -> Self {
        let scored = scores.per_class.iter().filter(|class| class.iou.is_some()).count();
        let name = |&class: &usize| taxonomy.classes.get(class).map(|class| class.name.clone());
        let names = scores.absent_classes.iter().filter_map(name).collect();
        Self { names, scored: [scored, scores.per_class.len()] }
    }

    /// The absent classes of a line of `evaluations.jsonl`; `None` if the line is not an evaluation.
    pub fn recorded(row: &Value) -> Option<Self> {
        let Recorded { classes, per_class, absent_classes } = Recorded::deserialize(row).ok()?;
        let scored = per_class.iter().filter(|class| class.iou.is_some()).count();
        let names = absent_classes.iter().filter_map(|&class| classes.get(class).cloned()).collect();
        Some(Self { names, scored: [scored, per_class.len()] })
    }

    /// How many classes have no labelled pixel.
    pub fn count(&self) -> usize {
        self.names.len()
    }
}

/// The entries of a line of `evaluations.jsonl` about absent classes.
#[derive(Deserialize)]
struct Recorded {
    classes: Vec<String>,
    per_class: Vec<ClassScores>,
    #[serde(default)]
    absent_classes: Vec<usize>,
}

impl fmt::Display for Absent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [scored, all] = self.scored;
        match self.names.as_slice() {
            [] => Ok(()),
            names => write!(formatter, " (over {scored} of {all} classes; absent: {})", names_listed(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use densesiam_metrics::ConfusionMatrix;

    use super::*;
    use crate::tasks::segment::Evaluation;

    fn line(counts: Vec<u64>) -> String {
        let taxonomy = Taxonomy::parse("a\nb\n", "classes.txt".as_ref()).unwrap();
        let matrix = ConfusionMatrix::from_counts(2, 2, 255, counts).unwrap();
        let evaluation = Evaluation::new(matrix, &taxonomy).unwrap();
        let recorded = Absent::recorded(&evaluation.to_json(1, &taxonomy)).unwrap();
        assert_eq!(recorded.to_string(), evaluation.absent.to_string());
        evaluation.to_string()
    }

    #[test]
    fn a_score_says_which_classes_it_is_not_about() {
        assert_eq!(
            line(vec![7, 0, 0, 0]),
            "mIoU 100.00, aAcc 100.00, mAcc 100.00 (over 1 of 2 classes; absent: b)"
        );
        let predicted = line(vec![5, 5, 0, 0]);
        assert!(predicted.ends_with("(over 2 of 2 classes; absent: b)"), "{predicted}");
        assert!(!line(vec![7, 0, 0, 7]).contains("over"));
        assert!(line(vec![0; 4]).ends_with("(over 0 of 2 classes; absent: a, b)"));
    }
}
