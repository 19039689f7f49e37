//! Evaluation of a detector: every picture by itself, its boxes at its own size, and average precision over the whole set.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::detection::{DetectionReader, DetectionReading, DetectionSet, write_voc_results};
use densesiam_data::order::Part;
use densesiam_geometry::Xywh;
use densesiam_metrics::detection::{
    CocoEvaluator, CocoScores, Curve, Detection, EvaluationError, Kind, Rounding, Truth, VocEvaluator,
    VocRule, VocScores,
};
use densesiam_metrics::percent;
use densesiam_nn::Group;
use densesiam_nn::detect::Detector;
use densesiam_nn::input::Input;
use serde_json::{Value, json};

use super::{multiple, padded};
use crate::error::Error;
use crate::file::write_bytes;
use crate::recipe::transfer::detection::{DetectionRecipe, Metric};
use crate::run::{all_succeed, exchange};

/// What a detector has found in a set, and how good that is.
#[derive(Debug)]
pub struct DetectionEvaluation {
    scores: Scores,
    /// Everything found, in the order of the set.
    pub detections: Vec<Detection>,
}

#[derive(Debug)]
enum Scores {
    Voc(VocScores),
    Coco(CocoScores),
}

/// Compares pictures with their truth, by one rule.
enum Evaluator {
    Voc(VocEvaluator),
    Coco(CocoEvaluator),
}

/// Detects objects in every picture of a set, and scores them. Each process of the group has a part of the pictures, and all
/// have the scores of the whole set.
///
/// # Errors
/// When a picture cannot be read.
pub fn evaluate(
    set: &Arc<DetectionSet>,
    reading: &DetectionReading,
    recipe: &DetectionRecipe,
    (detector, input): (&Detector, &Input),
    (group, step): (&Group, u64),
) -> Result<DetectionEvaluation, Error> {
    let own = detect(set, reading, multiple(&recipe.model), (detector, input), group);
    let detections = of_all(group, step, all_succeed(group, own)?)?;
    let mut evaluator = Evaluator::new(recipe.evaluate.metric, set.classes.len());
    evaluator.update(&truths(set), &detections).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(DetectionEvaluation { scores: evaluator.finish(), detections })
}

/// What all processes have found, in the order of the set.
fn of_all(group: &Group, step: u64, own: Vec<Detection>) -> Result<Vec<Detection>, Error> {
    if group.is_alone() {
        return Ok(own);
    }
    let written = |found: Detection| (found.picture, found.class, found.score, <[f64; 4]>::from(found.bbox));
    let own: Vec<_> = own.into_iter().map(written).collect();
    let all = exchange(group, &format!("detections/{step}"), &own).map_err(Error::Elsewhere)?;
    let read = |(picture, class, score, bbox): (usize, usize, f64, [f64; 4])| Detection {
        picture,
        class,
        score,
        bbox: bbox.into(),
        mask: None,
    };
    let mut detections: Vec<Detection> = all.into_iter().flatten().map(read).collect();
    // Stable, so that those of a picture keep their order.
    detections.sort_by_key(|detection| detection.picture);
    Ok(detections)
}

fn detect(
    set: &Arc<DetectionSet>,
    reading: &DetectionReading,
    multiple: u32,
    (detector, input): (&Detector, &Input),
    group: &Group,
) -> Result<Vec<Detection>, Error> {
    let part = Part { number: group.rank(), parts: group.world() };
    let mut detections = Vec::new();
    for batch in DetectionReader::new(Arc::clone(set), DetectionReading { part, ..*reading })? {
        let batch = batch?;
        let sizes = vec![batch.size; batch.samples.len()];
        let pixels = batch.images.chunks_exact(batch.images.len() / sizes.len());
        let whole = batch.size.map(|side| side.next_multiple_of(multiple));
        let found = detector.detect(&padded(input, pixels, &sizes, whole), &sizes);
        for (place, found) in found.into_iter().enumerate() {
            let (picture, own) = (batch.samples[place], batch.picture_sizes[place]);
            let found = found.iter().filter_map(|found| found.resized(batch.size, own));
            detections.extend(found.map(|found| Detection {
                picture,
                class: found.class,
                score: found.score,
                bbox: Xywh::from(found.region),
                mask: None,
            }));
        }
    }
    Ok(detections)
}

