//! MoCo v2 (He et al. 2020; Chen et al. 2020): one view against the other view, and against a queue of views of other pictures.
//!
//! ```text
//! student: encoder - mean - projector q                  InfoNCE(q; k; queue)
//! teacher: encoder - mean - projector k                  no gradient; its weights follow the student's
//! ```
//!
//! View 1 is the query and view 2 the key. The keys pass in a shuffled order, and queries and keys are unit in parts.

use densesiam_settings::SettingError;
use densesiam_settings::duration::{Horizon, Now};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::Layers;
use crate::layers::Mode;
use crate::losses::{unit, weighed};
use crate::parts::{
    Contrast, Contrasted, Embedding, Momentum, Queue, contrast_keys, info_nce, order, shuffled,
};
use crate::step::{Step, Watched};
use crate::store::Store;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[moco_v2]`
    pub moco_v2: MoCoSettings,
}

/// The table `moco_v2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MoCoSettings {
    /// Temperature of the similarities.
    pub temperature: f64,
    /// Momentum of the teacher.
    pub momentum: f64,
    /// Keys in the queue.
    pub queue: i64,
    /// Hidden channels of the projector; 0 is the encoder's width.
    pub hidden: i64,
    /// Channels of its output.
    pub dim: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
}

impl Default for MoCoSettings {
    fn default() -> Self {
        Self { temperature: 0.2, momentum: 0.999, queue: 65536, hidden: 0, dim: 128, groups: 8 }
    }
}

impl Settings {
    fn contrast(&self) -> Contrast {
        let MoCoSettings { temperature, momentum, queue, hidden, dim, groups, .. } = self.moco_v2;
        Contrast { keys: contrast_keys!("moco_v2"), temperature, momentum, queue, hidden, dim, groups }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "moco_v2"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        self.contrast().validate()
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        self.contrast().fits_batch(batch_size, processes)
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_contrast",
            short: "contrast",
            title: "Contrast with the queue",
            meaning: "of a view with the other view, against views of other pictures",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let MoCoSettings { temperature, momentum, queue, .. } = self.moco_v2;
        format!("MoCo v2, queue of {queue}, temperature {temperature}, momentum {momentum}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(MoCo::new(store, self))
    }
}

/// Student, teacher and queue.
#[derive(Debug)]
pub struct MoCo {
    student: Embedding,
    teacher: Embedding,
    momentum: Momentum,
    queue: Queue,
    settings: MoCoSettings,
}

impl MoCo {
    /// Builds the model in `store`: names start with `encoder` or `projector`, the teacher's with `key_`, and `queue`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let MoCoSettings { hidden, dim, queue, .. } = settings.moco_v2;
        let embedding = |scope| Embedding::new(&scope, &settings.encoder, &[hidden, dim], Layers::PLAIN);
        Self {
            student: embedding(store.root()),
            teacher: embedding(store.teacher()),
            momentum: Momentum::new(store),
            queue: Queue::new(&store.root(), "queue", dim, queue),
            settings: settings.moco_v2.clone(),
        }
    }

    /// The loss of views `[B, 3, H, W]`, the keys passing in this `order` `[B]`, and the queries `[B, D]`.
    pub fn forward(&mut self, [query, key]: [&Tensor; 2], order: &Tensor) -> (Contrasted, Tensor) {
        let mode = Mode::Train { views: self.settings.groups };
        let q = unit(&self.student.forward(query, mode), 1);
        let [k] = tch::no_grad(|| shuffled(key, order, |key| [unit(&self.teacher.forward(key, mode), 1)]));
        self.queue.wait(&k);
        (info_nce(&q, &k, self.queue.columns(), self.settings.temperature), q.detach())
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.queue.follow(skip);
    }
}

impl Method for MoCo {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let order = order(views.keys, now, views.pixels[0].device());
        let (Contrasted { loss, accuracy }, q) = self.forward(views.pair(), &order);
        let loss = weighed(loss, views.share);
        Step {
            parts: vec![
                ("loss_contrast", loss.shallow_clone()),
                ("accuracy", weighed(accuracy, views.share)),
            ],
            loss,
            counts: vec![],
            watched: vec![Watched::Spread(q)],
        }
    }

    fn follow(&mut self, _now: Now, skip: &Tensor) {
        self.follow_by(self.settings.momentum, skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
