//! IIC for segmentation (Ji et al. 2019): two views of a position share as much information about their categories as they can, also with
//! positions up to a radius away.
//!
//! ```text
//! P_d[i, j] = sum over positions u of x1_i(u + d) x2_j(u)       x: softmax of a head; d: a displacement within the radius
//! loss      = mean over d of -sum P (ln P - l ln P_row - l ln P_column),   P symmetric, with sum 1
//! ```
//!
//! A second head with more categories learns the same; the segmentation is read from the first. The maps correspond already, so
//! nothing is undone, and every position has both views, so nothing is masked.

use densesiam_settings::duration::{Horizon, Now};
use densesiam_settings::{SettingError, require, within};
use densesiam_torch_ext::Group;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Categories, SegmentEncoder, Segmenting, SegmentingSettings, Trunk, Views};
use crate::layers::{Convolution, Mode};
use crate::losses::{loss_kind, zero_like};
use crate::parts::share_of_all;
use crate::pretrain::NamedLoss;
use crate::step::{Step, Watched};
use crate::store::Store;

/// Probabilities below this count as this.
const LEAST: f64 = f64::EPSILON;

/// The tables of a recipe that this method reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: SegmentEncoder,
    /// `[iic]`
    pub iic: IicSettings,
}

/// The table `iic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IicSettings {
    /// Categories of the second head; 0 for none.
    pub overclusters: i64,
    /// Whether both heads learn in each step, or one in each epoch.
    pub heads: Heads,
    /// The largest displacement, in cells of the map.
    pub radius: i64,
    /// The weight of the entropy of the categories, `l`.
    pub entropy_weight: f64,
    /// Whether the displacements are summed before they are normalised.
    pub collapsed: bool,
}

/// Which heads learn when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heads {
    /// Both in each step; the loss is their sum.
    Both,
    /// The second one in the first epoch, then the first one, and so on, as released.
    Alternate,
}

impl Default for IicSettings {
    fn default() -> Self {
        Self { overclusters: 81, heads: Heads::Both, radius: 6, entropy_weight: 1.0, collapsed: false }
    }
}

impl SegmentingSettings for Settings {
    fn name(&self) -> &'static str {
        "iic"
    }

    fn encoder(&self) -> &SegmentEncoder {
        &self.encoder
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        let IicSettings { overclusters, radius, entropy_weight, .. } = self.iic;
        require(overclusters != 1, "iic.overclusters", &overclusters, "0 for none, or 2 or more")?;
        within("iic.overclusters", overclusters, 0..=4096, "categories")?;
        within("iic.radius", radius, 0..=64, "cells")?;
        let possible = entropy_weight >= 0.0 && entropy_weight.is_finite();
        require(possible, "iic.entropy_weight", &entropy_weight, "a finite number from 0")
    }

    fn categories(&self) -> Categories {
        Categories::Convolution { kernel: "head.weight", bias: None, unit: false }
    }

    fn losses(&self) -> &'static [NamedLoss] {
        &[
            NamedLoss {
                name: "loss_information",
                short: "information",
                title: "information",
                meaning: "negative, of the categories of both views",
            },
            NamedLoss {
                name: "loss_overclusters",
                short: "overclusters",
                title: "more categories",
                meaning: "the same of the second head",
            },
        ]
    }

    fn summary(&self, _horizon: &Horizon, _categories: i64) -> String {
        let IicSettings { overclusters, radius, heads, .. } = self.iic;
        let second = match (overclusters, heads) {
            (0, _) => "one head".to_owned(),
            (categories, Heads::Both) => format!("a second head of {categories}"),
            (categories, Heads::Alternate) => {
                format!("in turn with a second head of {categories}, an epoch each")
            }
        };
        format!("IIC, displacements up to {radius} cells, {second}")
    }

    fn build(&self, store: &Store, categories: i64) -> Box<dyn Segmenting> {
        Box::new(Iic::new(store, self, categories))
    }
}

/// Trunk and heads.
#[derive(Debug)]
pub struct Iic {
    trunk: Trunk,
    head: Convolution,
    over_head: Option<Convolution>,
    settings: IicSettings,
    group: Group,
}

