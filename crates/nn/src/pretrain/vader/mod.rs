//! VADeR (Pinheiro et al. 2020): MoCo for the pixels of a decoder's map, whose positives are the same points of the picture in
//! the other view.
//!
//! ```text
//! student: encoder - decoder - points v                  InfoNCE(v; v'; queue)
//! teacher: encoder - decoder - points v'                 no gradient; its weights follow the student's
//! ```
//!
//! View 1 is the query and view 2 the key. The keys pass in a shuffled order, and queries and keys are normalised in parts.
//! Nothing was released: what the paper leaves open is ours.

mod decoder;
mod points;

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use self::decoder::{Decoder, Widths};
pub use self::points::Points;
use super::{Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::layers::Mode;
use crate::losses::weighed;
use crate::parts::{Contrasted, Momentum, Queue, divides, info_nce, order, shuffled};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[vader]`
    pub vader: VaderSettings,
}

/// The table `vader`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaderSettings {
    /// Points that are compared in each picture.
    pub points: usize,
    /// Temperature of the similarities.
    pub temperature: f64,
    /// What the loss is multiplied by.
    pub loss_scale: f64,
    /// Momentum of the teacher.
    pub momentum: f64,
    /// Keys in the queue, one for each point.
    pub queue: i64,
    /// Channels of the decoder's pyramid.
    pub width: i64,
    /// Channels of its blocks and of its output.
    pub dim: i64,
    /// Groups of channels that its group norms normalise.
    pub norm_groups: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
}

impl Default for VaderSettings {
    fn default() -> Self {
        Self {
            points: 32,
            temperature: 0.07,
            loss_scale: 10.0,
            momentum: 0.999,
            queue: 65536,
            width: 256,
            dim: 128,
            norm_groups: 32,
            groups: 8,
        }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "vader"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let VaderSettings { points, temperature, loss_scale, momentum, .. } = self.vader;
        let VaderSettings { queue, width, dim, norm_groups, groups, .. } = self.vader;
        within("vader.points", points, 1..=65536, "points")?;
        let above_0 = |key, number: f64| {
            require(number > 0.0 && number.is_finite(), key, &number, "a finite number above 0")
        };
        above_0("vader.temperature", temperature)?;
        above_0("vader.loss_scale", loss_scale)?;
        within("vader.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("vader.queue", queue, 1..=16_777_216, "keys")?;
        within("vader.width", width, 1..=65536, "channels")?;
        within("vader.dim", dim, 2..=65536, "channels")?;
        let divides = norm_groups >= 1 && dim % norm_groups == 0;
        require(divides, "vader.norm_groups", &norm_groups, "a divisor of vader.dim")?;
        within("vader.groups", groups, 1..=1024, "parts of a batch")
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        divides("vader.groups", self.vader.groups, batch_size, processes)
    }

    fn needs_overlap(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_pixel",
            short: "pixel",
            title: "Contrast of points",
            meaning: "of a point with the same point of the other view, against points of other pictures",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let VaderSettings { points, temperature, queue, .. } = self.vader;
        format!("VADeR, {points} points, queue of {queue}, temperature {temperature}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(Vader::new(store, self))
    }
}

/// Encoder and decoder, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    decoder: Decoder,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let VaderSettings { width, dim, norm_groups, .. } = settings.vader;
        let widths = Widths { pyramid: width, dim, norm_groups };
        Self {
            encoder: settings.encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            decoder: Decoder::new(&(scope / "decoder"), settings.encoder.architecture, widths),
        }
    }

    /// Pictures `[B, 3, H, W]` to the map of embeddings `[B, D, h, w]`.
    fn forward(&self, pictures: &Tensor, mode: Mode) -> Tensor {
        self.decoder.forward(&self.encoder.forward(pictures, mode))
    }
}

/// Student, teacher and queue.
#[derive(Debug)]
pub struct Vader {
    student: Network,
    teacher: Network,
    momentum: Momentum,
    queue: Queue,
    settings: VaderSettings,
    group: Group,
}

/// The losses of one step.
#[derive(Debug)]
pub struct Losses {
    /// Of the points.
    pub pixel: Contrasted,
    /// The same, scaled, to be differentiated.
    pub total: Tensor,
}

impl Vader {
    /// Builds the model in `store`: names start with `encoder` or `decoder`, the teacher's with `key_`, and `queue`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let VaderSettings { dim, queue, .. } = settings.vader;
        Self {
            student: Network::new(&store.root(), settings),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            queue: Queue::new(&store.root(), "queue", dim, queue),
            settings: settings.vader.clone(),
            group: store.group().clone(),
        }
    }

    /// The losses of views `[B, 3, H, W]` at these points, the keys passing in this `order` `[B]`, and the queries `[B' P, D]`.
    pub fn forward(
        &mut self,
        [query, key]: [&Tensor; 2],
        points: &Points,
        order: &Tensor,
    ) -> (Losses, Tensor) {
        let VaderSettings { temperature, loss_scale, groups, .. } = self.settings;
        let mode = Mode::Train { views: groups };
        let q = points.read(&self.student.forward(query, mode), 0);
        let k = tch::no_grad(|| {
            let [map] = shuffled(key, order, |key| [self.teacher.forward(key, mode)]);
            points.read(&map, 1)
        });
        self.queue.wait(&k);
        let pixel = info_nce(&q, &k, self.queue.columns(), temperature);
        let total = &pixel.loss * loss_scale;
        (Losses { pixel, total }, q.detach())
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.queue.follow(skip);
    }
}

impl Method for Vader {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let pixels = &views.pixels[0];
        let place = (pixels.kind(), pixels.device());
        let points = Points::draw(self.settings.points, views.cuts, views.keys, place, &self.group);
        let order = order(views.keys, now, pixels.device());
        let (Losses { pixel, total }, q) = self.forward(views.pair(), &points, &order);
        let weighed = |of: Tensor| weighed(of, points.share);
        Step {
            loss: weighed(total),
            parts: vec![("loss_pixel", weighed(pixel.loss)), ("accuracy", weighed(pixel.accuracy))],
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
