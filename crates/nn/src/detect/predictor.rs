//! The second stage's predictor: the class of each box, and how its edges move for each class.

use densesiam_geometry::Region;
use densesiam_geometry::boxes::{Coding, Label, choose};
use densesiam_random::{Key, Purpose};
use densesiam_torch_ext::upload;
use tch::{Reduction, Tensor};

use super::sampling::Sampling;
use super::settings::RoiSettings;
use super::{Object, numbers};
use crate::layers::Linear;
use crate::losses::loss_kind;
use crate::store::{Initial, Scope};

/// A box of a picture that a step learns from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Roi {
    pub(super) region: Region,
    /// The index of the object among those of the picture, unless it is background.
    pub(super) object: Option<usize>,
}

/// Draws the boxes of a picture that are learned from, among the proposals and the objects' own boxes; objects first.
pub(super) fn draw_rois(
    mut boxes: Vec<Region>,
    objects: &[Region],
    settings: &RoiSettings,
    sampling: Sampling,
    key: Key,
) -> Vec<Roi> {
    boxes.extend(objects);
    let labels = settings.matcher().labels(&boxes, objects);
    let key = Key { purpose: Purpose::RegionsOfInterest, ..key };
    let drawn = sampling.draw(&labels, settings.batch, settings.positive_fraction, key);
    let roi = |index: usize| {
        let object = match labels[index] {
            Label::Object(object) => Some(object),
            Label::Background | Label::Ignored => None,
        };
        Roi { region: boxes[index], object }
    };
    drawn.objects.into_iter().chain(drawn.background).map(roi).collect()
}

/// A box that was detected, in pixels of the picture as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) region: Region,
    pub(super) score: f64,
    pub(super) class: usize,
}

/// Two linear layers on the values of each box.
#[derive(Debug)]
pub(super) struct Predictor {
    logits: Linear,
    deltas: Linear,
    classes: i64,
    coding: Coding,
}

impl Predictor {
    /// Below `scope`, for values `[boxes, channels]`. The last logit is that of the background.
    pub(super) fn new(scope: &Scope, channels: i64, classes: i64, settings: &RoiSettings) -> Self {
        let linear = |name: &str, out: i64, deviation: f64| {
            let bias = Some(Initial::Constant(0.0));
            Linear::with(&(scope / name), [channels, out], Initial::Normal(deviation), bias)
        };
        Self {
            logits: linear("cls_score", classes + 1, 0.01),
            deltas: linear("bbox_pred", 4 * classes, 0.001),
            classes,
            coding: Coding { weights: settings.coding },
        }
    }

    /// The logits `[boxes, classes + 1]` and the differences `[boxes, 4 classes]`, in the kind of the losses.
    fn forward(&self, values: &Tensor) -> [Tensor; 2] {
        [&self.logits, &self.deltas].map(|layer| {
            let rows = layer.forward(values);
            rows.to_kind(loss_kind(rows.kind()))
        })
    }

    /// The losses of class and of box, as sums over boxes.
    pub(super) fn losses(&self, values: &Tensor, rois: &[Vec<Roi>], objects: &[Vec<Object>]) -> [Tensor; 2] {
        let [logits, deltas] = self.forward(values);
        let (kind, device) = (logits.kind(), logits.device());
        let mut classes = Vec::new();
        let (mut rows, mut differences) = (Vec::new(), Vec::new());
        for (rois, objects) in rois.iter().zip(objects) {
            for roi in rois {
                if let Some(object) = roi.object.map(|index| &objects[index]) {
                    // The row of the object's class, if every class of every box had one.
                    rows.push(classes.len() as i64 * self.classes + object.class as i64);
                    differences.extend(self.coding.encode(&roi.region, &object.region));
                }
                classes.push(roi.object.map_or(self.classes, |index| objects[index].class as i64));
            }
        }
        let classes = upload(&classes, &[classes.len() as i64], device);
        let of_class = logits.cross_entropy_loss(&classes, None::<&Tensor>, Reduction::Sum, -100, 0.0);
        let differences = upload(&differences, &[rows.len() as i64, 4], device).to_kind(kind);
        let rows = upload(&rows, &[rows.len() as i64], device);
        let of_box = (deltas.reshape([-1, 4]).index_select(0, &rows) - differences).abs().sum(kind);
        [of_class, of_box]
    }

    /// The boxes that are detected, by falling score, in each picture, where `proposals` have these values.
    pub(super) fn detections(
        &self,
        values: &Tensor,
        proposals: &[Vec<Region>],
        sizes: &[[u32; 2]],
        settings: &RoiSettings,
    ) -> Vec<Vec<Found>> {
        let [logits, deltas] = self.forward(values);
        let scores = numbers(&logits.softmax(1, logits.kind()));
        let deltas = numbers(&deltas);
        let classes = self.classes as usize;
        let mut rows = scores.chunks_exact(classes + 1).zip(deltas.chunks_exact(4 * classes));
        let of_picture = |(proposals, size): (&Vec<Region>, &[u32; 2])| {
            let mut candidates: (Vec<Region>, Vec<f64>, Vec<usize>) = Default::default();
            for (proposal, (scores, deltas)) in proposals.iter().zip(rows.by_ref()) {
                for (class, differences) in deltas.chunks_exact(4).enumerate() {
                    if scores[class] > settings.score_threshold {
                        let differences = std::array::from_fn(|number| differences[number]);
                        candidates
                            .0
                            .push(self.coding.decode(proposal, differences).clipped(size.map(f64::from)));
                        candidates.1.push(scores[class]);
                        candidates.2.push(class);
                    }
                }
            }
            let (boxes, scores, classes) = candidates;
            let chosen = choose(&boxes, &scores, &classes, settings.nms_threshold, settings.detections);
            let found =
                |index: usize| Found { region: boxes[index], score: scores[index], class: classes[index] };
            chosen.into_iter().map(found).collect()
        };
        proposals.iter().zip(sizes).map(of_picture).collect()
    }
}

/// Zero for both losses of a batch without any box.
pub(super) fn no_losses(like: &Tensor) -> [Tensor; 2] {
    let zero = || Tensor::zeros([0i64; 0], (loss_kind(like.kind()), like.device()));
    [zero(), zero()]
}
