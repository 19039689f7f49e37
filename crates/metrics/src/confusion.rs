//! How often each ground-truth class coincides with each cluster.

use serde::Serialize;

/// Counts of labelled pixels, `ground-truth classes x clusters`. The two numbers may differ: an over-clustered head
/// has more clusters than there are classes.
///
/// The matrix is an accumulator: updating it with all pixels, or merging several matrices of parts of them, gives the
/// same counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    classes: usize,
    clusters: usize,
    /// The label of pixels that do not count.
    void: i64,
    /// Row-major: all clusters of class 0, then of class 1, and so on.
    counts: Vec<u64>,
}

/// Labels, clusters or counts that do not fit the matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfusionError {
    /// Labels and clusters do not belong to the same pixels.
    #[error("{labels} labels but {clusters} cluster indices; there must be one of each per pixel")]
    Length {
        /// Number of labels.
        labels: usize,
        /// Number of cluster indices.
        clusters: usize,
    },
    /// A label outside the taxonomy: the data's fault, or a wrong void value.
    #[error("label {label} at pixel {pixel} is neither a class (0..{classes}) nor void ({void})")]
    Label {
        /// The label found.
        label: i64,
        /// Its position among the labels of this update.
        pixel: usize,
        /// Number of classes.
        classes: usize,
        /// The void label.
        void: i64,
    },
    /// A cluster index that the head cannot produce.
    #[error("cluster {cluster} at pixel {pixel} is outside 0..{clusters}")]
    Cluster {
        /// The index found.
        cluster: i64,
        /// Its position among the cluster indices of this update.
        pixel: usize,
        /// Number of clusters.
        clusters: usize,
    },
    /// Matrices of different shapes, or counts that do not fill one.
    #[error("a confusion matrix of {expected} was expected, not {got}")]
    Shape {
        /// The shape or length needed.
        expected: String,
        /// The shape or length found.
        got: String,
    },
}

impl ConfusionMatrix {
    /// An empty matrix. Pixels labelled `void` will not count, even if `void` is the index of a class.
    pub fn new(classes: usize, clusters: usize, void: i64) -> Self {
        Self { classes, clusters, void, counts: vec![0; classes * clusters] }
    }

    /// The matrix that holds `counts` (row-major, `classes * clusters`), as summed over processes.
    ///
    /// # Errors
    /// [`ConfusionError::Shape`] when the number of counts is not `classes * clusters`.
    pub fn from_counts(
        classes: usize,
        clusters: usize,
        void: i64,
        counts: Vec<u64>,
    ) -> Result<Self, ConfusionError> {
        if counts.len() == classes * clusters {
            return Ok(Self { classes, clusters, void, counts });
        }
        let expected = format!("{classes} x {clusters} counts");
        Err(ConfusionError::Shape { expected, got: format!("{} counts", counts.len()) })
    }

    /// Counts the pixels of some pictures: `labels[i]` and `clusters[i]` belong to the same pixel. The cluster of a
    /// void pixel is ignored.
    ///
    /// # Errors
    /// [`ConfusionError`] for the first pixel out of range or for unequal lengths; nothing is counted then.
    pub fn update<L, C>(&mut self, labels: &[L], clusters: &[C]) -> Result<(), ConfusionError>
    where
        L: Copy + Into<i64>,
        C: Copy + Into<i64>,
    {
        if labels.len() != clusters.len() {
            return Err(ConfusionError::Length { labels: labels.len(), clusters: clusters.len() });
        }
        // Counted separately first, so that an error leaves the matrix unchanged.
        let mut counts = vec![0; self.counts.len()];
        for (pixel, (&label, &cluster)) in labels.iter().zip(clusters).enumerate() {
            if label.into() != self.void {
                counts[self.cell(pixel, label.into(), cluster.into())?] += 1;
            }
        }
        self.add(&counts);
        Ok(())
    }

