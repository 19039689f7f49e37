//! BYOL (Grill et al. 2020): a student predicts what its own moving average, the teacher, makes of the other view.
//!
//! ```text
//! student: encoder - mean - projector - predictor p      loss |n(p1) - n(z2)|^2 + |n(p2) - n(z1)|^2
//! teacher: encoder - mean - projector z                  no gradient; its weights follow the student's
//! ```
//!
//! Batch statistics are per view.

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::both_views;
use crate::losses::{loss_kind, squared_distance, weighed};
use crate::parts::{Embedding, Momentum, cosine_to_one};
use crate::step::{Predictors, Step, Watched};
use crate::store::Store;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[byol]`
    pub byol: ByolSettings,
}

/// The table `byol`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ByolSettings {
    /// Momentum of the teacher at the first step; it rises to 1.
    pub momentum: f64,
    /// Hidden channels of projector and predictor.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
}

impl Default for ByolSettings {
    fn default() -> Self {
        Self { momentum: 0.996, hidden: 4096, dim: 256 }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "byol"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let ByolSettings { momentum, hidden, dim } = self.byol;
        within("byol.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("byol.hidden", hidden, 1..=65536, "channels")?;
        within("byol.dim", dim, 2..=65536, "channels")
    }

    fn predictors(&self) -> Predictors {
        // Its learning rate falls with all others, unless the recipe says otherwise.
        Predictors { global: &[], all: &["predictor"] }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_global",
            short: "global",
            title: "Prediction of the teacher",
            meaning: "of the teacher's output for the other view: 0 alike, 4 unlike, 8 opposite",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        format!("BYOL, momentum {} to 1", self.byol.momentum)
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(Byol::new(store, self))
    }
}

/// Student and teacher.
#[derive(Debug)]
pub struct Byol {
    student: Embedding,
    predictor: Head,
    teacher: Embedding,
    momentum: Momentum,
    start: f64,
}

impl Byol {
    /// Builds the model in `store`: names start with `encoder`, `projector` or `predictor`, and the teacher's with `key_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let ByolSettings { momentum, hidden, dim } = settings.byol;
        let embedding = |scope| Embedding::new(&scope, &settings.encoder, &[hidden, dim], Layers::NORMED);
        let student = embedding(store.root());
        let scope = &store.root() / "predictor";
        Self {
            student,
            predictor: Head::new(&scope, Form::Rows, &[dim, hidden, dim], Layers::NORMED),
            teacher: embedding(store.teacher()),
            momentum: Momentum::new(store),
            start: momentum,
        }
    }

    /// The losses of view 1's and of view 2's prediction, of views `[B, 3, H, W]`, and the projections of view 1.
    pub fn forward(&self, views: [&Tensor; 2]) -> ([Tensor; 2], Tensor) {
        let views = views.map(Tensor::shallow_clone);
        let kind = loss_kind(views[0].kind());
        let [z, p] = both_views(views.each_ref().map(Tensor::shallow_clone), |view, mode| {
            let z = self.student.forward(view, mode);
            let p = self.predictor.forward(&z, mode);
            [z, p]
        });
        let [targets] = tch::no_grad(|| both_views(views, |view, mode| [self.teacher.forward(view, mode)]));
        let [[p1, p2], [t1, t2]] = [p, targets].map(|views| views.map(|view| view.to_kind(kind)));
        let apart = |p: &Tensor, target: &Tensor| squared_distance(p, &target.detach());
        ([apart(&p1, &t2), apart(&p2, &t1)], z[0].detach())
    }

    /// Lets the teacher follow the student.
    pub fn follow_by(&self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
    }
}

impl Method for Byol {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let ([one, two], z) = self.forward(views.pair());
        let loss = weighed(one + two, views.share);
        Step {
            parts: vec![("loss_global", loss.shallow_clone())],
            loss,
            counts: vec![],
            watched: vec![Watched::Spread(z)],
        }
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        self.follow_by(cosine_to_one(self.start, now), skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
