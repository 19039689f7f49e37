//! Decides which class each cluster stands for.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::Serialize;

use crate::ConfusionMatrix;

/// How clusters were matched to classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchingRule {
    /// Every class has at most one cluster: the assignment of the paper, section 4, and of published figures.
    OneToOne,
    /// Every cluster stands for its majority class: an upper bound that grows with the number of clusters.
    ManyToOne,
    /// Cluster `k` is class `k`: predictions of a model that was trained on labels.
    Identity,
}

/// A class for each cluster, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matching {
    rule: MatchingRule,
    classes: usize,
    class_of_cluster: Vec<Option<usize>>,
}

impl Matching {
    /// The one-to-one assignment with the most pixels on its diagonal (the Hungarian algorithm; exact, because counts
    /// are integers). With fewer clusters than classes some classes stay unmatched, with more some clusters do.
    ///
    /// The smaller side is matched completely, as in scipy's `linear_sum_assignment`: a class without labels takes one
    /// of the remaining clusters. Among equally good assignments the choice depends only on the matrix, so runs are
    /// repeatable; it is not specified further.
    pub fn one_to_one(matrix: &ConfusionMatrix) -> Self {
        let (classes, clusters) = (matrix.classes(), matrix.clusters());
        let mut class_of_cluster = vec![None; clusters];
        // The algorithm matches every row, so the smaller side has to be the rows.
        if classes <= clusters {
            let cluster_of_class =
                best_columns(classes, clusters, |class, cluster| matrix.count(class, cluster));
            for (class, cluster) in cluster_of_class.into_iter().enumerate() {
                class_of_cluster[cluster] = Some(class);
            }
        } else {
            let class_by_cluster =
                best_columns(clusters, classes, |cluster, class| matrix.count(class, cluster));
            class_of_cluster = class_by_cluster.into_iter().map(Some).collect();
        }
        Self { rule: MatchingRule::OneToOne, classes, class_of_cluster }
    }

    /// Matches each cluster to the class that most of its pixels have; if several are equal, to the first. A cluster
    /// without labelled pixels stays unmatched, and so does a class that is not the majority of any cluster.
    pub fn many_to_one(matrix: &ConfusionMatrix) -> Self {
        let majority = |cluster| {
            // `max_by_key` returns the last of equal elements; reversed, that is the first class.
            let class = (0..matrix.classes()).rev().max_by_key(|&class| matrix.count(class, cluster));
            class.filter(|&class| matrix.count(class, cluster) > 0)
        };
        let class_of_cluster = (0..matrix.clusters()).map(majority).collect();
        Self { rule: MatchingRule::ManyToOne, classes: matrix.classes(), class_of_cluster }
    }

    /// Each of `classes` clusters stands for the class of its own number.
    pub fn identity(classes: usize) -> Self {
        Self { rule: MatchingRule::Identity, classes, class_of_cluster: (0..classes).map(Some).collect() }
    }

    /// How the clusters were matched.
    pub fn rule(&self) -> MatchingRule {
        self.rule
    }

    /// Number of ground-truth classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of each cluster, `None` if it has none.
    pub fn class_of_cluster(&self) -> &[Option<usize>] {
        &self.class_of_cluster
    }

    /// The clusters that stand for `class`, in ascending order: at most one under [`MatchingRule::OneToOne`].
    pub fn clusters_of_class(&self, class: usize) -> Vec<usize> {
        self.clusters_of(Some(class))
    }

    /// All clusters in the order of their classes, followed by those that stand for none: the columns of a confusion
    /// matrix with the correct cells on its diagonal.
    pub fn clusters_in_class_order(&self) -> Vec<usize> {
        let mut clusters: Vec<usize> = (0..self.class_of_cluster.len()).collect();
        clusters.sort_by_key(|&cluster| self.class_of_cluster[cluster].unwrap_or(self.classes));
        clusters
    }

    /// Clusters that stand for no class, in ascending order.
    pub fn unmatched_clusters(&self) -> Vec<usize> {
        self.clusters_of(None)
    }

    /// Classes that no cluster stands for, in ascending order.
    pub fn unmatched_classes(&self) -> Vec<usize> {
        (0..self.classes).filter(|&class| !self.class_of_cluster.contains(&Some(class))).collect()
    }

    fn clusters_of(&self, class: Option<usize>) -> Vec<usize> {
        (0..self.class_of_cluster.len()).filter(|&cluster| self.class_of_cluster[cluster] == class).collect()
    }
}