    /// Adds the counts of another matrix over the same classes and clusters.
    ///
    /// # Errors
    /// [`ConfusionError::Shape`] when the shapes differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), ConfusionError> {
        let shape = |matrix: &Self| (matrix.classes, matrix.clusters);
        if shape(self) != shape(other) {
            let text = |(classes, clusters)| format!("{classes} classes x {clusters} clusters");
            return Err(ConfusionError::Shape { expected: text(shape(self)), got: text(shape(other)) });
        }
        self.add(&other.counts);
        Ok(())
    }

    /// Number of ground-truth classes (rows).
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of clusters (columns).
    pub fn clusters(&self) -> usize {
        self.clusters
    }

    /// All counts, row-major; a sum over processes is a sum of these.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The counts of each class over the clusters, class by class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        (0..self.classes).map(|class| &self.counts[class * self.clusters..(class + 1) * self.clusters])
    }

    /// Pixels labelled `class` that fell into `cluster`. Panics when either is out of range.
    pub fn count(&self, class: usize, cluster: usize) -> u64 {
        assert!(class < self.classes && cluster < self.clusters, "no cell ({class}, {cluster})");
        self.counts[class * self.clusters + cluster]
    }

    /// Pixels labelled `class`.
    pub fn count_of_class(&self, class: usize) -> u64 {
        (0..self.clusters).map(|cluster| self.count(class, cluster)).sum()
    }

    /// Labelled pixels that fell into `cluster`.
    pub fn count_of_cluster(&self, cluster: usize) -> u64 {
        (0..self.classes).map(|class| self.count(class, cluster)).sum()
    }

    /// All counted pixels, which excludes void ones.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The cell in which a pixel that is not void counts.
    fn cell(&self, pixel: usize, label: i64, cluster: i64) -> Result<usize, ConfusionError> {
        let (classes, clusters, void) = (self.classes, self.clusters, self.void);
        let row = index_below(label, classes).ok_or(ConfusionError::Label { label, pixel, classes, void })?;
        let column =
            index_below(cluster, clusters).ok_or(ConfusionError::Cluster { cluster, pixel, clusters })?;
        Ok(row * clusters + column)
    }

    fn add(&mut self, counts: &[u64]) {
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
}

/// `value` as an index, when it is in `0..length`.
fn index_below(value: i64, length: usize) -> Option<usize> {
    usize::try_from(value).ok().filter(|&index| index < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_parts_is_updating_with_all() {
        let labels = [0u8, 1, 2, 255, 1, 0, 2, 2];
        let clusters = [3i64, 0, 1, 9, 0, 3, 2, 2];
        let mut all = ConfusionMatrix::new(3, 4, 255);
        all.update(&labels, &clusters).unwrap();
        for cut in 0..=labels.len() {
            let (mut first, mut second) = (ConfusionMatrix::new(3, 4, 255), ConfusionMatrix::new(3, 4, 255));
            first.update(&labels[..cut], &clusters[..cut]).unwrap();
            second.update(&labels[cut..], &clusters[cut..]).unwrap();
            first.merge(&second).unwrap();
            assert_eq!(first, all);
        }
        assert_eq!(all.counts(), [0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!((all.total(), all.count_of_class(2), all.count_of_cluster(0)), (7, 3, 2));
        assert_eq!(all.rows().collect::<Vec<_>>(), [[0, 0, 0, 2], [2, 0, 0, 0], [0, 1, 2, 0]]);
        assert_eq!(ConfusionMatrix::new(2, 0, 255).rows().collect::<Vec<_>>(), [[0; 0]; 2]);
        assert_eq!(ConfusionMatrix::from_counts(3, 4, 255, all.counts().to_vec()), Ok(all));
    }

    #[test]
    fn void_alone_is_left_out_and_errors_count_nothing() {
        let mut matrix = ConfusionMatrix::new(3, 3, -1);
        matrix.update(&[-1i16, -1], &[0i64, 99]).unwrap();
        let label = matrix.update(&[0i16, 255], &[0i64, 0]).unwrap_err();
        assert_eq!(label.to_string(), "label 255 at pixel 1 is neither a class (0..3) nor void (-1)");
        let cluster = matrix.update(&[0i16, 1], &[0i64, 3]).unwrap_err();
        assert_eq!(cluster.to_string(), "cluster 3 at pixel 1 is outside 0..3");
        let length = matrix.update(&[0i16], &[0i64, 1]).unwrap_err();
        assert_eq!(length, ConfusionError::Length { labels: 1, clusters: 2 });
        assert_eq!(matrix.total(), 0);
    }

    #[test]
    fn a_void_class_is_left_out() {
        let mut matrix = ConfusionMatrix::new(2, 2, 0);
        matrix.update(&[0u8, 1], &[0u8, 1]).unwrap();
        assert_eq!(matrix.counts(), [0, 0, 0, 1]);
    }

    #[test]
    fn other_shapes_are_refused() {
        let mut matrix = ConfusionMatrix::new(2, 3, -1);
        let error = matrix.merge(&ConfusionMatrix::new(3, 2, -1)).unwrap_err().to_string();
        assert!(error.contains("2 classes x 3 clusters") && error.contains("3 classes x 2"), "{error}");
        assert!(ConfusionMatrix::from_counts(2, 3, -1, vec![0; 5]).is_err());
    }
}
