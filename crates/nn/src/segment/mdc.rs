//! Modified DeepCluster, PiCIE's baseline (Caron et al. 2018; Cho et al. 2021): view 1's features are clustered once an epoch, and a
//! classifier that starts anew learns the clusters.
//!
//! ```text
//! loss = CE(g(f1), y1; w1)       f: features of length 1; g: a 1x1 convolution; y: the nearest centroids of the epoch's start
//! ```

use densesiam_random::{Key, Rng};
use densesiam_settings::SettingError;
use densesiam_settings::duration::{Horizon, Now};
use densesiam_torch_ext::Group;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kmeans::{ClusterError, ClusteringSettings, Gathering, Metric, Statistics, compared};
use super::labeller::{Labeller, Prototypes};
use super::{Categories, Clustering, Pass, SegmentEncoder, Segmenting, SegmentingSettings, Trunk, Views};
use crate::layers::Mode;
use crate::pretrain::NamedLoss;
use crate::step::{Step, Watched};
use crate::store::{Initial, Store};

/// The deviation of the classifier's weights at the start of each epoch.
const DEVIATION: f64 = 0.01;

/// The view of the key by which the classifier begins. Those of the views' clusters are 1 and 2, and 0 is that of the positions of a
/// picture that are held.
const CLASSIFIER: u32 = 3;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: SegmentEncoder,
    /// `[clustering]`
    pub clustering: ClusteringSettings,
    /// `[mdc]`
    pub mdc: MdcSettings,
}

/// The table `mdc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MdcSettings {
    /// What names the cluster of a position.
    pub classifier: Classifier,
}

/// What names the cluster of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Classifier {
    /// A layer that is trained, from small random weights in each epoch.
    #[default]
    Trained,
    /// The centroids, which are not trained.
    Centroids,
}

impl SegmentingSettings for Settings {
    fn name(&self) -> &'static str {
        "mdc"
    }

    fn encoder(&self) -> &SegmentEncoder {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        self.clustering.validate()
    }

    fn takes_one_view(&self) -> bool {
        true
    }

    fn categories(&self) -> Categories {
        let unit = self.clustering.metric == Metric::Cosine;
        let (kernel, bias) = match self.mdc.classifier {
            Classifier::Trained => ("classifier.weight", Some("classifier.bias")),
            Classifier::Centroids => ("clusters.view1.centroids", None),
        };
        Categories::Convolution { kernel, bias, unit }
    }

    fn clustering(&self, categories: i64) -> Option<(&ClusteringSettings, i64)> {
        Some((&self.clustering, categories))
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_clusters",
            short: "clusters",
            title: "clusters",
            meaning: "the view and its own clusters",
        }]
    }

    fn summary(&self, _horizon: &Horizon, _categories: i64) -> String {
        "modified DeepCluster".to_owned()
    }

    fn build(&self, store: &Store, categories: i64) -> Box<dyn Segmenting> {
        Box::new(Mdc::new(store, self, categories))
    }
}

/// Trunk, its copy, clusters and classifier.
#[derive(Debug)]
pub struct Mdc {
    trunk: Trunk,
    labeller: Labeller,
    prototypes: Prototypes,
    /// Weight `[K, D, 1, 1]` and bias `[K]`, if it is trained.
    classifier: Option<[Tensor; 2]>,
    /// The labels of the next step, `[B, h, w]`.
    labels: Option<Tensor>,
    gathering: Option<(Pass, Key, Gathering)>,
    settings: Settings,
    group: Group,
}

impl Mdc {
    /// Builds the model in `store`, under the names of the released code, for so many categories.
    pub fn new(store: &Store, settings: &Settings, categories: i64) -> Self {
        let root = store.root();
        let width = settings.encoder.width;
        let trunk = Trunk::new(&root, &settings.encoder);
        let classifier = || {
            let scope = &root / "classifier";
            let weight = scope.parameter("weight", &[categories, width, 1, 1], Initial::Normal(DEVIATION));
            [weight, scope.parameter("bias", &[categories], Initial::Constant(0.0))]
        };
        let classifier = (settings.mdc.classifier == Classifier::Trained).then(classifier);
        let prototypes = Prototypes::new(&(&(&root / "clusters") / "view1"), categories, width);
        let labeller = Labeller::new(store, &settings.encoder, settings.clustering.metric);
        let (settings, group) = (settings.clone(), store.group().clone());
        Self { trunk, labeller, prototypes, classifier, labels: None, gathering: None, settings, group }
    }