/// A different column for each row, so that the sum of the weights is largest. Needs `rows <= columns`.
fn best_columns(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> u64) -> Vec<usize> {
    // Signed and wide: the algorithm subtracts, and sums of counts must not overflow.
    let weights = Matrix::from_fn(rows, columns, |(row, column)| i128::from(weight(row, column)));
    kuhn_munkres(&weights).1
}

#[cfg(test)]
mod tests {
    use densesiam_random::{Key, Purpose, RngExt};

    use super::*;

    /// Small counts, so that ties are common.
    fn random_matrix(classes: usize, clusters: usize, seed: u64) -> ConfusionMatrix {
        let mut rng = Key::new(seed, Purpose::Points).rng();
        let counts = (0..classes * clusters).map(|_| rng.random_range(0..12)).collect();
        ConfusionMatrix::from_counts(classes, clusters, -1, counts).unwrap()
    }

    fn diagonal(matrix: &ConfusionMatrix, matching: &Matching) -> u64 {
        let classes = matching.class_of_cluster().iter().enumerate();
        classes.filter_map(|(cluster, &class)| class.map(|class| matrix.count(class, cluster))).sum()
    }

    /// The best diagonal over every way to give the classes from `class` on a cluster not in the set `used`, or none.
    fn brute_force(matrix: &ConfusionMatrix, class: usize, used: u32) -> u64 {
        if class == matrix.classes() {
            return 0;
        }
        let unmatched = brute_force(matrix, class + 1, used);
        let free = (0..matrix.clusters()).filter(|cluster| used & (1 << cluster) == 0);
        let matched = free.map(|cluster| {
            matrix.count(class, cluster) + brute_force(matrix, class + 1, used | (1 << cluster))
        });
        matched.fold(unmatched, u64::max)
    }

    #[test]
    fn no_permutation_beats_the_assignment() {
        for (classes, clusters) in [(5, 5), (3, 6), (6, 3), (1, 4), (4, 1), (0, 2), (2, 0), (0, 0)] {
            for seed in 0..40 {
                let matrix = random_matrix(classes, clusters, seed);
                let matching = Matching::one_to_one(&matrix);
                assert_eq!(diagonal(&matrix, &matching), brute_force(&matrix, 0, 0), "{matrix:?}");
                assert_eq!(matching, Matching::one_to_one(&matrix.clone()));
                assert!((0..classes).all(|class| matching.clusters_of_class(class).len() <= 1));
                assert_eq!(matching.unmatched_classes().len(), classes.saturating_sub(clusters));
                assert_eq!(matching.unmatched_clusters().len(), clusters.saturating_sub(classes));
            }
        }
    }

    #[test]
    fn counts_beyond_the_range_of_i64_are_matched() {
        let matrix = ConfusionMatrix::from_counts(2, 2, -1, vec![0, u64::MAX / 2, u64::MAX / 2, 1]).unwrap();
        assert_eq!(Matching::one_to_one(&matrix).class_of_cluster(), [Some(1), Some(0)]);
    }

    #[test]
    fn the_identity_takes_clusters_at_their_word() {
        // Every pixel is in the wrong cluster; the assignment would call them all right.
        let swapped = ConfusionMatrix::from_counts(2, 2, -1, vec![0, 4, 6, 0]).unwrap();
        let matching = Matching::identity(2);
        assert_eq!(matching.class_of_cluster(), [Some(0), Some(1)]);
        assert_eq!(
            (diagonal(&swapped, &matching), diagonal(&swapped, &Matching::one_to_one(&swapped))),
            (0, 10)
        );
        let scores = crate::SegmentationScores::new(&swapped, &matching, Some(&[true, false])).unwrap();
        assert_eq!((scores.overall.miou, scores.overall.aacc), (Some(0.0), Some(0.0)));
        assert_eq!((scores.matching, scores.legacy_split), (MatchingRule::Identity, None));
    }

    #[test]
    fn many_to_one_takes_majorities() {
        let counts = vec![5, 2, 0, 3, 1, 2, 0, 4, 0, 1, 0, 0];
        let matrix = ConfusionMatrix::from_counts(3, 4, -1, counts).unwrap();
        let matching = Matching::many_to_one(&matrix);
        assert_eq!(matching.class_of_cluster(), [Some(0), Some(0), None, Some(1)]);
        assert_eq!(matching.clusters_of_class(0), [0, 1]);
        assert_eq!((matching.unmatched_classes(), matching.unmatched_clusters()), (vec![2], vec![2]));
        assert_eq!(matching.clusters_in_class_order(), [0, 1, 3, 2]);
        assert!(diagonal(&matrix, &matching) >= diagonal(&matrix, &Matching::one_to_one(&matrix)));
    }
}
