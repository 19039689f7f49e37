//! IoU and accuracy per class, and their means.

use serde::{Deserialize, Serialize};

use crate::{ConfusionMatrix, Matching, MatchingRule};

/// The scores of one class. Serialised with its counts, so that any other mean can be taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Pixels of the class that fell into one of its clusters.
    pub correct: u64,
    /// Pixels labelled as the class.
    pub labelled: u64,
    /// Labelled pixels, of any class, that fell into one of its clusters.
    pub predicted: u64,
    /// `correct / (labelled + predicted - correct)`, in 0..=1; `None` if the union is empty.
    pub iou: Option<f64>,
    /// `correct / labelled`, in 0..=1; `None` for a class without labels.
    pub accuracy: Option<f64>,
}

/// The three figures of a group of classes, fractions in 0..=1; `None` if no class of the group has a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanScores {
    /// Mean IoU over classes whose union is not empty: a class that is predicted but absent counts 0.
    #[serde(rename = "mIoU")]
    pub miou: Option<f64>,
    /// Share of the group's labelled pixels that are correct.
    #[serde(rename = "aAcc")]
    pub aacc: Option<f64>,
    /// Mean accuracy over classes that have labels.
    #[serde(rename = "mAcc")]
    pub macc: Option<f64>,
}

/// The figures of things (countable objects) and of stuff.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ThingsStuff {
    /// Over things.
    pub things: MeanScores,
    /// Over stuff.
    pub stuff: MeanScores,
}

/// All scores of a matched confusion matrix. Fractions; a label in an unmatched cluster is an error like any other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentationScores {
    /// How clusters were matched to classes.
    pub matching: MatchingRule,
    /// Over all classes.
    #[serde(flatten)]
    pub overall: MeanScores,
    /// The classes that are things and those that are not, each with its full union; `None` without flags.
    pub split: Option<ThingsStuff>,
    /// The split as the authors' released code computes it, only for comparison with published figures. With `T` things
    /// it counts clusters `0..T` as things and the others as stuff, whatever classes they stand for, and ignores pixels
    /// whose class and cluster are on different sides (therefore its figures are far above the overall ones). `None`
    /// without flags, and unless every class has exactly one cluster.
    pub legacy_split: Option<ThingsStuff>,
    /// Per class, in ground-truth order.
    pub per_class: Vec<ClassScores>,
    /// Classes without a label.
    pub absent_classes: Vec<usize>,
    /// Classes that no cluster stands for.
    pub unmatched_classes: Vec<usize>,
    /// Clusters that stand for no class.
    pub unmatched_clusters: Vec<usize>,
}

/// Inputs that are not about the same classes and clusters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// The matching belongs to a matrix of another shape.
    #[error(
        "the matching is of {} classes x {} clusters, the confusion matrix of {} x {}",
        matching.0, matching.1, matrix.0, matrix.1
    )]
    Matching {
        /// Classes and clusters of the matching.
        matching: (usize, usize),
        /// Classes and clusters of the matrix.
        matrix: (usize, usize),
    },
    /// Not one things/stuff flag per class.
    #[error("{flags} things/stuff flags for {classes} classes")]
    Flags {
        /// Number of flags.
        flags: usize,
        /// Number of classes.
        classes: usize,
    },
}

impl SegmentationScores {
    /// Scores `matrix` under `matching`. `is_thing` has a flag per class; without it there is no split.
    ///
    /// # Errors
    /// [`ScoreError`] when matching or flags do not fit the matrix.
    pub fn new(
        matrix: &ConfusionMatrix,
        matching: &Matching,
        is_thing: Option<&[bool]>,
    ) -> Result<Self, ScoreError> {
        check(matrix, matching, is_thing)?;
        let per_class: Vec<_> =
            (0..matrix.classes()).map(|class| ClassScores::of(matrix, matching, class)).collect();
        Ok(Self {
            matching: matching.rule(),
            overall: MeanScores::over(&per_class),
            split: is_thing.map(|is_thing| ThingsStuff::by_class(&per_class, is_thing)),
            legacy_split: is_thing.and_then(|is_thing| ThingsStuff::legacy(matrix, matching, is_thing)),
            absent_classes: (0..per_class.len()).filter(|&class| per_class[class].labelled == 0).collect(),
            per_class,
            unmatched_classes: matching.unmatched_classes(),
            unmatched_clusters: matching.unmatched_clusters(),
        })
    }
}

