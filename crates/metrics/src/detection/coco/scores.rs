//! The figures of COCO.

use serde::Serialize;

use super::super::ranking::interpolated;
use super::{AREAS, ClassCounts, Curve, Kind, MOST, THRESHOLDS, bit};

/// All areas, which is the first range.
const ALL: usize = 0;
/// The largest number of detections.
const MOST_OF_ALL: usize = MOST.len() - 1;

/// COCO's figures. Fractions; `None` where no object of a class and a range of areas is to be found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoScores {
    /// What was compared.
    pub kind: Kind,
    classes: usize,
    /// For each threshold, class and range of areas, at the largest number of detections, the precision at each recall of
    /// [`Curve::recall`].
    #[serde(skip)]
    precision: Vec<Option<Vec<f64>>>,
    /// For each threshold, class, range of areas and number of detections.
    #[serde(skip)]
    recall: Vec<Option<f64>>,
    /// The twelve figures by name; see [`CocoScores::figures`].
    figures: Vec<(&'static str, Option<f64>)>,
    /// AP of each class, over all thresholds.
    pub class_ap: Vec<Option<f64>>,
    /// AP of each class at an IoU of 0.5.
    pub class_ap50: Vec<Option<f64>>,
}

impl CocoScores {
    pub(super) fn new(kind: Kind, classes: &[ClassCounts]) -> Self {
        let (mut precision, mut recall) = (Vec::new(), Vec::new());
        let points = Curve::recall();
        for threshold in 0..THRESHOLDS {
            for class in classes {
                for area in 0..AREAS.len() {
                    let objects = class.objects[area];
                    let any = objects > 0;
                    precision.push(any.then(|| interpolated(&class.reached(area, threshold), &points)));
                    let hits = |most| class.ranking.hits(bit(area, threshold), most) as f64;
                    recall.extend(MOST.map(|most| any.then(|| hits(most) / objects as f64)));
                }
            }
        }
        let mut scores = Self {
            kind,
            classes: classes.len(),
            precision,
            recall,
            figures: Vec::new(),
            class_ap: Vec::new(),
            class_ap50: Vec::new(),
        };
        scores.figures = scores.summary();
        let class = |class: usize| class..class + 1;
        scores.class_ap = (0..classes.len()).map(|c| scores.ap(0..THRESHOLDS, class(c), ALL)).collect();
        scores.class_ap50 = (0..classes.len()).map(|c| scores.ap(0..1, class(c), ALL)).collect();
        scores
    }

    /// The twelve figures in COCO's order, each with its name; the first is the headline. `AP` is the mean of the precision
    /// over thresholds, points of recall and classes, `AP50` and `AP75` that at one threshold, `APs`, `APm` and `APl` that of
    /// small, medium and large objects; `AR1`, `AR10`, `AR100` is the mean recall of so many detections of a class in a
    /// picture, `ARs`, `ARm` and `ARl` that of 100 for small, medium and large objects.
    pub fn figures(&self) -> &[(&'static str, Option<f64>)] {
        &self.figures
    }

    /// The precision, at recall `point` hundredths, of a class at threshold `0.5 + 0.05 * threshold`, all areas, 100
    /// detections. Panics when one is out of range.
    pub fn precision(&self, threshold: usize, point: usize, class: usize) -> Option<f64> {
        self.precision[self.place(threshold, class, ALL)].as_ref().map(|precision| precision[point])
    }

    /// The recall of a class at threshold `0.5 + 0.05 * threshold`, of all, small, medium and large objects (`area` 0 to 3)
    /// by the best 1, 10 and 100 detections of a picture (`most` 0 to 2). Panics when one is out of range.
    pub fn recall(&self, threshold: usize, class: usize, area: usize, most: usize) -> Option<f64> {
        assert!(most < MOST.len(), "no number of detections {most}");
        self.recall[self.place(threshold, class, area) * MOST.len() + most]
    }

    /// Precision over recall of a class, at an IoU of 0.5; `None` for a class without objects.
    pub fn curve(&self, class: usize) -> Option<Curve> {
        let precision = self.precision[self.place(0, class, ALL)].clone();
        precision.map(|precision| Curve { precision })
    }

    fn place(&self, threshold: usize, class: usize, area: usize) -> usize {
        assert!(threshold < THRESHOLDS && class < self.classes && area < AREAS.len(), "no such score");
        (threshold * self.classes + class) * AREAS.len() + area
    }

    fn ap(
        &self,
        thresholds: std::ops::Range<usize>,
        classes: std::ops::Range<usize>,
        area: usize,
    ) -> Option<f64> {
        let places = thresholds.flat_map(|threshold| classes.clone().map(move |class| (threshold, class)));
        let curves = places
            .filter_map(|(threshold, class)| self.precision[self.place(threshold, class, area)].as_ref());
        mean(curves.flatten().copied())
    }

    fn ar(&self, area: usize, most: usize) -> Option<f64> {
        let places =
            (0..THRESHOLDS).flat_map(|threshold| (0..self.classes).map(move |class| (threshold, class)));
        mean(places.filter_map(|(threshold, class)| self.recall(threshold, class, area, most)))
    }

    fn summary(&self) -> Vec<(&'static str, Option<f64>)> {
        let ap = |thresholds, area| self.ap(thresholds, 0..self.classes, area);
        let [at_50, at_75] = [0, 5];
        vec![
            ("AP", ap(0..THRESHOLDS, ALL)),
            ("AP50", ap(at_50..at_50 + 1, ALL)),
            ("AP75", ap(at_75..at_75 + 1, ALL)),
            ("APs", ap(0..THRESHOLDS, 1)),
            ("APm", ap(0..THRESHOLDS, 2)),
            ("APl", ap(0..THRESHOLDS, 3)),
            ("AR1", self.ar(ALL, 0)),
            ("AR10", self.ar(ALL, 1)),
            ("AR100", self.ar(ALL, MOST_OF_ALL)),
            ("ARs", self.ar(1, MOST_OF_ALL)),
            ("ARm", self.ar(2, MOST_OF_ALL)),
            ("ARl", self.ar(3, MOST_OF_ALL)),
        ]
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
