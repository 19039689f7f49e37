//! ReSim (Xiao et al. 2021): MoCo v2, and the same contrast for windows that slide over the overlap of the views.
//!
//! ```text
//! student: encoder -+- mean - projector q                InfoNCE(q; k; queue)
//!                   +- neck - window of C4, C3           InfoNCE(window; the same window; 3x3 means of all key maps)
//! teacher: the same, k and key maps                      no gradient; its weights follow the student's
//! ```
//!
//! View 1 is the query and view 2 the key; both should be mirrored or neither. The keys pass in a shuffled order, and queries and
//! keys are normalised in parts.

mod windows;

use densesiam_geometry::Region;
use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use self::windows::WindowNeck;
pub use self::windows::{LEVELS, Level, NeckForm, Window};
use super::{Inputs, Method, MethodSettings, NamedLoss, Views};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::Layers;
use crate::layers::Mode;
use crate::losses::{unit, weighed, zero_like};
use crate::parts::{
    Contrast, Contrasted, Embedding, Momentum, Queue, Reading, contrast_keys, info_nce, order, pool,
    unshuffled,
};
use crate::step::{Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[resim]`
    pub resim: ReSimSettings,
}

/// The negatives of the windows of C3. Those of C4 always come from all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// Of the whole batch.
    All,
    /// Of the same part of the batch (`groups`), or of the same process, as released.
    Local,
}

/// The table `resim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReSimSettings {
    /// Temperature of the similarities of all losses.
    pub temperature: f64,
    /// Momentum of the teacher.
    pub momentum: f64,
    /// Keys in the queue.
    pub queue: i64,
    /// Hidden channels of the projector; 0 is the encoder's width.
    pub hidden: i64,
    /// Channels of its output.
    pub dim: i64,
    /// Channels of the neck.
    pub width: i64,
    /// Parts of the batch that each have their own batch statistics, as on so many cards.
    pub groups: i64,
    /// The negatives of the windows of C3.
    pub negatives: Negatives,
    /// What makes the maps of the windows.
    pub neck: NeckForm,
}

impl Default for ReSimSettings {
    fn default() -> Self {
        Self {
            temperature: 0.2,
            momentum: 0.999,
            queue: 65536,
            hidden: 0,
            dim: 128,
            width: 256,
            groups: 8,
            negatives: Negatives::All,
            neck: NeckForm::Fpn,
        }
    }
}

impl Settings {
    fn contrast(&self) -> Contrast {
        let ReSimSettings { temperature, momentum, queue, hidden, dim, groups, .. } = self.resim;
        Contrast { keys: contrast_keys!("resim"), temperature, momentum, queue, hidden, dim, groups }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "resim"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        within("resim.width", self.resim.width, 1..=65536, "channels")?;
        self.contrast().validate()
    }

    fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        self.contrast().fits_batch(batch_size, processes)
    }

    fn needs_overlap(&self) -> bool {
        true
    }

    fn inputs(&self) -> Inputs {
        Inputs { shared_flip: true, ..Inputs::default() }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        let all = &[
            NamedLoss {
                name: "loss_global",
                short: "global",
                title: "Contrast of views",
                meaning: "of a view with the other view, against views of other pictures",
            },
            NamedLoss {
                name: "loss_level4",
                short: "level 4",
                title: "Contrast of large windows",
                meaning: "of a window of 48 pixels with the same window of the other view, against all places",
            },
            NamedLoss {
                name: "loss_level3",
                short: "level 3",
                title: "Contrast of small windows",
                meaning: "of a window of 32 pixels with the same window of the other view, against all places",
            },
        ];
        match self.resim.neck {
            NeckForm::Fpn => all,
            NeckForm::Conv => &all[..2],
        }
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let ReSimSettings { temperature, queue, neck, .. } = self.resim;
        let levels = if neck == NeckForm::Fpn { "C4 and C3" } else { "C4" };
        format!("ReSim, windows of {levels}, queue of {queue}, temperature {temperature}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(ReSim::new(store, self))
    }
}

/// Encoder, projector and neck, of the student or of the teacher.
#[derive(Debug)]
struct Network {
    global: Embedding,
    neck: WindowNeck,
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let ReSimSettings { hidden, dim, width, neck, .. } = settings.resim;
        let Settings { encoder, .. } = settings;
        Self {
            global: Embedding::new(scope, encoder, &[hidden, dim], Layers::PLAIN),
            neck: WindowNeck::new(scope, encoder.architecture, neck, width),
        }
    }

    /// The embedding of each picture, `[B, D]`, of length 1; the map of each level, `[B, width, h, w]`; and the encoder's strides.
    fn forward(&self, view: &Tensor, mode: Mode) -> (Tensor, Vec<Tensor>, Vec<u32>) {
        let features = self.global.encoder.forward(view, mode);
        let embedding = unit(&self.global.projector.forward(&features.pooled(), mode), 1);
        (embedding, self.neck.forward(&features), features.strides)
    }
}

/// Student, teacher and queue.
#[derive(Debug)]
pub struct ReSim {
    student: Network,
    teacher: Network,
    momentum: Momentum,
    queue: Queue,
    settings: ReSimSettings,
    group: Group,
}

/// The losses of one step, of which each is this process's share.
#[derive(Debug)]
pub struct Losses {
    /// Of the whole views.
    pub global: Contrasted,
    /// Of the windows of each level.
    pub levels: Vec<Contrasted>,
    /// Whether some level has no window in any process, and its loss is 0.
    pub without_windows: bool,
    /// Their sum, to be differentiated.
    pub total: Tensor,
}

