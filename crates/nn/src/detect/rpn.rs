//! The region proposal network (Ren et al. 2015): at each anchor of each map, whether there is an object and how its box differs.
//!
//! Only the head and its losses are tensors. Proposals are made from its outputs by plain functions in float64, on threads over
//! pictures.

use densesiam_geometry::Region;
use densesiam_geometry::boxes::{Anchors, Coding, Label, choose};
use densesiam_random::{Key, Purpose};
use densesiam_torch_ext::upload;
use tch::{Device, Kind, Reduction, Tensor};

use super::sampling::{Drawn, Sampling};
use super::settings::RpnSettings;
use super::{each, numbers};
use crate::encoder::Features;
use crate::layers::Convolution;
use crate::losses::loss_kind;
use crate::store::{Initial, Scope};

/// The head, which is the same at all levels.
#[derive(Debug)]
pub(super) struct Rpn {
    convolution: Convolution,
    logits: Convolution,
    deltas: Convolution,
    anchors: Vec<Anchors>,
    settings: RpnSettings,
}

/// What the head says of all anchors: by level, row, column, size and ratio.
#[derive(Debug)]
pub(super) struct Predicted {
    /// `[B, anchors]`
    logits: Tensor,
    /// `[B, anchors, 4]`
    deltas: Tensor,
    /// The anchors of each level.
    pub(super) levels: Vec<Vec<Region>>,
}

/// The anchors of a picture that a step learns from.
#[derive(Debug)]
pub(super) struct AnchorTargets {
    drawn: Drawn,
    /// The differences to the objects, of each drawn anchor that is one.
    differences: Vec<[f64; 4]>,
}

impl Rpn {
    pub(super) fn new(scope: &Scope, channels: i64, anchors: Vec<Anchors>, settings: &RpnSettings) -> Self {
        let scope = scope / "rpn_head";
        let of_cell = anchors.first().map_or(0, Anchors::count) as i64;
        let convolution = |name: &str, out: i64, kernel: i64| {
            let bias = Some(Initial::Constant(0.0));
            Convolution::of_kernel(&(&scope / name), [channels, out], kernel, Initial::Normal(0.01), bias)
        };
        Self {
            convolution: convolution("conv", channels, 3),
            logits: convolution("objectness_logits", of_cell, 1),
            deltas: convolution("anchor_deltas", 4 * of_cell, 1),
            anchors,
            settings: settings.clone(),
        }
    }

    /// For maps `[B, C, h, w]`.
    pub(super) fn forward(&self, Features { maps, strides }: &Features) -> Predicted {
        let of_maps = maps.iter().map(|map| {
            let hidden = self.convolution.forward(map).relu();
            let rows = |map: Tensor, shape: &[i64]| {
                map.to_kind(loss_kind(map.kind())).permute([0, 2, 3, 1]).reshape(shape)
            };
            let batch = map.size()[0];
            let logits = rows(self.logits.forward(&hidden), &[batch, -1]);
            (logits, rows(self.deltas.forward(&hidden), &[batch, -1, 4]))
        });
        let (logits, deltas): (Vec<_>, Vec<_>) = of_maps.unzip();
        let levels = maps.iter().zip(strides).zip(&self.anchors).map(|((map, &stride), anchors)| {
            let size = map.size();
            anchors.of_map([size[2] as usize, size[3] as usize], stride)
        });
        Predicted {
            logits: Tensor::cat(&logits, 1),
            deltas: Tensor::cat(&deltas, 1),
            levels: levels.collect(),
        }
    }

    /// The proposals of each picture, of this width and height, by falling score.
    pub(super) fn proposals(
        &self,
        predicted: &Predicted,
        sizes: &[[u32; 2]],
        training: bool,
    ) -> Vec<Vec<Region>> {
        let (pre, post) = match training {
            true => (self.settings.pre_nms[0], self.settings.post_nms[0]),
            false => (self.settings.pre_nms[1], self.settings.post_nms[1]),
        };
        // One reading from the device for all boxes of the batch.
        let of_levels: Vec<Tensor> = predicted.by_level(pre);
        let counts: Vec<usize> = of_levels.iter().map(|of_level| of_level.size()[1] as usize).collect();
        let numbers = numbers(&Tensor::cat(&of_levels, 1));
        let of_picture = numbers.len() / sizes.len().max(1);
        let (levels, nms_threshold) = (&predicted.levels, self.settings.nms_threshold);
        let coding = Coding { weights: self.settings.coding };
        each(sizes.len(), |picture| {
            let mut numbers = numbers[picture * of_picture..][..of_picture].chunks_exact(NUMBERS);
            let mut candidates = Candidates::default();
            for (level, anchors) in levels.iter().enumerate() {
                let of_level: Vec<&[f64]> = numbers.by_ref().take(counts[level]).collect();
                let size = sizes[picture].map(f64::from);
                candidates.add_best((level, anchors, coding), &of_level, pre, size);
            }
            let Candidates { boxes, scores, levels } = candidates;
            let chosen = choose(&boxes, &scores, &levels, nms_threshold, post);
            chosen.into_iter().map(|index| boxes[index]).collect()
        })
    }

