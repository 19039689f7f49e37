//! PASCAL VOC's average precision, as detectron2 computes it at ten thresholds.

use std::collections::BTreeSet;

use densesiam_geometry::{Region, Xywh};
use serde::{Deserialize, Serialize};

use super::cells::{Cell, check_new, checked, judge_cells};
use super::curve::Curve;
use super::ranking::{Judged, Ranking, Reached, interpolated};
use super::{Detection, EvaluationError, Truth};

/// IoU thresholds: 0.5, 0.55, ..., 0.95.
const THRESHOLDS: usize = 10;

/// How precision over recall becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VocRule {
    /// The mean of the precision at eleven points of recall: the rule of VOC 2007, and of published figures on it.
    ElevenPoint,
    /// The area below the curve: the rule from VOC 2010 on.
    Area,
}

/// What happens to detections before they are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Scores get three decimals and boxes one, as detectron2 writes them to its files; published figures have it.
    Detectron2,
    /// Nothing.
    Exact,
}

/// Collects what VOC's figures are computed from; see the [module](super). Boxes count whole pixels: a box from 3 to 5 is
/// three pixels wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VocEvaluator {
    rule: VocRule,
    rounding: Rounding,
    pictures: BTreeSet<usize>,
    classes: Vec<ClassCounts>,
}

/// What was seen of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ClassCounts {
    /// Objects that are not difficult.
    objects: usize,
    ranking: Ranking,
}

/// VOC's figures. Fractions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VocScores {
    /// How precision over recall became one number.
    pub rule: VocRule,
    /// What happened to detections before.
    pub rounding: Rounding,
    /// AP of each class at IoU 0.5, 0.55, ..., 0.95. A class that is never detected has 0; `None` for one that is detected
    /// but has no object to be found, by the area rule (0 by the eleven points).
    pub class_ap: Vec<[Option<f64>; THRESHOLDS]>,
    /// Precision over recall of each class at an IoU of 0.5; `None` for a class without an object to be found.
    #[serde(skip)]
    pub curves: Vec<Option<Curve>>,
}

impl VocEvaluator {
    /// An evaluator of `classes` classes that has seen nothing.
    pub fn new(classes: usize, rule: VocRule, rounding: Rounding) -> Self {
        Self { rule, rounding, pictures: BTreeSet::new(), classes: vec![ClassCounts::default(); classes] }
    }

    /// Compares the detections in some pictures with their truth. Every picture is given once, with all of its objects;
    /// a picture without any need not be given.
    ///
    /// # Errors
    /// A [`EvaluationError`] for what cannot be scored; nothing is counted then.
    pub fn update(&mut self, truths: &[Truth], detections: &[Detection]) -> Result<(), EvaluationError> {
        let pictures = checked(truths, detections, self.classes.len())?;
        check_new(&self.pictures, &pictures)?;
        let rounding = self.rounding;
        for (class, counts) in judge_cells(truths, detections, |cell| judge(&cell, rounding)) {
            self.classes[class].add(counts);
        }
        self.pictures.extend(pictures);
        Ok(())
    }

    /// Adds what another evaluator has seen of other pictures.
    ///
    /// # Errors
    /// [`EvaluationError::Unlike`] and [`EvaluationError::Twice`], if they do not belong together.
    pub fn merge(&mut self, other: Self) -> Result<(), EvaluationError> {
        let kind = |evaluator: &Self| (evaluator.rule, evaluator.rounding, evaluator.classes.len());
        if kind(self) != kind(&other) {
            let what = |evaluator: &Self| {
                let (rule, rounding, classes) = kind(evaluator);
                format!("VOC's boxes ({rule:?}, {rounding:?}) in {classes} classes")
            };
            return Err(EvaluationError::Unlike { one: what(self), other: what(&other) });
        }
        check_new(&self.pictures, &other.pictures)?;
        for (own, others) in self.classes.iter_mut().zip(other.classes) {
            own.add(others);
        }
        self.pictures.extend(other.pictures);
        Ok(())
    }

    /// The figures over all pictures.
    pub fn finish(mut self) -> VocScores {
        self.classes.iter_mut().for_each(|class| class.ranking.sort());
        let ap = |class: &ClassCounts| std::array::from_fn(|threshold| class.ap(threshold, self.rule));
        let curve = |class: &ClassCounts| (class.objects > 0).then(|| Curve::through(&class.reached(0)));
        VocScores {
            rule: self.rule,
            rounding: self.rounding,
            class_ap: self.classes.iter().map(ap).collect(),
            curves: self.classes.iter().map(curve).collect(),
        }
    }
}

impl VocScores {
    /// The mean of each class over all thresholds.
    pub fn class_mean(&self) -> Vec<Option<f64>> {
        self.class_ap.iter().map(|ap| mean(ap.iter().copied())).collect()
    }