impl ReSim {
    /// Builds the model in `store`: names start with `encoder`, `projector`, `lateral` or `output`, the teacher's with `key_`, and
    /// `queue`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let ReSimSettings { dim, queue, .. } = settings.resim;
        Self {
            student: Network::new(&store.root(), settings),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            queue: Queue::new(&store.root(), "queue", dim, queue),
            settings: settings.resim.clone(),
            group: store.group().clone(),
        }
    }

    /// The losses of views `[B, 3, H, W]`, which are `share` of the batch of all processes, the keys passing in this `order` `[B]`,
    /// with the valid `windows` of each level; and the queries `[B, D]`.
    pub fn forward(
        &mut self,
        [query, key]: [&Tensor; 2],
        order: &Tensor,
        windows: &[Vec<Window>],
        share: f64,
    ) -> (Losses, Tensor) {
        let mut of_all: Vec<i64> = windows.iter().map(|windows| windows.len() as i64).collect();
        self.group.sum_counts(&mut of_all);
        let mode = Mode::Train { views: self.settings.groups };
        let (q, q_maps, strides) = self.student.forward(query, mode);
        let (k, k_maps) = tch::no_grad(|| {
            let (k, maps, _) = self.teacher.forward(&key.index_select(0, order), mode);
            let maps: Vec<_> = maps.iter().map(|map| unshuffled(map, order)).collect();
            (unshuffled(&k, order), maps)
        });
        self.queue.wait(&k);
        let Contrasted { loss, accuracy } = info_nce(&q, &k, self.queue.columns(), self.settings.temperature);
        let global = Contrasted { loss: weighed(loss, share), accuracy: weighed(accuracy, share) };
        let levels = LEVELS.iter().zip(q_maps.iter().zip(&k_maps)).zip(windows.iter().zip(&of_all));
        let levels: Vec<Contrasted> = levels
            .map(|((level, maps), (windows, &of_all))| {
                self.contrast(level, maps.into(), strides[level.stage], windows, of_all)
            })
            .collect();
        let total = levels.iter().fold(global.loss.shallow_clone(), |sum, level| sum + &level.loss);
        let without_windows = of_all.contains(&0);
        (Losses { global, levels, without_windows, total }, q.detach())
    }

    /// InfoNCE of windows of the query map with the same windows of the key map, `[B, width, h, w]` both, against the means of 3x3
    /// cells of the key maps, the positive's own place included. All processes have `of_all` windows.
    fn contrast(
        &self,
        level: &Level,
        [q, k]: [&Tensor; 2],
        stride: u32,
        windows: &[Window],
        of_all: i64,
    ) -> Contrasted {
        if of_all == 0 {
            return Contrasted { loss: zero_like(q), accuracy: zero_like(q) };
        }
        let unit_rows = |values: &Tensor| unit(values, 1);
        let means = unit_rows(&k.avg_pool2d([3, 3], [1, 1], [0, 0], false, true, None));
        let means = means.permute([0, 2, 3, 1]).flatten(0, 2);
        let is_local = level.is_finest() && self.settings.negatives == Negatives::Local;
        let (parts, negatives) =
            if is_local { (self.settings.groups, means) } else { (1, self.group.gather(&means)) };
        let part_of = |window: &Window| window.picture as i64 * parts / q.size()[0];
        let rows = |part| windows.iter().filter(|window| part_of(window) == part).count() as i64;
        let rows: Vec<i64> = (0..parts).map(rows).collect();
        let pooled = |map: &Tensor, region: fn(&Window) -> Region| {
            let boxes: Vec<_> = windows.iter().map(|window| (window.picture, region(window))).collect();
            let values = pool(map, &boxes, stride, 1, Reading::Exact).flatten(1, -1);
            unit_rows(&values).split_with_sizes(&rows, 0)
        };
        let (q, k) = (pooled(q, |of| of.query), pooled(k, |of| of.key));
        let start = [zero_like(&negatives), zero_like(&negatives)];
        let of_parts = q.iter().zip(&k).zip(negatives.chunk(parts, 0)).zip(&rows);
        let [loss, accuracy] = of_parts.fold(start, |sums, (((q, k), negatives), &rows)| {
            let part = info_nce(q, k, &negatives.tr(), self.settings.temperature);
            let share = rows as f64 / of_all as f64;
            [&sums[0] + part.loss * share, &sums[1] + part.accuracy * share]
        });
        Contrasted { loss, accuracy }
    }

    /// Lets the teacher follow the student, and queues the keys of the step.
    pub fn follow_by(&mut self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
        self.queue.follow(skip);
    }
}

impl Method for ReSim {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let [query, key] = views.pair();
        let size = query.size()[2] as u32;
        let levels = LEVELS.iter().filter(|level| self.settings.neck.has(level));
        let windows: Vec<_> = levels.map(|level| level.valid_windows(views.cuts, size)).collect();
        let order = order(views.keys, now, query.device());
        let (Losses { global, levels, without_windows, total }, q) =
            self.forward([query, key], &order, &windows, views.share);
        let mut parts = vec![("loss_global", global.loss), ("accuracy", global.accuracy)];
        for (Contrasted { loss, accuracy }, Level { names: [of_loss, of_accuracy], .. }) in
            levels.into_iter().zip(LEVELS)
        {
            parts.extend([(of_loss, loss), (of_accuracy, accuracy)]);
        }
        Step {
            loss: total,
            parts,
            counts: vec![("without_windows", u64::from(without_windows))],
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