fn check(matrix: &ConfusionMatrix, matching: &Matching, is_thing: Option<&[bool]>) -> Result<(), ScoreError> {
    let (classes, clusters) = (matrix.classes(), matrix.clusters());
    let matched = (matching.classes(), matching.class_of_cluster().len());
    if matched != (classes, clusters) {
        return Err(ScoreError::Matching { matching: matched, matrix: (classes, clusters) });
    }
    match is_thing {
        Some(is_thing) if is_thing.len() != classes => {
            Err(ScoreError::Flags { flags: is_thing.len(), classes })
        }
        _ => Ok(()),
    }
}

impl ClassScores {
    fn of(matrix: &ConfusionMatrix, matching: &Matching, class: usize) -> Self {
        let clusters = matching.clusters_of_class(class);
        let correct = clusters.iter().map(|&cluster| matrix.count(class, cluster)).sum();
        let predicted = clusters.iter().map(|&cluster| matrix.count_of_cluster(cluster)).sum();
        Self::from_counts(correct, matrix.count_of_class(class), predicted)
    }

    fn from_counts(correct: u64, labelled: u64, predicted: u64) -> Self {
        let iou = ratio(correct, labelled + predicted - correct);
        Self { correct, labelled, predicted, iou, accuracy: ratio(correct, labelled) }
    }
}

impl MeanScores {
    fn over(classes: &[ClassScores]) -> Self {
        let sum = |count: fn(&ClassScores) -> u64| classes.iter().map(count).sum();
        Self {
            miou: mean(classes.iter().filter_map(|class| class.iou)),
            aacc: ratio(sum(|class| class.correct), sum(|class| class.labelled)),
            macc: mean(classes.iter().filter_map(|class| class.accuracy)),
        }
    }
}

impl ThingsStuff {
    fn by_class(per_class: &[ClassScores], is_thing: &[bool]) -> Self {
        let over = |thing| {
            let group = per_class.iter().zip(is_thing).filter(|(_, is_thing)| **is_thing == thing);
            MeanScores::over(&group.map(|(scores, _)| *scores).collect::<Vec<_>>())
        };
        Self { things: over(true), stuff: over(false) }
    }

    /// The released evaluators: `new_hist[cluster of class] = hist[class]` orders the rows by cluster; then `[:T, :T]`, `[T:, T:]`.
    fn legacy(matrix: &ConfusionMatrix, matching: &Matching, is_thing: &[bool]) -> Option<Self> {
        let classes: Vec<usize> = matching.class_of_cluster().iter().copied().collect::<Option<_>>()?;
        if matching.rule() != MatchingRule::OneToOne || classes.len() != matrix.classes() {
            return None;
        }
        let block = |clusters: std::ops::Range<usize>| {
            let count = |row: usize, column| matrix.count(classes[row], column);
            let scores = clusters.clone().map(|cluster| {
                let labelled = clusters.clone().map(|column| count(cluster, column)).sum();
                let predicted = clusters.clone().map(|row| count(row, cluster)).sum();
                ClassScores::from_counts(count(cluster, cluster), labelled, predicted)
            });
            MeanScores::over(&scores.collect::<Vec<_>>())
        };
        let things = is_thing.iter().filter(|is_thing| **is_thing).count();
        Some(Self { things: block(0..things), stuff: block(things..classes.len()) })
    }
}

/// `None` if `whole` is 0.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// `None` if there are no values.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests;