    /// The mean over classes of their AP, over all thresholds (`AP`), at 0.5 (`AP50`) and 0.75 (`AP75`); the first is the
    /// headline. `None` if one of the classes has none, as published: a mean over fewer classes would be another figure.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 3] {
        let at = |threshold: usize| mean(self.class_ap.iter().map(|class| class[threshold]));
        [("AP", mean((0..THRESHOLDS).map(at))), ("AP50", at(0)), ("AP75", at(5))]
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl ClassCounts {
    fn add(&mut self, more: Self) {
        self.objects += more.objects;
        self.ranking.0.extend(more.ranking.0);
    }

    /// Recall and precision down the ranking; recall is no number if there is no object to be found.
    fn reached(&self, threshold: usize) -> Vec<Reached> {
        let reached = |[hits, misses]: [u32; 2]| Reached {
            recall: f64::from(hits) / self.objects as f64,
            precision: f64::from(hits) / f64::from(hits + misses),
        };
        self.ranking.counts(threshold).map(reached).collect()
    }

    fn ap(&self, threshold: usize, rule: VocRule) -> Option<f64> {
        let reached = self.reached(threshold);
        match rule {
            VocRule::ElevenPoint => {
                // 3 * 0.1 is more than 0.3, so that a recall of exactly 0.3 does not reach the fourth point.
                let points: Vec<f64> = (0..11).map(|point| f64::from(point) * 0.1).collect();
                Some(interpolated(&reached, &points).iter().sum::<f64>() / 11.0)
            }
            VocRule::Area if self.objects == 0 && !reached.is_empty() => None,
            VocRule::Area => Some(area_below(&reached)),
        }
    }
}

/// The sum over the steps of recall of the best precision at or behind each.
fn area_below(reached: &[Reached]) -> f64 {
    let (mut area, mut best) = (0.0, 0.0_f64);
    for (place, Reached { recall, precision }) in reached.iter().enumerate().rev() {
        best = best.max(*precision);
        area += (recall - place.checked_sub(1).map_or(0.0, |before| reached[before].recall)) * best;
    }
    area
}

/// A box by its first and last pixels, from 1.
struct Pixels(Region);

impl Pixels {
    fn of(bbox: Xywh) -> Self {
        let corners = Region::from(bbox);
        Self(Region { x0: corners.x0 + 1.0, y0: corners.y0 + 1.0, ..corners })
    }

    /// As detectron2 writes a box to its file: it adds 1 to a float of single precision.
    fn rounded(bbox: Xywh) -> Self {
        let corners = Region::from(bbox);
        let first = |value: f64| f64::from(value as f32 + 1.0);
        Self(Region {
            x0: decimals::<1>(first(corners.x0)),
            y0: decimals::<1>(first(corners.y0)),
            x1: decimals::<1>(corners.x1),
            y1: decimals::<1>(corners.y1),
        })
    }

    fn area(&self) -> f64 {
        (self.0.width() + 1.0) * (self.0.height() + 1.0)
    }

    fn iou(&self, other: &Self) -> f64 {
        let (one, two) = (&self.0, &other.0);
        let width = (one.x1.min(two.x1) - one.x0.max(two.x0) + 1.0).max(0.0);
        let height = (one.y1.min(two.y1) - one.y0.max(two.y0) + 1.0).max(0.0);
        let common = width * height;
        common / (self.area() + other.area() - common)
    }
}

/// The number that is printed with so many decimals.
fn decimals<const N: usize>(value: f64) -> f64 {
    format!("{value:.N$}").parse().unwrap_or(value)
}

fn judge(cell: &Cell<'_>, rounding: Rounding) -> (usize, ClassCounts) {
    let found = |detection: &&Detection| match rounding {
        Rounding::Detectron2 => (decimals::<3>(detection.score), Pixels::rounded(detection.bbox)),
        Rounding::Exact => (detection.score, Pixels::of(detection.bbox)),
    };
    let mut detections: Vec<(f64, Pixels)> = cell.detections.iter().map(found).collect();
    // Both zeros are one score.
    detections.iter_mut().for_each(|(score, _)| *score += 0.0);
    detections.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let truths: Vec<Pixels> = cell.truths.iter().map(|truth| Pixels::of(truth.bbox)).collect();
    let mut taken = vec![0_u64; truths.len()];
    let judged = |(rank, (score, pixels)): (usize, &(f64, Pixels))| {
        let mut judged =
            Judged { score: *score, picture: cell.picture, rank: rank as u32, hit: 0, ignored: 0 };
        let overlaps = truths.iter().map(|truth| pixels.iou(truth)).enumerate();
        // The first of the best ones.
        let Some((truth, overlap)) = overlaps.reduce(|best, next| if next.1 > best.1 { next } else { best })
        else {
            return judged;
        };
        let reached = (0..THRESHOLDS).filter(|&threshold| overlap > (50 + 5 * threshold) as f64 / 100.0);
        let reached = reached.fold(0, |bits, threshold| bits | 1_u64 << threshold);
        if cell.truths[truth].difficult {
            judged.ignored = reached;
        } else {
            judged.hit = reached & !taken[truth];
            taken[truth] |= reached;
        }
        judged
    };
    let ranking = Ranking(detections.iter().enumerate().map(judged).collect());
    let objects = cell.truths.iter().filter(|truth| !truth.difficult).count();
    (cell.class, ClassCounts { objects, ranking })
}
