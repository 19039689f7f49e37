//! The network of an epoch's start, which labels each batch that is learnt from in that epoch.
//!
//! The released code of PiCIE and MDC labels all pictures before the epoch and keeps the labels in files. A copy of the network gives
//! the same labels when a batch is at hand: nothing is kept but the copy, and a run that resumes within an epoch has it in its checkpoint.

use densesiam_torch_ext::Group;
use tch::Tensor;

use super::kmeans::{Clusters, Metric, compared};
use super::trunk::{SegmentEncoder, Trunk, Views};
use crate::layers::Mode;
use crate::losses::entropy_of_labels;
use crate::store::{Initial, Scope, Store};

/// A copy of the trunk as it was when the clusters settled.
#[derive(Debug)]
pub(super) struct Labeller {
    trunk: Trunk,
    trained_and_copy: Vec<[Tensor; 2]>,
    metric: Metric,
}

impl Labeller {
    /// The copy of the trunk in `store`, whose names have `key_` before the trunk's.
    pub(super) fn new(store: &Store, settings: &SegmentEncoder, metric: Metric) -> Self {
        let trunk = Trunk::new(&store.teacher(), settings);
        Self { trunk, trained_and_copy: store.student_and_teacher(true), metric }
    }

    /// Makes the copy equal to the trained network.
    pub(super) fn renew(&mut self) {
        tch::no_grad(|| self.trained_and_copy.iter_mut().for_each(|[trained, copy]| copy.copy_(trained)));
    }

    /// The copy's features of both views with its running statistics, as they are clustered: `[B, D, h, w]` each.
    pub(super) fn features(&self, views: &Views) -> [Tensor; 2] {
        tch::no_grad(|| self.trunk.both_evaluated(views).map(|map| compared(&map, self.metric)))
    }

    /// The same of view 1 alone.
    pub(super) fn features_of_view_1(&self, views: &Views) -> Tensor {
        let map = || self.trunk.forward(&views.pixels[0], Mode::Evaluate);
        tch::no_grad(|| compared(&map(), self.metric))
    }
}

/// What a view's features were clustered into, as buffers of the model.
#[derive(Debug)]
pub(super) struct Prototypes {
    /// `[K, D]`
    centroids: Tensor,
    /// The share of all positions that each has, `[K]`.
    shares: Tensor,
}

impl Prototypes {
    /// Buffers `centroids` and `shares`; until something is clustered the centroids are random.
    pub(super) fn new(scope: &Scope, clusters: i64, width: i64) -> Self {
        let centroids =
            scope.random_buffer("centroids", &[clusters, width], Initial::Normal((width as f64).powf(-0.5)));
        Self { centroids, shares: scope.buffer("shares", &[clusters], 1.0 / clusters as f64) }
    }

    pub(super) fn clusters(&self) -> i64 {
        self.centroids.size()[0]
    }

    pub(super) fn take(&mut self, clusters: &Clusters) {
        tch::no_grad(|| {
            self.centroids.copy_(&clusters.centroids);
            self.shares.copy_(&(&clusters.counts / clusters.counts.sum(tch::Kind::Double)));
        });
    }

    /// `[K, D]`
    pub(super) fn centroids(&self) -> &Tensor {
        &self.centroids
    }

    /// Inner products of the centroids with features `[B, D, h, w]`: `[B, K, h, w]`.
    pub(super) fn products(&self, features: &Tensor) -> Tensor {
        features.conv2d::<Tensor>(&self.kernel(features), None, [1], [0], [1], 1)
    }

    /// The nearest centroid of each position, `[B, h, w]`: the greatest `2 f.c - |c|^2`.
    pub(super) fn labels(&self, features: &Tensor) -> Tensor {
        let kernel = self.kernel(features);
        let lengths = (&kernel * &kernel).sum_dim_intlist([1i64, 2, 3].as_slice(), false, kernel.kind());
        (features.conv2d(&kernel, Some(-lengths * 0.5), [1], [0], [1], 1)).argmax(1, false)
    }

    /// Cross-entropy of logits `[B, K, h, w]` against labels `[B, h, w]`, each weighed by the share of its label, over the sum of these
    /// weights in the batch of all processes: frequent labels count more. This process's part of it.
    pub(super) fn entropy(&self, logits: &Tensor, labels: &Tensor, group: &Group) -> Tensor {
        let weights = self.shares.to_kind(logits.kind()).take(labels);
        let entropy = entropy_of_labels(logits, labels);
        let sum = weights.sum(tch::Kind::Double);
        group.sum(&sum);
        (entropy * &weights).sum(logits.kind())
            / sum.to_kind(logits.kind()).clamp_min(f64::from(f32::MIN_POSITIVE))
    }

    fn kernel(&self, features: &Tensor) -> Tensor {
        self.centroids.to_kind(features.kind()).unsqueeze(-1).unsqueeze(-1)
    }
}
