//! Which detection of a picture found which object.

use densesiam_geometry::Xywh;
use densesiam_geometry::mask::RunLengths;

use super::{AREAS, Cell, ClassCounts, Detection, EvaluationError, Judged, Kind, MOST, Ranking, Truth};
use super::{bit, thresholds};

/// The class of the cell, its objects, and what became of its detections.
pub(super) fn judge(cell: &Cell<'_>, kind: Kind) -> Result<(usize, ClassCounts), EvaluationError> {
    let mut detections = cell.detections.to_vec();
    // Both zeros are one score.
    detections.sort_by(|a, b| (b.score + 0.0).total_cmp(&(a.score + 0.0)));
    detections.truncate(MOST[MOST.len() - 1] as usize);
    let (overlaps, areas) = match kind {
        Kind::Boxes => box_overlaps(cell.truths, &detections),
        Kind::Masks => mask_overlaps(cell.picture, cell.truths, &detections)?,
    };
    let judged = |(rank, detection): (usize, &&Detection)| Judged {
        score: detection.score + 0.0,
        picture: cell.picture,
        rank: rank as u32,
        hit: 0,
        ignored: 0,
    };
    let mut ranking = Ranking(detections.iter().enumerate().map(judged).collect());
    let mut objects = [0; AREAS.len()];
    for (area, range) in AREAS.iter().enumerate() {
        let outside = |value: f64| value < range[0] || value > range[1];
        let ignored: Vec<bool> = cell.truths.iter().map(|truth| truth.crowd || outside(truth.area)).collect();
        objects[area] = ignored.iter().filter(|ignored| !**ignored).count();
        let candidates = Candidates::new(cell.truths, ignored);
        for (threshold, least) in thresholds().into_iter().enumerate() {
            let bit = 1 << bit(area, threshold);
            let mut taken = vec![false; cell.truths.len()];
            for (detection, judged) in ranking.0.iter_mut().enumerate() {
                let found = candidates.best(&overlaps[detection], least, &taken);
                match found {
                    Some(truth) => {
                        taken[truth] = true;
                        judged.hit |= bit;
                        judged.ignored |= if candidates.ignored[truth] { bit } else { 0 };
                    }
                    None => judged.ignored |= if outside(areas[detection]) { bit } else { 0 },
                }
            }
        }
    }
    Ok((cell.class, ClassCounts { objects, ranking }))
}

/// The objects that detections are compared with: first those that count, then those that do not.
struct Candidates {
    order: Vec<usize>,
    crowd: Vec<bool>,
    ignored: Vec<bool>,
}

impl Candidates {
    fn new(truths: &[&Truth], ignored: Vec<bool>) -> Self {
        let mut order: Vec<usize> = (0..truths.len()).collect();
        order.sort_by_key(|&truth| ignored[truth]);
        Self { order, crowd: truths.iter().map(|truth| truth.crowd).collect(), ignored }
    }

    /// The object with the best overlap of at least `least`, the last of equal ones. One that counts is preferred to any that
    /// does not, and one that is taken is left out, unless it is a crowd.
    fn best(&self, overlaps: &[f64], least: f64, taken: &[bool]) -> Option<usize> {
        // So that an overlap of 1 that was rounded down reaches a threshold of 1.
        let mut least = least.min(1.0 - 1e-10);
        let mut best: Option<usize> = None;
        for &truth in &self.order {
            if self.ignored[truth] && best.is_some_and(|best| !self.ignored[best]) {
                break;
            }
            if overlaps[truth] >= least && (!taken[truth] || self.crowd[truth]) {
                least = overlaps[truth];
                best = Some(truth);
            }
        }
        best
    }
}

/// The overlaps of each detection with each truth, and the area of each detection.
type Overlaps = (Vec<Vec<f64>>, Vec<f64>);

fn box_overlaps(truths: &[&Truth], detections: &[&Detection]) -> Overlaps {
    let row = |detection: &&Detection| {
        truths.iter().map(|truth| detection.bbox.iou(&truth.bbox, truth.crowd)).collect()
    };
    let areas = detections.iter().map(|detection| detection.bbox.area());
    (detections.iter().map(row).collect(), areas.collect())
}

fn mask_overlaps(
    picture: usize,
    truths: &[&Truth],
    detections: &[&Detection],
) -> Result<Overlaps, EvaluationError> {
    let no_mask = || EvaluationError::NoMask { picture };
    let crowd: Vec<bool> = truths.iter().map(|truth| truth.crowd).collect();
    let truths = measured(truths.iter().map(|truth| &truth.mask)).ok_or_else(no_mask)?;
    let detections = measured(detections.iter().map(|detection| &detection.mask)).ok_or_else(no_mask)?;
    let sizes = || truths.iter().chain(&detections).map(|mask| mask.runs.size());
    if let Some(one) = sizes().next()
        && let Some(other) = sizes().find(|size| *size != one)
    {
        return Err(EvaluationError::MaskSize { picture, one, other });
    }
    let row = |detection: &Measured<'_>| {
        truths.iter().zip(&crowd).map(|(truth, &crowd)| detection.iou(truth, crowd)).collect()
    };
    Ok((detections.iter().map(row).collect(), detections.iter().map(|mask| mask.area).collect()))
}

fn measured<'m>(masks: impl Iterator<Item = &'m Option<RunLengths>>) -> Option<Vec<Measured<'m>>> {
    masks.map(|mask| mask.as_ref().map(Measured::new)).collect()
}

/// A mask whose area and box are known, because most masks of a picture lie apart.
struct Measured<'m> {
    runs: &'m RunLengths,
    area: f64,
    bbox: Xywh,
}

impl<'m> Measured<'m> {
    fn new(runs: &'m RunLengths) -> Self {
        Self { runs, area: runs.area().into(), bbox: runs.bounding_box() }
    }

    /// As [`RunLengths::iou`], of masks of one size.
    fn iou(&self, truth: &Self, crowd: bool) -> f64 {
        if self.bbox.iou(&truth.bbox, false) == 0.0 {
            return 0.0;
        }
        let common = self.runs.common_area(truth.runs).map_or(0.0, f64::from);
        let union = if crowd { self.area } else { self.area + truth.area - common };
        if common > 0.0 { common / union } else { 0.0 }
    }
}
