//! SCRL (Roh et al. 2021): BYOL for random boxes in the overlap of the views instead of the whole views.
//!
//! ```text
//! student: encoder - box - projector - predictor p       loss |n(p1) - n(z2)|^2 + |n(p2) - n(z1)|^2 over boxes
//! teacher: encoder - box - projector z                   no gradient; its weights follow the student's
//! ```
//!
//! Batch statistics are of both views together. A picture whose overlap is too small has no box; one with more boxes weighs more.
//! The paper's jitter of the boxes, which the released recipes leave off, is left out.

mod boxes;

use densesiam_geometry::{Region, View};
use densesiam_random::{Key, Purpose};
use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use self::boxes::{GridBox, OverlapGrid, shown};
use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::Mode;
use crate::losses::{loss_kind, squared_distance, weighed, zero_like};
use crate::parts::{Momentum, Reading, cosine_to_one, pool};
use crate::step::{Predictors, Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[scrl]`
    pub scrl: ScrlSettings,
}

/// The table `scrl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrlSettings {
    /// Momentum of the teacher at the first step; it rises to 1.
    pub momentum: f64,
    /// Hidden channels of projector and predictor.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
    /// Boxes in each picture.
    pub boxes: usize,
    /// Read the boxes where they are. As released they are read half a cell further right and down, so that a mirrored and a plain
    /// view are read a cell apart.
    pub aligned: bool,
}

impl Default for ScrlSettings {
    fn default() -> Self {
        Self { momentum: 0.97, hidden: 4096, dim: 256, boxes: 10, aligned: false }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "scrl"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let ScrlSettings { momentum, hidden, dim, boxes, .. } = self.scrl;
        within("scrl.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("scrl.hidden", hidden, 1..=65536, "channels")?;
        within("scrl.dim", dim, 2..=65536, "channels")?;
        within("scrl.boxes", boxes, 1..=1000, "boxes")
    }

    fn needs_overlap(&self) -> bool {
        true
    }

    fn predictors(&self) -> Predictors {
        Predictors { global: &[], all: &["predictor"] }
    }

    fn needs_whole_cells(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_box",
            short: "box",
            title: "Prediction of boxes",
            meaning: "of the teacher's output for the box in the other view: 0 alike, 4 unlike, 8 opposite",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let ScrlSettings { momentum, boxes, .. } = self.scrl;
        format!("SCRL, {boxes} boxes in each picture, momentum {momentum} to 1")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(Scrl::new(store, self))
    }
}

/// A box in both views, in their pixels.
#[derive(Clone, Copy, Debug)]
pub struct BoxPair {
    /// The index of its picture.
    pub picture: usize,
    /// Where it is in view 1 and in view 2.
    pub views: [Region; 2],
}

/// Encoder and projector, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    projector: Head,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let channels = [settings.encoder.width(), settings.scrl.hidden, settings.scrl.dim];
        Self {
            encoder: settings.encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            projector: Head::new(&(scope / "projector"), Form::Rows, &channels, Layers::NORMED),
        }
    }

    /// The boxes of both views, `[2 R, D]`, of the pictures of both views, `[2 B, 3, H, W]`.
    fn forward(&self, pictures: &Tensor, boxes: &[BoxPair], reading: Reading, mode: Mode) -> Tensor {
        let features = self.encoder.forward(pictures, mode);
        let of_view = |view: usize| {
            let first = view * pictures.size()[0] as usize / 2;
            boxes.iter().map(move |of| (first + of.picture, of.views[view]))
        };
        let boxes: Vec<_> = of_view(0).chain(of_view(1)).collect();
        let stride = features.strides[features.strides.len() - 1];
        self.projector.forward(&pool(&features.last(), &boxes, stride, 1, reading).flatten(1, -1), mode)
    }
}

/// Student and teacher.
#[derive(Debug)]
pub struct Scrl {
    student: Network,
    predictor: Head,
    teacher: Network,
    momentum: Momentum,
    settings: ScrlSettings,
    group: Group,
}

impl Scrl {
    /// Builds the model in `store`: names start with `encoder`, `projector` or `predictor`, and the teacher's with `key_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let ScrlSettings { hidden, dim, .. } = settings.scrl;
        let scope = &store.root() / "predictor";
        Self {
            student: Network::new(&store.root(), settings),
            predictor: Head::new(&scope, Form::Rows, &[dim, hidden, dim], Layers::NORMED),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            settings: settings.scrl.clone(),
            group: store.group().clone(),
        }
    }

    /// The loss of both directions, of views `[B, 3, H, W]` with these boxes, and the projections of view 1, `[R, D]`.
    pub fn forward(&self, [one, two]: [&Tensor; 2], boxes: &[BoxPair]) -> (Tensor, Tensor) {
        let (kind, mode) = (loss_kind(one.kind()), Mode::Train { views: 1 });
        let reading = Reading::Align { aligned: self.settings.aligned };
        let both = Tensor::cat(&[one, two], 0);
        let z = self.student.forward(&both, boxes, reading, mode);
        let p = self.predictor.forward(&z, mode);
        let targets = tch::no_grad(|| self.teacher.forward(&both, boxes, reading, mode));
        let [p, targets] = [p, targets].map(|rows| rows.to_kind(kind).chunk(2, 0));
        let apart = |p: &Tensor, target: &Tensor| squared_distance(p, &target.detach());
        let loss = apart(&p[0], &targets[1]) + apart(&p[1], &targets[0]);
        (loss, z.narrow(0, 0, boxes.len() as i64).detach())
    }

    /// Boxes in the overlap of each picture's views, drawn with the picture's key.
    pub fn draw(&self, cuts: &[Vec<View>], keys: &[Key], size: u32) -> Vec<BoxPair> {
        let of_picture = |(picture, (views, key)): (usize, (&Vec<View>, &Key))| {
            let grid = OverlapGrid::new(views, size)?;
            let drawn = grid.draw(self.settings.boxes, &mut Key { purpose: Purpose::Boxes, ..*key }.rng());
            let pair = |of| {
                let image = grid.image_region(of);
                BoxPair { picture, views: [0, 1].map(|view: usize| shown(&image, &views[view], size)) }
            };
            Some(drawn.into_iter().map(pair).collect::<Vec<_>>())
        };
        cuts.iter().zip(keys).enumerate().filter_map(of_picture).flatten().collect()
    }

    /// Lets the teacher follow the student.
    pub fn follow_by(&self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
    }
}

impl Method for Scrl {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let [one, two] = views.pair();
        let boxes = self.draw(views.cuts, views.keys, one.size()[2] as u32);
        let mut of_all = [boxes.len() as i64];
        self.group.sum_counts(&mut of_all);
        let [of_all] = of_all;
        // Without any box there is nothing to normalise, in any process.
        let (loss, watched) = if of_all == 0 {
            (zero_like(one), vec![])
        } else {
            let (loss, z) = self.forward([one, two], &boxes);
            (weighed(loss, boxes.len() as f64 / of_all as f64), vec![Watched::Spread(z)])
        };
        Step {
            parts: vec![("loss_box", loss.shallow_clone())],
            loss,
            counts: vec![("without_boxes", u64::from(of_all == 0))],
            watched,
        }
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        self.follow_by(cosine_to_one(self.settings.momentum, now), skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
