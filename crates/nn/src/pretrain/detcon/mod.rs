//! DetCon (Hénaff et al. 2021): the regions of a picture, given by label maps, against the same regions in the other view and all
//! other regions of the batch.
//!
//! ```text
//! form b: student: encoder - means of regions - projector - predictor u    contrast(u1; v2, v1) + contrast(u2; v1, v2)
//!         teacher: encoder - means of regions - projector v                no gradient; its weights follow the student's
//! form s: encoder - means of regions - projector u                         contrast(u1; u2, u1) + contrast(u2; u1, u2)
//! ```
//!
//! Batch statistics are per view. In form s the gradient flows through both sides of every comparison.

mod contrast;
mod regions;

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use self::contrast::{RegionContrast, region_contrast};
pub use self::regions::Regions;
use super::{Inputs, Method, MethodSettings, NamedLoss, RegionInput, Views, both};
use crate::encoder::{EncoderSettings, ResNet};
use crate::heads::{Form as HeadForm, Head, Layers};
use crate::layers::both_views;
use crate::losses::{unit, weighed};
use crate::parts::{Embedding, Momentum, cosine_to_one, share_of_all, with_rows_of_others};
use crate::step::{Predictors, Step, Watched};
use crate::store::Store;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[detcon]`
    pub detcon: DetConSettings,
}

/// What the regions are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The projections of a teacher, as in BYOL: DetCon-B.
    B,
    /// Their own projections, as in SimCLR: DetCon-S.
    S,
}

/// The table `detcon`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetConSettings {
    /// What the regions are compared with.
    pub form: Form,
    /// Regions that are drawn in each view, with replacement.
    pub regions: usize,
    /// Temperature of the similarities.
    pub temperature: f64,
    /// Momentum of the teacher at the first step; it rises to 1.
    pub momentum: f64,
    /// Hidden channels of projector and predictor.
    pub hidden: i64,
    /// Channels of their outputs.
    pub dim: i64,
}

impl Default for DetConSettings {
    fn default() -> Self {
        Self { form: Form::B, regions: 16, temperature: 0.1, momentum: 0.996, hidden: 4096, dim: 256 }
    }
}

impl MethodSettings for Settings {
    fn name(&self) -> &'static str {
        "detcon"
    }

    fn encoder(&self) -> &EncoderSettings {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let DetConSettings { regions, temperature, momentum, hidden, dim, .. } = self.detcon;
        within("detcon.regions", regions, 1..=256, "regions")?;
        let possible = temperature > 0.0 && temperature.is_finite();
        require(possible, "detcon.temperature", &temperature, "a finite number above 0")?;
        within("detcon.momentum", momentum, 0.0..=1.0, "(a share)")?;
        within("detcon.hidden", hidden, 1..=65536, "channels")?;
        within("detcon.dim", dim, 2..=65536, "channels")
    }

    fn predictors(&self) -> Predictors {
        match self.detcon.form {
            Form::B => Predictors { global: &[], all: &["predictor"] },
            Form::S => Predictors { global: &[], all: &[] },
        }
    }

    fn inputs(&self) -> Inputs {
        Inputs { regions: Some(RegionInput::Segments), ..Inputs::default() }
    }

    fn needs_whole_cells(&self) -> bool {
        true
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[NamedLoss {
            name: "loss_region",
            short: "region",
            title: "Contrast of regions",
            meaning: "of a region with itself in the other view, against all other regions of the batch",
        }]
    }

    fn summary(&self, _horizon: &Horizon) -> String {
        let DetConSettings { form, regions, temperature, .. } = self.detcon;
        format!("DetCon-{form:?}, {regions} regions, temperature {temperature}")
    }

    fn build(&self, store: &Store) -> Box<dyn Method> {
        Box::new(DetCon::new(store, self))
    }
}

/// What form b has besides the student.
#[derive(Debug)]
struct Guide {
    predictor: Head,
    teacher: Embedding,
}

/// Student, and for form b predictor and teacher.
#[derive(Debug)]
pub struct DetCon {
    student: Embedding,
    guide: Option<Guide>,
    momentum: Momentum,
    settings: Settings,
    group: Group,
}

impl DetCon {
    /// Builds the model in `store`: names start with `encoder`, `projector` or `predictor`, and the teacher's with `key_`.
    pub fn new(store: &Store, settings: &Settings) -> Self {
        let DetConSettings { form, hidden, dim, .. } = settings.detcon;
        let embedding = |scope| Embedding::new(&scope, &settings.encoder, &[hidden, dim], Layers::NORMED);
        let student = embedding(store.root());
        let guide = || Guide {
            predictor: Head::new(
                &(&store.root() / "predictor"),
                HeadForm::Rows,
                &[dim, hidden, dim],
                Layers::NORMED,
            ),
            teacher: embedding(store.teacher()),
        };
        Self {
            student,
            guide: (form == Form::B).then(guide),
            momentum: Momentum::new(store),
            settings: settings.clone(),
            group: store.group().clone(),
        }
    }

    /// The contrast of views `[B, 3, H, W]` with these regions, which are `share` of the batch of all processes, and the
    /// projections of view 1, `[B R, D]`.
    pub fn forward(
        &self,
        views: [&Tensor; 2],
        regions: [&Regions; 2],
        share: f64,
    ) -> (RegionContrast, Tensor) {
        let temperature = self.settings.detcon.temperature;
        let z = projections(&self.student, views, regions);
        let rows = |z: &[Tensor; 2]| z.each_ref().map(|z| unit(z, 1));
        let drawn = regions.map(|regions| self.group.gather(&regions.drawn));
        let drawn = drawn.each_ref();
        // What a process adds: with a teacher, the loss of its own rows; without, as in SimCLR, it computes that of all rows.
        let (RegionContrast { losses, matched }, part): (_, fn(Tensor, f64) -> Tensor) = match &self.guide {
            Some(Guide { predictor, teacher }) => {
                let [p] = both_views(z.each_ref().map(Tensor::shallow_clone), |z, mode| {
                    [predictor.forward(z, mode)]
                });
                let targets = tch::no_grad(|| rows(&projections(teacher, views, regions)));
                let [(v1, first), (v2, _)] = targets.map(|target| self.group.gather_with_place(&target));
                let [u1, u2] = rows(&p);
                (region_contrast([&u1, &u2], [&v1, &v2], drawn, first, temperature), weighed)
            }
            None => {
                let u = rows(&z).map(|rows| with_rows_of_others(&rows, &self.group));
                (region_contrast(u.each_ref(), u.each_ref(), drawn, 0, temperature), share_of_all)
            }
        };
        let contrast =
            RegionContrast { losses: losses.map(|loss| part(loss, share)), matched: weighed(matched, share) };
        (contrast, z[0].detach())
    }

    /// Lets the teacher follow the student.
    pub fn follow_by(&self, momentum: f64, skip: &Tensor) {
        self.momentum.follow(momentum, skip);
    }
}

/// The projections of both views' regions, `[B R, D]` each.
fn projections(network: &Embedding, views: [&Tensor; 2], regions: [&Regions; 2]) -> [Tensor; 2] {
    let [[f1, f2]] = both_views(views.map(Tensor::shallow_clone), |view, mode| {
        [network.encoder.forward(view, mode).last()]
    });
    let means = [regions[0].means(&f1), regions[1].means(&f2)];
    let [z] = both_views(means, |rows, mode| [network.projector.forward(rows, mode)]);
    z
}

impl Method for DetCon {
    fn step(&mut self, views: &Views, _now: Now) -> Step {
        let Settings { encoder, detcon } = &self.settings;
        let [one, two] = views.pair();
        let [.., side] = encoder.sides(one.size()[2] as u32);
        let cells = [side, encoder.output_stride].map(i64::from);
        let regions = [0, 1].map(|view| {
            let numbers = Regions::numbers(views.keys, view as u32, detcon.regions, one.device());
            Regions::new(both(&views.labels)[view], cells, &numbers)
        });
        let (RegionContrast { losses: [of_one, of_two], matched }, z) =
            self.forward([one, two], regions.each_ref(), views.share);
        let loss = of_one + of_two;
        Step {
            parts: vec![("loss_region", loss.shallow_clone()), ("regions_matched", matched)],
            loss,
            counts: vec![],
            watched: vec![Watched::Spread(z)],
        }
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        self.follow_by(cosine_to_one(self.settings.detcon.momentum, now), skip);
    }

    fn encoder(&self) -> &ResNet {
        &self.student.encoder
    }
}
