//! DetCo (Xie et al. 2021): MoCo v2 at four levels of the encoder, for whole views and for nine patches of the picture, and for
//! patches against whole views.
//!
//! ```text
//! student: view    - encoder - means of C2..C5 - global_projectors g     InfoNCE(g; g'; queue.global)   each level
//!          patches - encoder - means of C2..C5 - local_projectors l      InfoNCE(l; l'; queue.local)
//!                                                                        InfoNCE(l; g'; queue.global)
//! teacher: the same, g' and l'                                           no gradient; its weights follow the student's
//! ```
//!
//! View 1 and its patches are the queries, view 2 and its patches the keys. The keys pass in a shuffled order, in which the
//! patches of a picture stay together, and queries and keys are unit in parts.

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Inputs, Method, MethodSettings, NamedLoss, Views, both};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::Mode;
use crate::losses::{unit, weighed};
use crate::parts::{Contrast, Contrasted, Momentum, Queue, contrast_keys, info_nce, order, shuffled};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// The patches of a view.
pub const PATCHES: i64 = 9;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[detco]`
    pub detco: DetCoSettings,
}

/// The table `detco`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetCoSettings {
    /// Weights of the losses of C2, C3, C4 and C5.
    pub weights: [f64; 4],
    /// Temperature of the similarities.
    pub temperature: f64,
    /// Momentum of the teacher.
    pub momentum: f64,
    /// Keys in each of the eight queues.
    pub queue: i64,
    /// Hidden channels of the projectors; 0 is the width of the level.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
    /// Side of a patch in pixels.
    pub patch: u32,
}

impl Default for DetCoSettings {
    fn default() -> Self {
        Self {
            weights: [0.1, 0.4, 0.7, 1.0],
            temperature: 0.2,
            momentum: 0.999,
            queue: 65536,
            hidden: 0,
            dim: 128,
            groups: 8,
            patch: 64,
        }
    }
}

impl Settings {
    fn contrast(&self) -> Contrast {
        let DetCoSettings { temperature, momentum, queue, hidden, dim, groups, .. } = self.detco;
        Contrast { keys: contrast_keys!("detco"), temperature, momentum, queue, hidden, dim, groups }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "detco"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let DetCoSettings { weights, patch, .. } = self.detco;
        let possible = weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
        let possible = possible && weights.iter().any(|weight| *weight > 0.0);
        let shown = format!("{weights:?}");
        require(possible, "detco.weights", &shown, "four finite numbers from 0, not all of them 0")?;
        within("detco.patch", patch, 32..=8192, "pixels; a cell of C5 has 32")?;
        self.contrast().validate()
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        self.contrast().fits_batch(batch_size, processes)
    }

    fn inputs(&self) -> Inputs {
        Inputs { patches: Some(self.detco.patch), ..Inputs::default() }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_global",
                short: "global",
                title: "Contrast of views",
                meaning: "of a view with the other view, against views of other pictures, over all levels",
            },
            NamedLoss {
                name: "loss_local",
                short: "local",
                title: "Contrast of patches",
                meaning: "of nine patches with nine others, against patches of other pictures",
            },
            NamedLoss {
                name: "loss_cross",
                short: "cross",
                title: "Contrast of patches with views",
                meaning: "of nine patches with the other view, against views of other pictures",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let DetCoSettings { weights: [c2, c3, c4, c5], queue, .. } = self.detco;
        format!("DetCo, levels weighted {c2}, {c3}, {c4} and {c5}, eight queues of {queue}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(DetCo::new(store, self))
    }
}

/// Encoder and the projectors of all levels, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    global_projectors: [Head; 4],
    local_projectors: [Head; 4],
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let DetCoSettings { hidden, dim, .. } = settings.detco;
        let channels = settings.encoder.architecture.channels();
        let projector = |part: &str, level: usize, patches: i64| {
            let width = channels[level];
            let channels = [patches * width, if hidden == 0 { width } else { hidden }, dim];
            let scope = &(scope / part) / level.to_string().as_str();
            Head::new(&scope, Form::Rows, &channels, Layers::PLAIN)
        };
        Self {
            encoder: settings.encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            global_projectors: std::array::from_fn(|level| projector("global_projectors", level, 1)),
            local_projectors: std::array::from_fn(|level| projector("local_projectors", level, PATCHES)),
        }
    }

    /// Pictures `[B, 3, H, W]` to unit rows `[B, D]` of each level.
    fn global(&self, pictures: &Tensor, mode: Mode) -> [Tensor; 4] {
        let pooled = self.pooled(pictures, mode);
        std::array::from_fn(|level| unit(&self.global_projectors[level].forward(&pooled[level], mode), 1))
    }

    /// Patches `[B, 9, 3, p, p]` to unit rows `[B, D]` of each level: the means of a picture's patches stand side by side.
    fn local(&self, patches: &Tensor, mode: Mode) -> [Tensor; 4] {
        let pooled = self.pooled(&patches.flatten(0, 1), mode);
        std::array::from_fn(|level| {
            let side_by_side = pooled[level].unflatten(0, [-1, PATCHES]).flatten(1, 2);
            unit(&self.local_projectors[level].forward(&side_by_side, mode), 1)
        })
    }

    /// The means of the four maps, `[rows, C]` each.
    fn pooled(&self, pictures: &Tensor, mode: Mode) -> [Tensor; 4] {
        let maps = self.encoder.forward(pictures, mode).maps;
        std::array::from_fn(|level| {
            let map = &maps[level];
            map.mean_dim([2i64, 3].as_slice(), false, map.kind())
        })
    }
}

/// Student, teacher and the queues of all levels.
#[derive(Debug)]
pub struct DetCo {
    student: Network,
    teacher: Network,
    momentum: Momentum,
    global_queues: [Queue; 4],
    local_queues: [Queue; 4],
    settings: DetCoSettings,
}

/// The losses of one step.
#[derive(Debug)]
pub struct Losses {
    /// Of C2, C3, C4 and C5.
    pub levels: [Level; 4],
    /// Of the views: the weighted sum over the levels.
    pub global: Tensor,
    /// Of the patches.
    pub local: Tensor,
    /// Of the patches with the views.
    pub cross: Tensor,
    /// Their sum, to be differentiated.
    pub total: Tensor,
}

/// The losses of one level in one step.
#[derive(Debug)]
pub struct Level {
    /// Of the views.
    pub global: Contrasted,
    /// Of the patches.
    pub local: Contrasted,
    /// Of the patches with the views.
    pub cross: Contrasted,
}

impl DetCo {
    /// Builds the model in `store`: names start with `encoder`, `global_projectors` or `local_projectors`, the teacher's with
    /// `key_`, and `queue.global` and `queue.local`, each with the number of the level, 0 for C2.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let DetCoSettings { dim, queue, .. } = settings.detco;
        let queues = |part: &str| {
            let queue = |level| Queue::new(&store.root(), &format!("queue.{part}.{level}"), dim, queue);
            [0, 1, 2, 3].map(queue)
        };
        Self {
            student: Network::new(&store.root(), settings),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            global_queues: queues("global"),
            local_queues: queues("local"),
            settings: settings.detco.clone(),
        }
    }

    /// The losses of views `[B, 3, H, W]` and their patches `[B, 9, 3, p, p]`, the keys passing in this `order` `[B]`, and the
    /// queries of the views at the last level, `[B, D]`.
    pub fn forward(
        &mut self,
        [query, key]: [&Tensor; 2],
        [query_patches, key_patches]: [&Tensor; 2],
        order: &Tensor,
    ) -> (Losses, Tensor) {
        let DetCoSettings { weights, temperature, groups, .. } = self.settings;
        let mode = Mode::Train { views: groups };
        let g = self.student.global(query, mode);
        let l = self.student.local(query_patches, mode);
        let (g_keys, l_keys) = tch::no_grad(|| {
            let g = shuffled(key, order, |key| self.teacher.global(key, mode));
            (g, shuffled(key_patches, order, |patches| self.teacher.local(patches, mode)))
        });
        let levels: [Level; 4] = std::array::from_fn(|level| {
            let (g_key, l_key) = (&g_keys[level], &l_keys[level]);
            self.global_queues[level].wait(g_key);
            self.local_queues[level].wait(l_key);
            let (views, patches) = (self.global_queues[level].columns(), self.local_queues[level].columns());
            Level {
                global: info_nce(&g[level], g_key, views, temperature),
                local: info_nce(&l[level], l_key, patches, temperature),
                cross: info_nce(&l[level], g_key, views, temperature),
            }
        });
        let over_levels = |loss: fn(&Level) -> &Tensor| -> Tensor {
            levels.iter().zip(weights).map(|(level, weight)| loss(level) * weight).sum()
        };
        let global = over_levels(|level| &level.global.loss);
        let local = over_levels(|level| &level.local.loss);
        let cross = over_levels(|level| &level.cross.loss);
        let total = &global + &local + &cross;
        (Losses { levels, global, local, cross, total }, g[3].detach())
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.global_queues.iter_mut().chain(&mut self.local_queues).for_each(|queue| queue.follow(skip));
    }
}

impl Method for DetCo {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let order = order(views.keys, now, views.pixels[0].device());
        let (losses, q) = self.forward(views.pair(), both(&views.patches), &order);
        let Losses { levels: [.., c5], global, local, cross, total } = losses;
        let weighed = |of: Tensor| weighed(of, views.share);
        Step {
            loss: weighed(total),
            parts: vec![
                ("loss_global", weighed(global)),
                ("loss_local", weighed(local)),
                ("loss_cross", weighed(cross)),
                ("accuracy", weighed(c5.global.accuracy)),
                ("accuracy_local", weighed(c5.local.accuracy)),
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