    /// This process's part of the loss of a batch that was labelled, and the scores of view 1, `[B, K, h, w]`.
    pub fn forward(&self, views: &Views) -> (Tensor, Tensor) {
        let map = self.trunk.forward(&views.pixels[0], Mode::Train { views: 1 });
        let logits = self.scores(&map);
        let labels = self.labels.as_ref().unwrap_or_else(|| panic!("a batch is labelled before its step"));
        (self.prototypes.entropy(&logits, labels, &self.group), logits.detach())
    }

    /// The labels that a batch would have, `[B, h, w]`.
    pub fn labels_of(&self, views: &Views) -> Tensor {
        self.prototypes.labels(&self.labeller.features_of_view_1(views))
    }

    fn scores(&self, map: &Tensor) -> Tensor {
        let features = compared(map, self.settings.clustering.metric);
        match &self.classifier {
            Some([weight, bias]) => features.conv2d(weight, Some(bias), [1], [0], [1], 1),
            None => self.prototypes.products(&features),
        }
    }
}

impl Segmenting for Mdc {
    fn label(&mut self, views: &Views) {
        self.labels = Some(self.labels_of(views));
    }

    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let (loss, scores) = self.forward(views);
        let parts = vec![("loss_clusters", loss.shallow_clone())];
        Step { loss, parts, counts: Vec::new(), watched: vec![Watched::Categories(scores)] }
    }

    fn logits(&self, pictures: &Tensor) -> Tensor {
        self.scores(&self.trunk.forward(pictures, Mode::Evaluate))
    }

    fn clustering(&mut self) -> Option<&mut dyn Clustering> {
        Some(self)
    }
}

impl Clustering for Mdc {
    fn begin(&mut self, pass: Pass, key: Key) {
        let numbers = [self.prototypes.clusters()];
        self.gathering =
            Some((pass, key, Gathering::new(&self.settings.clustering, &numbers, key.view(1), &self.group)));
    }

    fn encode(&self, views: &Views) -> Vec<Tensor> {
        let running = self.settings.clustering.statistics == Statistics::Running;
        let whole = matches!(self.gathering, Some((Pass::Whole, ..)));
        let mode = if whole || running { Mode::Evaluate } else { Mode::Train { views: 1 } };
        tch::no_grad(|| vec![self.trunk.forward(&views.pixels[0], mode)])
    }

    fn gather(&mut self, maps: &[Tensor], keys: &[Key]) -> Result<(), ClusterError> {
        let Some((.., gathering)) = &mut self.gathering else { return Ok(()) };
        tch::no_grad(|| maps.iter().try_for_each(|map| gathering.add(map, keys)))
    }

    fn settle(&mut self) -> Result<(), ClusterError> {
        let Some((pass, key, gathering)) = self.gathering.take() else { return Ok(()) };
        let clusters = tch::no_grad(|| gathering.finish())?;
        self.prototypes.take(&clusters[0]);
        if pass == Pass::Epoch {
            self.labeller.renew();
        }
        if let Some([weight, bias]) = &mut self.classifier {
            let values = match pass {
                Pass::Epoch => small(weight, &mut key.view(CLASSIFIER).rng()),
                Pass::Whole => self.prototypes.centroids().shallow_clone(),
            };
            tch::no_grad(|| {
                weight.copy_(&values.view_as(weight));
                let _ = bias.zero_();
            });
        }
        Ok(())
    }

    fn renewed(&self) -> Option<&'static str> {
        self.classifier.as_ref().map(|_| "classifier.")
    }
}

/// Normal numbers of the classifier's deviation.
fn small(weight: &Tensor, rng: &mut impl Rng) -> Tensor {
    let numbers = StandardNormal.sample_iter(rng).map(|x: f32| x * DEVIATION as f32);
    let values: Vec<f32> = numbers.take(weight.numel()).collect();
    Tensor::from_slice(&values).to_device(weight.device())
}
