//! PiCIE (Cho et al. 2021): each view's features are clustered once an epoch, and both views learn both labellings.
//!
//! ```text
//! within = (CE(f1 C1, y1; w1) + CE(f2 C2, y2; w2)) / 2        y: the nearest centroids of the epoch's start
//! cross  = (CE(f1 C2, y2; w2) + CE(f2 C1, y1; w1)) / 2        w: the shares of the labels
//! loss   = (within + cross) / 2                               f: features of length 1; C: centroids, which are not trained
//! ```
//!
//! The gradient flows through both views. PiCIE + H adds the same loss of a second clustering into more clusters; it was never
//! released, and is stated after the paper.

use densesiam_random::Key;
use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kmeans::{ClusterError, ClusteringSettings, Clusters, Gathering, Metric, Statistics, compared};
use super::labeller::{Labeller, Prototypes};
use super::{
    Categories, Clustering, Pass, SegmentEncoder, Segmenting, SegmentingSettings, Trunk, Views, balance,
};
use crate::layers::Mode;
use crate::pretrain::NamedLoss;
use crate::step::{Step, Watched};
use crate::store::Store;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: SegmentEncoder,
    /// `[clustering]`
    pub clustering: ClusteringSettings,
    /// `[picie]`
    pub picie: PicieSettings,
}

/// The table `picie`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PicieSettings {
    /// Clusters of a second clustering, which is learnt too (PiCIE + H, where it has 100); 0 for none.
    pub overclusters: i64,
    /// Inner products are divided by this before the softmax.
    pub temperature: f64,
}

impl Default for PicieSettings {
    fn default() -> Self {
        Self { overclusters: 0, temperature: 1.0 }
    }
}

impl SegmentingSettings for Settings {
    fn name(&self) -> &'static str {
        "picie"
    }

    fn encoder(&self) -> &SegmentEncoder {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        self.clustering.validate()?;
        let PicieSettings { overclusters, temperature } = self.picie;
        require(overclusters != 1, "picie.overclusters", &overclusters, "0 for none, or 2 or more")?;
        within("picie.overclusters", overclusters, 0..=4096, "clusters")?;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "picie.temperature", &temperature, "a finite number above 0")
    }

    fn categories(&self) -> Categories {
        let unit = self.clustering.metric == Metric::Cosine;
        Categories::Convolution { kernel: "segments.centroids", bias: None, unit }
    }

    fn clustering(&self, categories: i64) -> Option<(&ClusteringSettings, i64)> {
        Some((&self.clustering, categories.max(self.picie.overclusters)))
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_within",
                short: "within",
                title: "within views",
                meaning: "each view and its own labels",
            },
            NamedLoss {
                name: "loss_cross",
                short: "cross",
                title: "across views",
                meaning: "each view and the other's labels",
            },
            NamedLoss {
                name: "loss_overclusters",
                short: "overclusters",
                title: "more clusters",
                meaning: "both losses of the second clustering",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon, categories: i64) -> String {
        match self.picie.overclusters {
            0 => "PiCIE, labels within and across the views".to_owned(),
            more => {
                let [few, many] = balance(categories, more);
                format!("PiCIE + H, weights {few:.4} and {many:.4} of {more} clusters")
            }
        }
    }

    fn build(&self, store: &Store, categories: i64) -> Box<dyn Segmenting> {
        Box::new(Picie::new(store, self, categories))
    }
}

/// Trunk, its copy, and the clusters of both views.
#[derive(Debug)]
pub struct Picie {
    trunk: Trunk,
    labeller: Labeller,
    /// For each number of clusters those of view 1 and of view 2.
    prototypes: Vec<[Prototypes; 2]>,
    /// What the segmentation is read from: view 1's clusters of the epoch, and after the last step those of whole pictures.
    segments: Prototypes,
    /// The labels of the next step, `[B, h, w]`, by number of clusters and view.
    labels: Vec<[Tensor; 2]>,
    gathering: Option<(Pass, Vec<Gathering>)>,
    settings: Settings,
    group: Group,
}

/// The losses of one step, scalars: this process's parts.
#[derive(Debug)]
pub struct Losses {
    /// Of each view and its own labels.
    pub within: Tensor,
    /// Of each view and the other view's labels.
    pub cross: Tensor,
    /// The same of the second clustering, if there is one.
    pub overclusters: Option<[Tensor; 2]>,
    /// To be differentiated.
    pub total: Tensor,
}

impl Picie {
    /// Builds the model in `store`, under the names of the released code, for so many categories.
    pub fn new(store: &Store, settings: &Settings, categories: i64) -> Self {
        let root = store.root();
        let width = settings.encoder.width;
        let trunk = Trunk::new(&root, &settings.encoder);
        let pair = |scope: &str, clusters| {
            ["view1", "view2"].map(|view| Prototypes::new(&(&(&root / scope) / view), clusters, width))
        };
        let mut prototypes = vec![pair("clusters", categories)];
        if settings.picie.overclusters > 0 {
            prototypes.push(pair("overclusters", settings.picie.overclusters));
        }
        let segments = Prototypes::new(&(&root / "segments"), categories, width);
        let labeller = Labeller::new(store, &settings.encoder, settings.clustering.metric);
        let (labels, gathering) = (Vec::new(), None);
        let (settings, group) = (settings.clone(), store.group().clone());
        Self { trunk, labeller, prototypes, segments, labels, gathering, settings, group }
    }

