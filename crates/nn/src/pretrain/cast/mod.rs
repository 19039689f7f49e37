//! CAST (Selvaraju et al. 2021): MoCo, and an attention loss: what makes a view similar to the other view's salient part should
//! be its own salient part.
//!
//! ```text
//! student: encoder f - mean - projector q                InfoNCE(q; k; queue)
//! teacher: encoder - mean - projector k                  no gradient; its weights follow the student's, twice a step
//! teacher of view 2 x its mask: k'                       1 - cos(Grad-CAM of q.k' at f; the mask of view 1)
//! ```
//!
//! View 1 is the query and view 2 the key. The keys pass in a shuffled order, and queries and keys are normalised in parts.

mod attention;

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use self::attention::Projector;
use super::{Inputs, Method, MethodSettings, NamedLoss, RegionInput, Views, both};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::layers::Mode;
use crate::losses::{normalised, unit, weighed};
use crate::parts::{
    Contrast, Contrasted, Momentum, Queue, contrast_keys, info_nce, order, share_of_all, shuffled,
    with_rows_of_others,
};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[cast]`
    pub cast: CastSettings,
}

/// The MoCo whose projector is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// One linear layer, as in the released code.
    V1,
    /// Two, with a ReLU between.
    V2,
}

/// The table `cast`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CastSettings {
    /// The MoCo whose projector is taken.
    pub base: Base,
    /// Weight of the attention loss beside the contrast, whose weight is 1; the sum is divided by both.
    pub weight: f64,
    /// Whether negative attention is cut off before it is normalised. In the released code the ReLU comes after that, where it
    /// does nothing.
    pub relu: bool,
    /// Temperature of the similarities.
    pub temperature: f64,
    /// Momentum of the teacher, which follows twice a step.
    pub momentum: f64,
    /// Keys in the queue.
    pub queue: i64,
    /// Hidden channels of the projector of `v2`; 0 is the encoder's width.
    pub hidden: i64,
    /// Channels of its output.
    pub dim: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
}

impl Default for CastSettings {
    fn default() -> Self {
        Self {
            base: Base::V1,
            weight: 3.0,
            relu: false,
            temperature: 0.07,
            momentum: 0.999,
            queue: 65536,
            hidden: 0,
            dim: 128,
            groups: 8,
        }
    }
}

impl Settings {
    fn contrast(&self) -> Contrast {
        let CastSettings { temperature, momentum, queue, hidden, dim, groups, .. } = self.cast;
        Contrast { keys: contrast_keys!("cast"), temperature, momentum, queue, hidden, dim, groups }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let weight = self.cast.weight;
        let possible = weight >= 0.0 && weight.is_finite();
        require(possible, "cast.weight", &weight, "a finite number from 0")?;
        self.contrast().validate()
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        self.contrast().fits_batch(batch_size, processes)
    }

    fn inputs(&self) -> Inputs {
        Inputs { regions: Some(RegionInput::Saliency), ..Inputs::default() }
    }

    fn needs_whole_cells(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_contrast",
                short: "contrast",
                title: "Contrast with the queue",
                meaning: "of a view with the other view, against views of other pictures",
            },
            NamedLoss {
                name: "loss_attention",
                short: "attention",
                title: "Attention",
                meaning: "what is attended to against the salient part: 0 the same, 1 elsewhere",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let CastSettings { base, weight, queue, .. } = self.cast;
        let base = if base == Base::V1 { "v1" } else { "v2" };
        format!("CAST on MoCo {base}, attention weighted {weight}, queue of {queue}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(Cast::new(store, self))
    }
}

/// Encoder and projector, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    projector: Projector,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let CastSettings { base, hidden, dim, .. } = settings.cast;
        let width = settings.encoder.width();
        let channels = match base {
            Base::V1 => vec![width, dim],
            Base::V2 => vec![width, if hidden == 0 { width } else { hidden }, dim],
        };
        Self {
            encoder: settings.encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            projector: Projector::new(&(scope / "projector"), &channels),
        }
    }

    /// Pictures `[B, 3, H, W]` to unit rows `[B, D]`.
    fn embed(&self, pictures: &Tensor, mode: Mode) -> Tensor {
        let (_, output) = self.projector.forward(&self.encoder.forward(pictures, mode).pooled());
        unit(&output, 1)
    }
}

/// Student, teacher and queue.
#[derive(Debug)]
pub struct Cast {
    student: Network,
    teacher: Network,
    momentum: Momentum,
    queue: Queue,
    settings: CastSettings,
    group: Group,
}

/// The losses of one step. Each is this process's share of that of all processes.
#[derive(Debug)]
pub struct Losses {
    /// Of the views.
    pub contrast: Contrasted,
    /// Of attention and saliency.
    pub attention: Tensor,
    /// Their weighted mean, to be differentiated.
    pub total: Tensor,
}

/// Where the student looks in view 1, and where it should look, `[B, h, w]`.
#[derive(Debug)]
pub struct Attention {
    /// Grad-CAM, from 0 to 1 in each picture.
    pub cam: Tensor,
    /// The saliency mask of the cells.
    pub mask: Tensor,
}

impl Cast {
    /// Builds the model in `store`: names start with `encoder` or `projector`, the teacher's with `key_`, and `queue`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let CastSettings { dim, queue, .. } = settings.cast;
        Self {
            student: Network::new(&store.root(), settings),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            queue: Queue::new(&store.root(), "queue", dim, queue),
            settings: settings.cast.clone(),
            group: store.group().clone(),
        }
    }

    /// The losses of views `[B, 3, H, W]` with these saliency masks `[B, H, W]`, which are `share` of the batch of all
    /// processes, the keys passing in this `order` `[B]`; the attention, and the queries `[B, D]`.
    pub fn forward(
        &mut self,
        [query, key]: [&Tensor; 2],
        [query_mask, key_mask]: [&Tensor; 2],
        order: &Tensor,
        share: f64,
    ) -> (Losses, Attention, Tensor) {
        let CastSettings { weight, relu, temperature, groups, .. } = self.settings;
        let mode = Mode::Train { views: groups };
        let features = self.student.encoder.forward(query, mode);
        let (hidden, output) = self.student.projector.forward(&features.pooled());
        let q = unit(&output, 1);
        let [k] = tch::no_grad(|| shuffled(key, order, |key| [self.teacher.embed(key, mode)]));
        // In the released code the masked key is a second pass of MoCo with the same student, so the teacher follows again, even
        // in a step that is skipped later.
        self.momentum.follow(self.settings.momentum, &Tensor::zeros([0i64; 0], (Kind::Float, key.device())));
        let salient = key * key_mask.unsqueeze(1).to_kind(key.kind());
        let [k_salient] = tch::no_grad(|| shuffled(&salient, order, |key| [self.teacher.embed(key, mode)]));
        self.queue.wait(&k);

        let contrast = info_nce(&q, &k, self.queue.columns(), temperature);
        let contrast =
            Contrasted { loss: weighed(contrast.loss, share), accuracy: weighed(contrast.accuracy, share) };
        let cam = self.student.projector.grad_cam(&features.last(), &q, &k_salient, hidden.as_ref(), relu);
        let mask = query_mask.unsqueeze(1).to_kind(cam.kind());
        let mask = mask.upsample_bilinear2d(&cam.size()[1..], true, None, None).squeeze_dim(1);
        // One cosine over the maps of all pictures. Each process computes it from all maps, of which its own have their
        // gradient: so it has the whole gradient of its maps, as in NT-Xent.
        let [cams, masks] = [&cam, &mask].map(|maps| with_rows_of_others(maps, &self.group));
        let cosine =
            (normalised(&cams.flatten(0, -1), 0) * normalised(&masks.flatten(0, -1), 0)).sum(cam.kind());
        let attention = share_of_all(1.0 - cosine, share);
        let total = (&contrast.loss + weight * &attention) / (1.0 + weight);
        let attended = Attention { cam: cam.detach(), mask };
        (Losses { contrast, attention, total }, attended, q.detach())
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.queue.follow(skip);
    }
}

impl Method for Cast {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let order = order(views.keys, now, views.pixels[0].device());
        let (Losses { contrast, attention, total }, _, q) =
            self.forward(views.pair(), both(&views.saliency), &order, views.share);
        Step {
            loss: total,
            parts: vec![
                ("loss_contrast", contrast.loss),
                ("loss_attention", attention),
                ("accuracy", contrast.accuracy),
            ],
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