    /// The losses of class and of box, each a sum over the drawn anchors divided by as many as should have been drawn of all
    /// pictures.
    pub(super) fn losses(&self, predicted: &Predicted, targets: &[AnchorTargets]) -> [Tensor; 2] {
        let of_picture = predicted.logits.size()[1];
        let places = |drawn: fn(&Drawn) -> &[usize]| -> Vec<i64> {
            let pictures = targets.iter().enumerate();
            pictures
                .flat_map(|(picture, of)| {
                    let start = picture as i64 * of_picture;
                    drawn(&of.drawn).iter().map(move |&index| start + index as i64)
                })
                .collect()
        };
        let (objects, background) = (places(|of| &of.objects), places(|of| &of.background));
        let (logits, deltas) = (predicted.logits.flatten(0, -1), predicted.deltas.reshape([-1, 4]));
        let (kind, device) = (logits.kind(), logits.device());
        let labels = [vec![1.0; objects.len()], vec![0.0; background.len()]].concat();
        let labels = upload(&labels, &[labels.len() as i64], device).to_kind(kind);
        let rows = |tensor: &Tensor, places: &[i64]| {
            tensor.index_select(0, &upload(places, &[places.len() as i64], device))
        };
        let drawn = rows(&logits, &[objects.as_slice(), &background].concat());
        let of_class =
            drawn.binary_cross_entropy_with_logits(&labels, None::<&Tensor>, None::<&Tensor>, Reduction::Sum);
        let differences: Vec<f64> =
            targets.iter().flat_map(|of| &of.differences).flatten().copied().collect();
        let differences = upload(&differences, &[objects.len() as i64, 4], device).to_kind(kind);
        let of_box = (rows(&deltas, &objects) - differences).abs().sum(kind);
        let wanted = (self.settings.batch * targets.len()).max(1) as f64;
        let [class_weight, box_weight] = self.settings.weights;
        [of_class * (class_weight / wanted), of_box * (box_weight / wanted)]
    }
}

/// Draws the anchors of a picture that are learned from.
pub(super) fn draw_anchors(
    anchors: &[Region],
    objects: &[Region],
    settings: &RpnSettings,
    sampling: Sampling,
    key: Key,
) -> AnchorTargets {
    let labels = settings.matcher().labels(anchors, objects);
    let key = Key { purpose: Purpose::Anchors, ..key };
    let coding = Coding { weights: settings.coding };
    let drawn = sampling.draw(&labels, settings.batch, settings.positive_fraction, key);
    let difference = |&index: &usize| match labels[index] {
        Label::Object(object) => coding.encode(&anchors[index], &objects[object]),
        Label::Background | Label::Ignored => [0.0; 4],
    };
    AnchorTargets { differences: drawn.objects.iter().map(difference).collect(), drawn }
}

/// What is read of an anchor: its number in its level, its logit, and four differences.
const NUMBERS: usize = 6;

impl Predicted {
    /// For each level what is read of its anchors, `[B, anchors, NUMBERS]`. From a CUDA device only the best are read, in no fixed
    /// order where their logits are equal.
    fn by_level(&self, most: usize) -> Vec<Tensor> {
        let (logits, deltas) = (self.logits.detach(), self.deltas.detach());
        let mut first = 0;
        let of_level = |anchors: &Vec<Region>| {
            let count = anchors.len() as i64;
            let (logits, deltas) = (logits.narrow(1, first, count), deltas.narrow(1, first, count));
            first += count;
            let all = || Tensor::arange(count, (Kind::Int64, logits.device())).expand_as(&logits);
            let chosen = match logits.device() {
                Device::Cuda(_) if (most as i64) < count => logits.topk(most as i64, 1, true, true).1,
                _ => return with_numbers(&all(), &logits, &deltas),
            };
            let of_chosen = deltas.gather(1, &chosen.unsqueeze(2).expand([-1, -1, 4], false), false);
            with_numbers(&chosen, &logits.gather(1, &chosen, false), &of_chosen)
        };
        self.levels.iter().map(of_level).collect()
    }
}

/// The numbers of anchors `[B, A]`, their logits and differences, as float32, in which a number below 2^24 is exact.
fn with_numbers(numbers: &Tensor, logits: &Tensor, deltas: &Tensor) -> Tensor {
    let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let columns = [numbers.unsqueeze(2), logits.unsqueeze(2), deltas.shallow_clone()];
    Tensor::cat(&columns.map(|column| column.to_kind(kind)), 2)
}

/// The boxes of a picture that may become proposals.
#[derive(Debug, Default)]
struct Candidates {
    boxes: Vec<Region>,
    scores: Vec<f64>,
    levels: Vec<usize>,
}

impl Candidates {
    /// Adds the boxes of the `most` best anchors of a level, cut to the picture, unless nothing of them is left. `numbers` has the
    /// number, the logit and the differences of each anchor.
    fn add_best(
        &mut self,
        (level, anchors, coding): (usize, &[Region], Coding),
        numbers: &[&[f64]],
        most: usize,
        size: [f64; 2],
    ) {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        let by_score =
            |one: &usize, other: &usize| numbers[*other][1].total_cmp(&numbers[*one][1]).then(one.cmp(other));
        if most < order.len() {
            order.select_nth_unstable_by(most, by_score);
            order.truncate(most);
        }
        order.sort_unstable_by(by_score);
        for index in order {
            let differences = std::array::from_fn(|number| numbers[index][2 + number]);
            let anchor = &anchors[numbers[index][0] as usize];
            let region = coding.decode(anchor, differences).clipped(size);
            if region.width() > 0.0 && region.height() > 0.0 {
                self.boxes.push(region);
                self.scores.push(numbers[index][1]);
                self.levels.push(level);
            }
        }
    }
}
