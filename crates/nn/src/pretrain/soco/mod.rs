//! SoCo (Wei et al. 2021): BYOL for proposals of objects, with the pyramid and the box head of a detector, so that these are
//! pre-trained too.
//!
//! ```text
//! student: encoder - neck P2..P5 - box - head - projector - predictor p      -2 cos(p, z) over the pairs of boxes
//! teacher: encoder - neck P2..P5 - box - head - projector z                  no gradient; its weights follow the student's
//! ```
//!
//! View 1 is compared with view 2 and with view 3, a small one. Each box is read at every level and counts at the level of its
//! size, so a pair may join two levels. Batch statistics are per view, and in the head per set of boxes and level. The forms on C4
//! alone and with four views (SoCo*) are left out.

mod detection;

use densesiam_geometry::Region;
use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::upload;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use self::detection::{box_head, pyramid};
use super::{Inputs, Method, MethodSettings, NamedLoss, Proposals, RegionInput, Views};
use crate::detect::{BoxHead, NormedPyramid};
use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::{Mode, both_views};
use crate::losses::{loss_kind, normalised, weighed};
use crate::parts::{Momentum, Reading, cosine_to_one, paired, pool};
use crate::step::{Predictors, Step, Watched};
use crate::store::{Scope, Store};

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[soco]`
    pub soco: SoCoSettings,
}

/// The table `soco`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SoCoSettings {
    /// Momentum of the teacher at the first step; it rises to 1.
    pub momentum: f64,
    /// Channels of the pyramid and of the box head's convolutions.
    pub width: i64,
    /// Channels of the box head's linear layer.
    pub head: i64,
    /// Hidden channels of projector and predictor.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
    /// The largest sizes of boxes of P2, P3 and P4, in pixels of the view; larger ones are of P5.
    pub limits: [f64; 3],
}

impl Default for SoCoSettings {
    fn default() -> Self {
        Self { momentum: 0.99, width: 256, head: 1024, hidden: 4096, dim: 256, limits: [48.0, 96.0, 192.0] }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "soco"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let SoCoSettings { momentum, width, head, hidden, dim, limits } = self.soco;
        within("soco.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("soco.width", width, 1..=65536, "channels")?;
        within("soco.head", head, 1..=65536, "channels")?;
        within("soco.hidden", hidden, 1..=65536, "channels")?;
        within("soco.dim", dim, 2..=65536, "channels")?;
        let rise = 0.0 < limits[0] && limits.is_sorted();
        require(rise, "soco.limits", &format!("{limits:?}"), "three numbers above 0 that do not fall")
    }

    fn predictors(&self) -> Predictors {
        Predictors { global: &[], all: &["predictor"] }
    }

    fn inputs(&self) -> Inputs {
        Inputs { regions: Some(RegionInput::Boxes), ..Inputs::default() }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_views12",
                short: "views 1, 2",
                title: "Prediction of boxes, views 1 and 2",
                meaning: "minus the cosines of boxes of the same proposal: 0 unlike, -4 alike",
            },
            NamedLoss {
                name: "loss_views13",
                short: "views 1, 3",
                title: "Prediction of boxes, views 1 and 3",
                meaning: "the same with the small view",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        format!("SoCo, four boxes of a view at four levels, momentum {} to 1", self.soco.momentum)
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(SoCo::new(store, self))
    }
}

/// P2 to P5.
const LEVELS: usize = 4;
/// Values along a side of a box.
const BINS: usize = 7;
/// The view of each set of boxes: those of view 1 for view 2, those of view 1 for view 3, those of view 2, and those of view 3.
const VIEW_OF_SET: [usize; 4] = [0, 0, 1, 2];
/// The sets that are compared, and the name of the loss.
const COMPARED: [([usize; 2], &str); 2] = [([0, 2], "loss_views12"), ([1, 3], "loss_views13")];

/// Projector and predictor have biases at both layers.
const LAYERS: Layers = Layers { output_bias: true, ..Layers::NORMED };
/// Each set has its own statistics at each level.
const OF_BOXES: Mode = Mode::Train { views: (VIEW_OF_SET.len() * LEVELS) as i64 };

/// Everything that a teacher has too.
#[derive(Debug)]
struct Network {
    encoder: ResNet,
    neck: NormedPyramid,
    head: BoxHead,
    projector: Head,
    strides: [u32; LEVELS],
}

impl Network {
    fn new(scope: &Scope, settings: &Settings) -> Self {
        let SoCoSettings { width, head, hidden, dim, .. } = settings.soco;
        let encoder = &settings.encoder;
        Self {
            encoder: encoder.build(&(scope / ENCODER.trim_end_matches('.'))),
            neck: pyramid(&(scope / "neck"), encoder.architecture, width),
            head: box_head(&(scope / "head"), width, BINS as i64, head),
            projector: Head::new(&(scope / "projector"), Form::Rows, &[head, hidden, dim], LAYERS),
            strides: encoder.strides(),
        }
    }

    /// The boxes of each set at each level, `[sets levels B 4, D]`, of three views, `[B, 3, H, W]`.
    fn forward(&self, views: [&Tensor; 3], sets: &[Proposals]) -> Tensor {
        let levels = |view: &Tensor, mode| self.neck.forward(&self.encoder.forward(view, mode), mode);
        let [one, two, three] = views.map(Tensor::shallow_clone);
        let large = both_views([one, two], |view, mode| levels(view, mode));
        let small = levels(&three, Mode::Train { views: 1 });
        let mut values = Vec::with_capacity(sets.len() * LEVELS);
        for (set, view) in sets.iter().zip(VIEW_OF_SET) {
            let boxes = set.in_pixels(views[view].size()[2] as u32);
            for (level, &stride) in self.strides.iter().enumerate() {
                let map = if view == 2 { &small[level] } else { &large[level][view] };
                values.push(pool(map, &boxes, stride, BINS, Reading::Align { aligned: true }));
            }
        }
        let boxes = self.head.forward(&Tensor::cat(&values, 0), OF_BOXES);
        self.projector.forward(&boxes, OF_BOXES)
    }
}

/// Student and teacher.
#[derive(Debug)]
pub struct SoCo {
    student: Network,
    predictor: Head,
    teacher: Network,
    momentum: Momentum,
    settings: Settings,
}

impl SoCo {
    /// Builds the model in `store`: names start with `encoder`, `neck`, `head`, `projector` or `predictor`, and the teacher's with
    /// `key_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let SoCoSettings { hidden, dim, .. } = settings.soco;
        let scope = &store.root() / "predictor";
        Self {
            student: Network::new(&store.root(), settings),
            predictor: Head::new(&scope, Form::Rows, &[dim, hidden, dim], LAYERS),
            teacher: Network::new(&store.teacher(), settings),
            momentum: Momentum::new(store),
            settings: settings.clone(),
        }
    }

    /// The losses of views 1 and 2 and of views 1 and 3, `[B, 3, H, W]`, with the four sets of boxes that [`Views::proposals`]
    /// describes; and the projections of view 1, `[levels B 4, D]`.
    pub fn forward(&self, views: [&Tensor; 3], sets: &[Proposals]) -> ([Tensor; 2], Tensor) {
        assert_eq!(sets.len(), VIEW_OF_SET.len(), "the method compares four sets of boxes");
        let (kind, device, pictures) = (loss_kind(views[0].kind()), views[0].device(), views[0].size()[0]);
        let z = self.student.forward(views, sets);
        let p = self.predictor.forward(&z, OF_BOXES);
        let targets = tch::no_grad(|| self.teacher.forward(views, sets));
        // `[sets levels B 4, D]` to unit columns of each set, `[B, D, levels 4]`.
        let columns = |rows: &Tensor| {
            let [sets, levels] = [VIEW_OF_SET.len(), LEVELS].map(|count| count as i64);
            let rows = normalised(&rows.to_kind(kind), 1);
            let shape = [sets, levels, pictures, Proposals::COUNT as i64, rows.size()[1]];
            rows.reshape(shape).permute([0, 2, 4, 1, 3]).flatten(3, 4)
        };
        let (p, targets) = (columns(&p), columns(&targets).detach());
        let losses = COMPARED.map(|([one, two], _)| {
            let sizes = [one, two].map(|set| views[VIEW_OF_SET[set]].size()[2] as u32);
            let pairs = self.pairs([&sets[one], &sets[two]], sizes, device);
            let [p1, p2, z1, z2] = [(&p, one), (&p, two), (&targets, one), (&targets, two)]
                .map(|(of, set)| of.select(0, set as i64));
            paired(&p1, &z2, &pairs) + paired(&p2, &z1, &pairs.transpose(1, 2))
        });
        (losses, z.narrow(0, 0, z.size()[0] / VIEW_OF_SET.len() as i64).detach())
    }

    /// The level of each box, 0 for P2, in a view of this size.
    pub fn levels(&self, set: &Proposals, size: u32) -> Vec<[usize; Proposals::COUNT]> {
        let level = |of: &Region| {
            let length = (of.width() * of.height()).sqrt() * f64::from(size);
            self.settings.soco.limits.iter().filter(|&&limit| length > limit).count()
        };
        set.boxes.iter().map(|boxes| boxes.each_ref().map(level)).collect()
    }

    /// 1 where both boxes are at their levels and show the same proposal, else 0: `[B, levels 4, levels 4]`, float64.
    pub fn pairs(&self, sets: [&Proposals; 2], sizes: [u32; 2], device: Device) -> Tensor {
        let side = LEVELS * Proposals::COUNT;
        let [ones, twos] = [0, 1].map(|set: usize| self.levels(sets[set], sizes[set]));
        let place = |(number, level): (usize, &usize)| (number, level * Proposals::COUNT + number);
        let mut pairs = vec![0.0; ones.len() * side * side];
        for (picture, (ones, twos)) in ones.iter().zip(&twos).enumerate() {
            for (one, row) in ones.iter().enumerate().map(place) {
                for (two, column) in twos.iter().enumerate().map(place) {
                    let is_same = sets[0].ids[picture][one] == sets[1].ids[picture][two];
                    pairs[(picture * side + row) * side + column] = f64::from(u8::from(is_same));
                }
            }
        }
        upload(&pairs, &[ones.len() as i64, side as i64, side as i64], device)
    }

    /// Lets the teacher follow the student.
    pub fn follow_by(&self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
    }
}

impl Method for SoCo {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let [one, two, three] = &views.pixels[..] else { panic!("the method compares three views") };
        let (losses, z) = self.forward([one, two, three], views.proposals);
        let losses = losses.map(|loss| weighed(loss, views.share));
        let loss = &losses[0] + &losses[1];
        let names = COMPARED.iter().map(|(_, name)| *name);
        Step { parts: names.zip(losses).collect(), loss, counts: vec![], watched: vec![Watched::Spread(z)] }
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        // As in PixPro, the released code moves the teacher with the momentum of the next step.
        self.follow_by(cosine_to_one(self.settings.soco.momentum, Now { step: now.step + 1, ..now }), skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