/// The objects of a set, as an evaluator takes them.
pub fn truths(set: &DetectionSet) -> Vec<Truth> {
    let of_picture = |picture: usize| {
        set.objects(picture).iter().map(move |object| Truth {
            picture,
            class: object.class,
            bbox: Xywh::from(object.bbox),
            mask: None,
            area: object.area,
            crowd: object.crowd,
            difficult: object.difficult,
        })
    };
    (0..set.len()).flat_map(of_picture).collect()
}

impl Evaluator {
    fn new(metric: Metric, classes: usize) -> Self {
        let voc = |rule| Self::Voc(VocEvaluator::new(classes, rule, Rounding::Detectron2));
        match metric {
            Metric::Voc2007 => voc(VocRule::ElevenPoint),
            Metric::Voc2012 => voc(VocRule::Area),
            Metric::Coco => Self::Coco(CocoEvaluator::new(classes, Kind::Boxes)),
        }
    }

    fn update(&mut self, truths: &[Truth], detections: &[Detection]) -> Result<(), EvaluationError> {
        match self {
            Self::Voc(evaluator) => evaluator.update(truths, detections),
            Self::Coco(evaluator) => evaluator.update(truths, detections),
        }
    }

    fn finish(self) -> Scores {
        match self {
            Self::Voc(evaluator) => Scores::Voc(evaluator.finish()),
            Self::Coco(evaluator) => Scores::Coco(evaluator.finish()),
        }
    }
}

impl Scores {
    /// All figures, the headline first.
    fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Voc(scores) => scores.figures().into(),
            Self::Coco(scores) => scores.figures().to_vec(),
        }
    }

    /// AP at an IoU of 0.5 of each class.
    fn class_ap50(&self) -> Vec<Option<f64>> {
        match self {
            Self::Voc(scores) => scores.class_ap.iter().map(|ap| ap[0]).collect(),
            Self::Coco(scores) => scores.class_ap50.clone(),
        }
    }

    /// Precision over recall of each class at an IoU of 0.5.
    fn curves(&self) -> Vec<Option<Curve>> {
        match self {
            Self::Voc(scores) => scores.curves.clone(),
            Self::Coco(scores) => (0..scores.class_ap.len()).map(|class| scores.curve(class)).collect(),
        }
    }
}

impl DetectionEvaluation {
    /// AP over all thresholds, a fraction; 0 if there is none.
    pub fn headline(&self) -> f64 {
        self.scores.figures().first().and_then(|(_, figure)| *figure).unwrap_or_default()
    }

    /// The figures, and AP and precision over recall of each class, as one line of `evaluations.jsonl`.
    pub fn to_json(&self, step: u64, set: &DetectionSet) -> Value {
        let precision = |curve: Option<Curve>| curve.map(|curve| curve.precision);
        let mut value = json!({
            "step": step,
            "classes": set.classes,
            "class_AP50": self.scores.class_ap50(),
            "recall": Curve::recall(),
            "class_precision": self.scores.curves().into_iter().map(precision).collect::<Vec<_>>(),
        });
        for (name, figure) in self.scores.figures() {
            value[name] = json!(figure);
        }
        value
    }

    /// Writes what was found into a folder, in COCO's form as `results.json`, with names of pictures beside their numbers and
    /// numbers of categories from 1, and in that of VOC, a file for each class.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path, set: &DetectionSet) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        let result = |found: &Detection| {
            let Xywh { x, y, width, height } = found.bbox;
            json!({
                "image_id": found.picture,
                "file_name": set.picture(found.picture).to_string(),
                "category_id": found.class + 1,
                "category": set.classes[found.class],
                "bbox": [x, y, width, height],
                "score": found.score,
            })
        };
        let results: Vec<Value> = self.detections.iter().map(result).collect();
        let text = serde_json::to_vec(&results).map_err(|error| Error::Internal(error.to_string()))?;
        write_bytes(&folder.join("results.json"), &text)?;
        Ok(write_voc_results(folder, &self.detections, &set.names(), &set.classes, Rounding::Detectron2)?)
    }
}

impl fmt::Display for DetectionEvaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.scores.figures();
        let shown = figures.iter().take(3).map(|(name, figure)| format!("{name} {}", percent(*figure)));
        formatter.write_str(&shown.collect::<Vec<_>>().join(", "))
    }
}