impl Iic {
    /// Builds the model in `store` for so many categories.
    pub fn new(store: &Store, settings: &Settings, categories: i64) -> Self {
        let root = store.root();
        let head = |name: &str, categories| {
            Convolution::of_head(&(&root / name), [settings.encoder.width, categories], false)
        };
        Self {
            trunk: Trunk::new(&root, &settings.encoder),
            head: head("head", categories),
            over_head: (settings.iic.overclusters > 0).then(|| head("over_head", settings.iic.overclusters)),
            settings: settings.iic.clone(),
            group: store.group().clone(),
        }
    }

    /// Which heads learn at this time: the first, the second.
    fn learning(&self, now: Now) -> [bool; 2] {
        let epoch = now.step / now.horizon.steps_per_epoch.max(1);
        match (&self.over_head, self.settings.heads) {
            (None, _) => [true, false],
            (_, Heads::Both) => [true, true],
            (_, Heads::Alternate) => [epoch % 2 == 1, epoch.is_multiple_of(2)],
        }
    }
}

impl Segmenting for Iic {
    fn step(&mut self, views: &Views, now: Now) -> Step {
        let maps = self.trunk.both(views);
        let kind = loss_kind(maps[0].kind());
        let outputs = |head: &Convolution| maps.each_ref().map(|map| head.forward(map).to_kind(kind));
        let loss = |[one, two]: &[Tensor; 2]| {
            let joint = joint([&one.softmax(1, kind), &two.softmax(1, kind)], self.settings.radius);
            share_of_all(information_loss(&with_others(joint, &self.group), &self.settings), views.share)
        };
        let [learns, over_learns] = self.learning(now);
        let first = outputs(&self.head);
        let information = if learns { loss(&first) } else { zero_like(&maps[0]) };
        let over = self.over_head.as_ref().filter(|_| over_learns).map(|head| loss(&outputs(head)));
        let over = over.unwrap_or_else(|| zero_like(&maps[0]));
        Step {
            loss: &information + &over,
            parts: vec![("loss_information", information), ("loss_overclusters", over)],
            counts: Vec::new(),
            watched: vec![Watched::Categories(first[0].detach())],
        }
    }

    fn logits(&self, pictures: &Tensor) -> Tensor {
        let logits = self.head.forward(&self.trunk.forward(pictures, Mode::Evaluate));
        logits.to_kind(loss_kind(logits.kind()))
    }
}

/// The sum of the joints of all processes, of which the own one keeps its gradient.
fn with_others(joint: Tensor, group: &Group) -> Tensor {
    if group.is_alone() {
        return joint;
    }
    let all = joint.detach().copy();
    group.sum(&all);
    &joint + (all - joint.detach())
}

/// How often category `i` of map 1 meets category `j` of map 2 at each displacement: maps of probabilities `[B, K, h, w]` to
/// `[2 r + 1, 2 r + 1, K, K]`. The first displacement is `-r`; what lies outside map 1 is 0.
pub fn joint([one, two]: [&Tensor; 2], radius: i64) -> Tensor {
    // A convolution of one map with the other as its kernel, in which the pictures are the channels.
    let [input, kernel] = [one, two].map(|map| map.transpose(0, 1));
    input.conv2d::<Tensor>(&kernel, None, [1], [radius], [1], 1).permute([2, 3, 0, 1])
}

/// The negative information of joints `[D, D, K, K]`, mean over the displacements.
pub fn information_loss(joint: &Tensor, settings: &IicSettings) -> Tensor {
    let kind = joint.kind();
    let joint = if settings.collapsed {
        let sum = joint.sum_dim_intlist([0i64, 1].as_slice(), false, kind);
        (&sum / sum.sum(kind).detach()).unsqueeze(0)
    } else {
        let each = joint.flatten(0, 1);
        &each / each.sum_dim_intlist([1i64, 2].as_slice(), true, kind)
    };
    let symmetric = (&joint + joint.transpose(1, 2)) / 2.0;
    let marginal = |axis: i64| symmetric.sum_dim_intlist(axis, true, kind).clamp_min(LEAST).log();
    let entropies = (marginal(1) + marginal(2)) * settings.entropy_weight;
    let symmetric = symmetric.clamp_min(LEAST);
    let of_each =
        -(&symmetric * (symmetric.log() - entropies)).sum_dim_intlist([1i64, 2].as_slice(), false, kind);
    of_each.mean(kind)
}
