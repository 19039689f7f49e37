//! DenseCL (Wang et al. 2021): MoCo v2, and the same contrast for every cell of the last map, with the cell of the other view
//! whose encoder feature is most similar as its positive.
//!
//! ```text
//! student: encoder f -+- mean - projector q              InfoNCE(q; k; queue)
//!                     +- dense_projector r               InfoNCE(r at each cell; s at its match; dense_queue)
//! teacher: the same, k and s                             no gradient; its weights follow the student's
//! ```
//!
//! View 1 is the query and view 2 the key. The keys pass in a shuffled order, and queries and keys are normalised in parts.

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::Mode;
use crate::losses::{loss_kind, normalised, unit, weighed};
use crate::parts::{
    Contrast, Contrasted, Embedding, Momentum, Queue, contrast_keys, info_nce, order, shuffled,
};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[densecl]`
    pub densecl: DenseClSettings,
}

/// The table `densecl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DenseClSettings {
    /// Share of the dense loss; the global one has the rest.
    pub weight: f64,
    /// Temperature of the similarities of both losses.
    pub temperature: f64,
    /// Momentum of the teacher.
    pub momentum: f64,
    /// Keys in each of the two queues.
    pub queue: i64,
    /// Hidden channels of both projectors; 0 is the encoder's width.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
}

impl Default for DenseClSettings {
    fn default() -> Self {
        Self {
            weight: 0.5,
            temperature: 0.2,
            momentum: 0.999,
            queue: 65536,
            hidden: 2048,
            dim: 128,
            groups: 8,
        }
    }
}

impl Settings {
    fn contrast(&self) -> Contrast {
        let DenseClSettings { temperature, momentum, queue, hidden, dim, groups, .. } = self.densecl;
        Contrast { keys: contrast_keys!("densecl"), temperature, momentum, queue, hidden, dim, groups }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "densecl"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        within("densecl.weight", self.densecl.weight, 0.0..=1.0, "(a share)")?;
        self.contrast().validate()
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        self.contrast().fits_batch(batch_size, processes)
    }

    fn needs_whole_cells(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_global",
                short: "global",
                title: "Contrast of views",
                meaning: "of a view with the other view, against views of other pictures",
            },
            NamedLoss {
                name: "loss_dense",
                short: "dense",
                title: "Contrast of cells",
                meaning: "of a cell with the most similar cell of the other view, against other pictures",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let DenseClSettings { weight, queue, .. } = self.densecl;
        format!("DenseCL, dense share {weight}, two queues of {queue}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(DenseCl::new(store, self))
    }
}

/// Encoder and both projectors, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    global: Embedding,
    dense_projector: Head,
}

/// What a network makes of a view.
struct Outputs {
    /// The last map, `[B, C, h, w]`.
    features: Tensor,
    /// Projections of the whole view, `[B, D]`, of length 1.
    global: Tensor,
    /// Projections of its cells, `[B, D, h w]`, not yet of length 1.
    dense: Tensor,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let DenseClSettings { hidden, dim, .. } = settings.densecl;
        let width = settings.encoder.width();
        let channels = [width, if hidden == 0 { width } else { hidden }, dim];
        Self {
            global: Embedding::new(scope, &settings.encoder, &[hidden, dim], Layers::PLAIN),
            dense_projector: Head::new(&(scope / "dense_projector"), Form::Maps, &channels, Layers::PLAIN),
        }
    }

    fn forward(&self, view: &Tensor, mode: Mode) -> Outputs {
        let features = self.global.encoder.forward(view, mode);
        Outputs {
            global: unit(&self.global.projector.forward(&features.pooled(), mode), 1),
            dense: self.dense_projector.forward(&features.last(), mode).flatten(2, -1),
            features: features.last(),
        }
    }
}

/// Student, teacher and both queues.
#[derive(Debug)]
pub struct DenseCl {
    student: Network,
    teacher: Network,
    momentum: Momentum,
    queue: Queue,
    dense_queue: Queue,
    settings: DenseClSettings,
}

/// The losses of one step.
#[derive(Debug)]
pub struct Losses {
    /// Of the whole views.
    pub global: Contrasted,
    /// Of the cells.
    pub dense: Contrasted,
    /// Their weighted sum, to be differentiated.
    pub total: Tensor,
}

impl DenseCl {
    /// Builds the model in `store`: names start with `encoder`, `projector` or `dense_projector`, the teacher's with `key_`, and
    /// `queue` and `dense_queue`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let DenseClSettings { dim, queue, .. } = settings.densecl;
        Self {
            student: Network::new(&store.root(), settings),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            queue: Queue::new(&store.root(), "queue", dim, queue),
            dense_queue: Queue::new(&store.root(), "dense_queue", dim, queue),
            settings: settings.densecl.clone(),
        }
    }

    /// The losses of views `[B, 3, H, W]`, the keys passing in this `order` `[B]`, the match of each cell, `[B, h w]`, and the
    /// queries `[B, D]`.
    pub fn forward(&mut self, [query, key]: [&Tensor; 2], order: &Tensor) -> (Losses, Tensor, Tensor) {
        let DenseClSettings { weight, temperature, groups, .. } = self.settings;
        let mode = Mode::Train { views: groups };
        let q = self.student.forward(query, mode);
        let [k_features, k_global, k_dense] = tch::no_grad(|| {
            shuffled(key, order, |key| {
                let Outputs { features, global, dense } = self.teacher.forward(key, mode);
                [features, global, dense]
            })
        });
        let matched = matches(&q.features.detach(), &k_features);
        self.queue.wait(&k_global);
        self.dense_queue.wait(&unit(&k_dense.mean_dim(2, false, loss_kind(k_dense.kind())), 1));

        let global = info_nce(&q.global, &k_global, self.queue.columns(), temperature);
        let positive = k_dense.gather(2, &matched.unsqueeze(1).expand_as(&k_dense), false);
        let rows = |cells: &Tensor| unit(cells, 1).transpose(1, 2).flatten(0, 1);
        let dense = info_nce(&rows(&q.dense), &rows(&positive), self.dense_queue.columns(), temperature);
        let total = (1.0 - weight) * &global.loss + weight * &dense.loss;
        (Losses { global, dense, total }, matched, q.global.detach())
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.queue.follow(skip);
        self.dense_queue.follow(skip);
    }
}

/// For each cell of the query the cell of the key whose feature has the largest cosine: `[B, C, h, w]` twice to `[B, h w]`.
fn matches(query: &Tensor, key: &Tensor) -> Tensor {
    let [query, key] = [query, key].map(|features| normalised(&features.flatten(2, -1), 1));
    query.transpose(1, 2).bmm(&key).argmax(2, false)
}

impl Method for DenseCl {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let order = order(views.keys, now, views.pixels[0].device());
        let (Losses { global, dense, total }, _, q) = self.forward(views.pair(), &order);
        let weighed = |of: Tensor| weighed(of, views.share);
        Step {
            loss: weighed(total),
            parts: vec![
                ("loss_global", weighed(global.loss)),
                ("loss_dense", weighed(dense.loss)),
                ("accuracy", weighed(global.accuracy)),
                ("accuracy_dense", weighed(dense.accuracy)),
            ],
            counts: vec![],
            watched: vec![Watched::Spread(q)],
        }
    }

    fn follow(&mut self, _now: Now, skip: &Tensor) {
        self.follow_by(self.settings.momentum, skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.global.encoder
    }
}
