//! SimCLR (Chen et al. 2020): the two views of a picture against all other views of the batch.
//!
//! ```text
//! encoder f - mean - projector z;   NT-Xent over the rows of both views (eq. 1)
//! ```
//!
//! Batch statistics are of both views together, and the gradient flows through both sides of every comparison.

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::Layers;
use crate::layers::Mode;
use crate::losses::unit;
use crate::parts::{Contrasted, Embedding, nt_xent};
use crate::step::{Step, Watched};
use crate::store::Store;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[simclr]`
    pub simclr: SimClrSettings,
}

/// The table `simclr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SimClrSettings {
    /// Temperature of the similarities.
    pub temperature: f64,
    /// Layers of the projector.
    pub layers: usize,
    /// Channels of its hidden layers; 0 is the encoder's width.
    pub hidden: i64,
    /// Channels of its output.
    pub dim: i64,
}

impl Default for SimClrSettings {
    fn default() -> Self {
        Self { temperature: 0.1, layers: 2, hidden: 0, dim: 128 }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "simclr"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let SimClrSettings { temperature, layers, hidden, dim } = self.simclr;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "simclr.temperature", &temperature, "a finite number above 0")?;
        within("simclr.layers", layers, 1..=4, "layers")?;
        within("simclr.hidden", hidden, 0..=65536, "channels")?;
        within("simclr.dim", dim, 2..=65536, "channels")
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_contrast",
            short: "contrast",
            title: "Contrast of views",
            meaning: "of both views of a picture with all other views of the batch",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        format!("SimCLR, temperature {}", self.simclr.temperature)
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(SimClr::new(store, self))
    }
}

/// Encoder and projector.
#[derive(Debug)]
pub struct SimClr {
    student: Embedding,
    temperature: f64,
    group: Group,
}

impl SimClr {
    /// Builds the model in `store`: names start with `encoder` or `projector`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let SimClrSettings { temperature, layers, hidden, dim } = settings.simclr;
        let mut channels = vec![hidden; layers - 1];
        channels.push(dim);
        let form = Layers { hidden_bias: false, norm: true, output_bias: false, output_norm: true };
        let student = Embedding::new(&store.root(), &settings.encoder, &channels, form);
        Self { student, temperature, group: store.group().clone() }
    }

    /// The loss of both views `[B, 3, H, W]`, which are `share` of the batch of all processes, and the projections of view 1.
    pub fn forward(&self, [one, two]: [&Tensor; 2], share: f64) -> (Contrasted, Tensor) {
        let both = Tensor::cat(&[one, two], 0);
        let z = unit(&self.student.forward(&both, Mode::Train { views: 1 }), 1);
        let halves = z.chunk(2, 0);
        (nt_xent([&halves[0], &halves[1]], self.temperature, &self.group, share), halves[0].detach())
    }
}

impl Method for SimClr {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let (Contrasted { loss, accuracy }, z) = self.forward(views.pair(), views.share);
        Step {
            parts: vec![("loss_contrast", loss.shallow_clone()), ("accuracy", accuracy)],
            loss,
            counts: vec![],
            watched: vec![Watched::Spread(z)],
        }
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
