//! PixPro (Xie et al. 2021): BYOL for the cells of the last map, whose predictor mixes each cell with the cells that are similar
//! to it, and whose targets are the cells of the other view that lie close by in the picture.
//!
//! ```text
//! student: encoder - projector x - propagation y         -2 cos(y, z) over the close pairs of cells
//! teacher: encoder - projector z                         no gradient; its weights follow the student's
//! ```
//!
//! Batch statistics are per view.

use densesiam_geometry::{Point, View};
use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::upload;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::{Convolution, Mode, both_views};
use crate::losses::{loss_kind, normalised, weighed};
use crate::parts::{Momentum, cosine_to_one, paired};
use crate::step::{Predictors, Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[pixpro]`
    pub pixpro: PixProSettings,
}

/// In which coordinates the distance of two cells is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// Shares of the picture's width and height, as in the released code.
    Relative,
    /// Pixels of the picture.
    Pixels,
}

/// The table `pixpro`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PixProSettings {
    /// Momentum of the teacher at the first step; it rises to 1.
    pub momentum: f64,
    /// Hidden channels of the projector.
    pub hidden: i64,
    /// Channels of its output.
    pub dim: i64,
    /// The power of the similarities in the propagation.
    pub gamma: f64,
    /// Cells are a pair if their distance is below this share of the larger cell's diagonal.
    pub limit: f64,
    /// How distances are measured.
    pub coordinates: Coordinates,
}

impl Default for PixProSettings {
    fn default() -> Self {
        Self {
            momentum: 0.99,
            hidden: 4096,
            dim: 256,
            gamma: 2.0,
            limit: 0.7,
            coordinates: Coordinates::Relative,
        }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "pixpro"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let PixProSettings { momentum, hidden, dim, gamma, limit, .. } = self.pixpro;
        within("pixpro.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("pixpro.hidden", hidden, 1..=65536, "channels")?;
        within("pixpro.dim", dim, 2..=65536, "channels")?;
        let above_0 = |key, number: f64| {
            require(number > 0.0 && number.is_finite(), key, &number, "a finite number above 0")
        };
        above_0("pixpro.gamma", gamma)?;
        above_0("pixpro.limit", limit)
    }

    fn needs_overlap(&self) -> bool {
        true
    }

    fn predictors(&self) -> Predictors {
        Predictors { global: &[], all: &["value"] }
    }

    fn needs_whole_cells(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_pixel",
            short: "pixel",
            title: "Prediction of close cells",
            meaning: "minus the cosines of close cells of both views: 0 unlike, -4 alike",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let PixProSettings { momentum, limit, .. } = self.pixpro;
        format!("PixPro, pairs closer than {limit} of a cell, momentum {momentum} to 1")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(PixPro::new(store, self))
    }
}

/// Encoder and dense projector, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    projector: Head,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let PixProSettings { hidden, dim, .. } = settings.pixpro;
        let channels = [settings.encoder.width(), hidden, dim];
        let layers = Layers { output_bias: true, ..Layers::NORMED };
        Self {
            encoder: settings.encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            projector: Head::new(&(scope / "projector"), Form::Maps, &channels, layers),
        }
    }

    fn forward(&self, view: &Tensor, mode: Mode) -> Tensor {
        self.projector.forward(&self.encoder.forward(view, mode).last(), mode)
    }
}

/// Student, propagation and teacher.
#[derive(Debug)]
pub struct PixPro {
    student: Network,
    value: Convolution,
    teacher: Network,
    momentum: Momentum,
    settings: PixProSettings,
    encoder: EncoderSettings,
}

impl PixPro {
    /// Builds the model in `store`: names start with `encoder`, `projector` or `value`, and the teacher's with `key_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let dim = settings.pixpro.dim;
        Self {
            student: Network::new(&store.root(), settings),
            value: Convolution::of_head(&(&store.root() / "value"), [dim, dim], true),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            settings: settings.pixpro.clone(),
            encoder: settings.encoder,
        }
    }

    /// The losses of view 1's and of view 2's cells, of views `[B, 3, H, W]` whose close pairs of cells are `pairs`,
    /// `[B, cells, cells]`; and the projections of view 1, `[B cells, D]`.
    pub fn forward(&self, views: [&Tensor; 2], pairs: &Tensor) -> ([Tensor; 2], Tensor) {
        let views = views.map(Tensor::shallow_clone);
        let kind = loss_kind(views[0].kind());
        let [x] = both_views(views.each_ref().map(Tensor::shallow_clone), |view, mode| {
            [self.student.forward(view, mode)]
        });
        let [z] = tch::no_grad(|| both_views(views, |view, mode| [self.teacher.forward(view, mode)]));
        let [y1, y2] = x.each_ref().map(|x| self.propagated(x, kind));
        let [z1, z2] = z.map(|z| normalised(&z.flatten(2, -1).to_kind(kind), 1).detach());
        let losses = [paired(&y1, &z2, pairs), paired(&y2, &z1, &pairs.transpose(1, 2))];
        (losses, x[0].detach().flatten(2, -1).transpose(1, 2).flatten(0, 1))
    }

    /// Each cell as the sum of all cells' values, weighted by their similarity to it (eq. 3): `[B, D, h, w]` to unit columns
    /// `[B, D, h w]`.
    fn propagated(&self, x: &Tensor, kind: Kind) -> Tensor {
        let value = normalised(&self.value.forward(x).flatten(2, -1).to_kind(kind), 1);
        let x = normalised(&x.flatten(2, -1).to_kind(kind), 1);
        let similar = x.transpose(1, 2).bmm(&x).clamp_min(0.0);
        // Below 1 the power has no gradient at 0.
        let similar = if self.settings.gamma < 1.0 { similar + 1e-6 } else { similar };
        normalised(&value.bmm(&similar.pow_tensor_scalar(self.settings.gamma)), 1)
    }

    /// The pairs of cells of both views that lie close in the picture, 0 or 1: `[B, cells, cells]`, float64.
    pub fn pairs(&self, cuts: &[Vec<View>], pictures: &[[f64; 2]], size: u32, device: Device) -> Tensor {
        let [.., cells] = self.encoder.sides(size);
        let mut close = Vec::<f64>::new();
        for (views, picture) in cuts.iter().zip(pictures) {
            let unit = match self.settings.coordinates {
                Coordinates::Relative => *picture,
                Coordinates::Pixels => [1.0; 2],
            };
            let diagonal = |view: &View| {
                (view.crop.width() / unit[0]).hypot(view.crop.height() / unit[1]) / f64::from(cells)
            };
            let limit = self.settings.limit * diagonal(&views[0]).max(diagonal(&views[1]));
            let [ones, twos] = [0, 1].map(|view: usize| views[view].cell_centres(cells as usize));
            for one in &ones {
                let distance = |two: &Point| ((one.x - two.x) / unit[0]).hypot((one.y - two.y) / unit[1]);
                close.extend(twos.iter().map(|two| f64::from(u8::from(distance(two) < limit))));
            }
        }
        let cells = i64::from(cells * cells);
        upload(&close, &[cuts.len() as i64, cells, cells], device)
    }

    /// Lets the teacher follow the student.
    pub fn follow_by(&self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
    }
}

impl Method for PixPro {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let [one, two] = views.pair();
        let pairs = self.pairs(views.cuts, views.pictures, one.size()[2] as u32, one.device());
        let ([one, two], z) = self.forward([one, two], &pairs);
        let loss = weighed(one + two, views.share);
        Step {
            parts: vec![("loss_pixel", loss.shallow_clone())],
            loss,
            counts: vec![],
            watched: vec![Watched::Spread(z)],
        }
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        // The released code updates the teacher at the start of the next step, with that step's momentum.
        self.follow_by(cosine_to_one(self.settings.momentum, Now { step: now.step + 1, ..now }), skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