    /// The losses of a batch that was labelled, and the products of view 1's features with its centroids.
    pub fn forward(&self, views: &Views) -> (Losses, Tensor) {
        self.forward_with(views, &self.labels)
    }

    /// The same with these labels: of each clustering, of view 1 and of view 2, `[B, h, w]`.
    pub fn forward_with(&self, views: &Views, labels: &[[Tensor; 2]]) -> (Losses, Tensor) {
        let features = self.trunk.both(views).map(|map| compared(&map, self.settings.clustering.metric));
        let temperature = self.settings.picie.temperature;
        let losses = |prototypes: &[Prototypes; 2], labels: &[Tensor; 2]| {
            let entropy = |features: &Tensor, of: usize| {
                let logits = prototypes[of].products(features) / temperature;
                prototypes[of].entropy(&logits, &labels[of], &self.group)
            };
            let [f1, f2] = &features;
            [(entropy(f1, 0) + entropy(f2, 1)) / 2.0, (entropy(f1, 1) + entropy(f2, 0)) / 2.0]
        };
        let mut all =
            self.prototypes.iter().zip(labels).map(|(prototypes, labels)| losses(prototypes, labels));
        let [within, cross] = all.next().unwrap_or_else(|| panic!("a batch is labelled before its step"));
        let overclusters = all.next();
        let mean = (&within + &cross) / 2.0;
        let total = match (&overclusters, &self.prototypes[..]) {
            (Some([within, cross]), [few, many]) => {
                let [of_few, of_many] = balance(few[0].clusters(), many[0].clusters());
                mean * of_few + (within + cross) * (of_many / 2.0)
            }
            _ => mean,
        };
        let seen = tch::no_grad(|| self.prototypes[0][0].products(&features[0].detach()));
        (Losses { within, cross, overclusters, total }, seen)
    }

    /// The labels that a batch would have: of each clustering, of view 1 and of view 2, `[B, h, w]`.
    pub fn labels_of(&self, views: &Views) -> Vec<[Tensor; 2]> {
        let [f1, f2] = self.labeller.features(views);
        let labels = |[one, two]: &[Prototypes; 2]| [one.labels(&f1), two.labels(&f2)];
        self.prototypes.iter().map(labels).collect()
    }
}

impl Segmenting for Picie {
    fn label(&mut self, views: &Views) {
        self.labels = self.labels_of(views);
    }

    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let (Losses { within, cross, overclusters, total }, seen) = self.forward(views);
        let mut parts = vec![("loss_within", within), ("loss_cross", cross)];
        parts.extend(overclusters.map(|[within, cross]| ("loss_overclusters", (within + cross) / 2.0)));
        Step { loss: total, parts, counts: Vec::new(), watched: vec![Watched::Categories(seen)] }
    }

    fn logits(&self, pictures: &Tensor) -> Tensor {
        let map = self.trunk.forward(pictures, Mode::Evaluate);
        self.segments.products(&compared(&map, self.settings.clustering.metric))
    }

    fn clustering(&mut self) -> Option<&mut dyn Clustering> {
        Some(self)
    }
}

impl Clustering for Picie {
    fn begin(&mut self, pass: Pass, key: Key) {
        let numbers: Vec<i64> = self.prototypes.iter().map(|[one, _]| one.clusters()).collect();
        let gathering = |numbers: &[i64], view| {
            Gathering::new(&self.settings.clustering, numbers, key.view(view), &self.group)
        };
        self.gathering = Some(match pass {
            Pass::Epoch => (pass, vec![gathering(&numbers, 1), gathering(&numbers, 2)]),
            Pass::Whole => (pass, vec![gathering(&numbers[..1], 1)]),
        });
    }

    fn encode(&self, views: &Views) -> Vec<Tensor> {
        tch::no_grad(|| match (&self.gathering, self.settings.clustering.statistics) {
            (Some((Pass::Whole, _)), _) => vec![self.trunk.forward(&views.pixels[0], Mode::Evaluate)],
            (_, Statistics::Batch) => self.trunk.both(views).into(),
            (_, Statistics::Running) => self.trunk.both_evaluated(views).into(),
        })
    }

    fn gather(&mut self, maps: &[Tensor], keys: &[Key]) -> Result<(), ClusterError> {
        let gathering = self.gathering.iter_mut().flat_map(|(_, views)| views);
        tch::no_grad(|| gathering.zip(maps).try_for_each(|(view, map)| view.add(map, keys)))
    }

    fn settle(&mut self) -> Result<(), ClusterError> {
        let Some((pass, views)) = self.gathering.take() else { return Ok(()) };
        let of_views: Vec<Vec<Clusters>> =
            tch::no_grad(|| views.into_iter().map(Gathering::finish).collect::<Result<_, _>>())?;
        self.segments.take(&of_views[0][0]);
        if pass == Pass::Epoch {
            for (view, clusters) in of_views.iter().enumerate() {
                self.prototypes.iter_mut().zip(clusters).for_each(|(of, clusters)| of[view].take(clusters));
            }
            self.labeller.renew();
        }
        Ok(())
    }
}
