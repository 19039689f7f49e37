//! The score of a file of detections.

use std::path::Path;

use densesiam_metrics::detection::{CocoEvaluator, CocoScores, EvaluationError, Kind};

use super::survey::leaves;
use super::{CocoError, CocoFault, CocoFile, CocoFindings, read_coco_results};

/// How a file of detections scored.
#[derive(Clone, Debug)]
pub struct CocoScored {
    /// The figures.
    pub scores: CocoScores,
    /// Names of the classes, in the order of the scores.
    pub classes: Vec<String>,
    /// Pictures of the ground truth.
    pub pictures: usize,
    /// Objects of the ground truth.
    pub objects: usize,
    /// Detections of the file.
    pub detections: usize,
    /// How many of them have a box that leaves its picture by more than a pixel.
    pub outside: usize,
    /// What is odd about the ground truth.
    pub findings: CocoFindings,
}

/// Why a file of detections was not scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// One of the files cannot be used.
    #[error(transparent)]
    File(#[from] CocoError),
    /// The detections cannot be scored.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
}

/// Scores the file of detections at `detections` (COCO's results) by the ground truth at `ground_truth` (COCO's JSON), as
/// pycocotools does.
///
/// # Errors
/// A [`ScoreError`] that names the file, and what is wrong with it.
pub fn score(ground_truth: &Path, detections: &Path, kind: Kind) -> Result<CocoScored, ScoreError> {
    let file = CocoFile::<f64>::open(ground_truth)?;
    let detections = read_coco_results(detections, &file, kind)?;
    let of_truth = |fault: CocoFault| CocoError { path: ground_truth.into(), fault };
    let truths = file.truths(kind).map_err(of_truth)?;
    let mut evaluator = CocoEvaluator::new(file.categories().len(), kind);
    evaluator.update(&truths, &detections)?;
    let outside = detections.iter().filter(|found| {
        let [height, width] = file.size(found.picture);
        leaves(&found.bbox.into(), [width, height])
    });
    Ok(CocoScored {
        outside: outside.count(),
        scores: evaluator.finish(),
        classes: file.categories().iter().map(|category| category.name.clone()).collect(),
        pictures: file.pictures().len(),
        objects: truths.len(),
        detections: detections.len(),
        findings: file.findings().clone(),
    })
}
