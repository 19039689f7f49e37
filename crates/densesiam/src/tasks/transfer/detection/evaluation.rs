//! Evaluation of a detector: every picture by itself, its boxes at its own size, and average precision over the whole set.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use densesiam_data::detection::{
    DetectionReader, DetectionReading, DetectionSet, Object, voc_results_file, write_coco_results,
    write_voc_results,
};
use densesiam_data::order::Part;
use densesiam_geometry::Xywh;
use densesiam_geometry::mask::RunLengths;
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
use crate::recipe::transfer::detection::{DetectionRecipe, Metric, ObjectLayout};
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
    /// Of boxes, and of masks if there are any.
    Coco(Box<CocoScores>, Option<Box<CocoScores>>),
}

/// Compares pictures with their truth, by one rule.
enum Evaluator {
    Voc(VocEvaluator),
    Coco(CocoEvaluator, Option<CocoEvaluator>),
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
    let masks = recipe.model.detector.masks;
    let mut evaluator = Evaluator::new(recipe.evaluate.metric, set.classes.len(), masks);
    evaluator.update(&truths(set, masks), &detections).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(DetectionEvaluation { scores: evaluator.finish(), detections })
}

/// A detection as processes tell it each other: picture, class, score, box, and the mask's size and runs.
type Written = (usize, usize, f64, [f64; 4], Option<([u32; 2], String)>);

/// What all processes have found, in the order of the set.
fn of_all(group: &Group, step: u64, own: Vec<Detection>) -> Result<Vec<Detection>, Error> {
    if group.is_alone() {
        return Ok(own);
    }
    let written = |found: Detection| {
        let mask = found.mask.as_ref().map(|mask| (mask.size(), mask.to_coco()));
        (found.picture, found.class, found.score, <[f64; 4]>::from(found.bbox), mask)
    };
    let own: Vec<Written> = own.into_iter().map(written).collect();
    let all = exchange(group, &format!("detections/{step}"), &own).map_err(Error::Elsewhere)?;
    let read = |(picture, class, score, bbox, mask): Written| {
        let mask = mask.map(|(size, runs)| RunLengths::from_coco(size, &runs)).transpose();
        let mask = mask.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Detection { picture, class, score, bbox: bbox.into(), mask })
    };
    let mut detections = all.into_iter().flatten().map(read).collect::<Result<Vec<Detection>, Error>>()?;
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
                mask: found.pixels(own),
            }));
        }
    }
    Ok(detections)
}

/// The objects of a set, as an evaluator takes them; with `masks`, those of an object without an outline are its box.
pub fn truths(set: &DetectionSet, masks: bool) -> Vec<Truth> {
    let of_picture = |picture: usize| {
        let [width, height] = set.annotation(picture).size.unwrap_or_default();
        let mask = move |object: &Object| {
            let drawn = object.shape.as_ref().and_then(|shape| shape.mask([height, width]));
            drawn.unwrap_or_else(|| RunLengths::from_box(&object.bbox.into(), [height, width]))
        };
        set.objects(picture).iter().map(move |object| Truth {
            picture,
            class: object.class,
            bbox: Xywh::from(object.bbox),
            mask: masks.then(|| mask(object)),
            area: object.area,
            crowd: object.crowd,
            difficult: object.difficult,
        })
    };
    (0..set.len()).flat_map(of_picture).collect()
}

impl Evaluator {
    fn new(metric: Metric, classes: usize, masks: bool) -> Self {
        let voc = |rule| Self::Voc(VocEvaluator::new(classes, rule, Rounding::Detectron2));
        match metric {
            Metric::Voc2007 => voc(VocRule::ElevenPoint),
            Metric::Voc2012 => voc(VocRule::Area),
            Metric::Coco => Self::Coco(
                CocoEvaluator::new(classes, Kind::Boxes),
                masks.then(|| CocoEvaluator::new(classes, Kind::Masks)),
            ),
        }
    }

    fn update(&mut self, truths: &[Truth], detections: &[Detection]) -> Result<(), EvaluationError> {
        match self {
            Self::Voc(evaluator) => evaluator.update(truths, detections),
            Self::Coco(boxes, masks) => {
                boxes.update(truths, detections)?;
                masks.as_mut().map_or(Ok(()), |masks| masks.update(truths, detections))
            }
        }
    }

    fn finish(self) -> Scores {
        match self {
            Self::Voc(evaluator) => Scores::Voc(evaluator.finish()),
            Self::Coco(boxes, masks) => {
                Scores::Coco(Box::new(boxes.finish()), masks.map(|masks| Box::new(masks.finish())))
            }
        }
    }
}

impl Scores {
    /// All figures, the headline first.
    fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Voc(scores) => scores.figures().into(),
            Self::Coco(boxes, _) => boxes.figures().to_vec(),
        }
    }

    /// Those of masks.
    fn mask_figures(&self) -> &[(&'static str, Option<f64>)] {
        match self {
            Self::Coco(_, Some(masks)) => masks.figures(),
            _ => &[],
        }
    }

    /// Precision over recall of each class at an IoU of 0.5, of boxes.
    fn curves(&self) -> Vec<Option<Curve>> {
        match self {
            Self::Voc(scores) => scores.curves.clone(),
            Self::Coco(boxes, _) => curves_of(boxes),
        }
    }
}

fn curves_of(scores: &CocoScores) -> Vec<Option<Curve>> {
    (0..scores.class_ap.len()).map(|class| scores.curve(class)).collect()
}

impl DetectionEvaluation {
    /// AP over all thresholds, a fraction; 0 if there is none.
    pub fn headline(&self) -> f64 {
        self.scores.figures().first().and_then(|(_, figure)| *figure).unwrap_or_default()
    }

    /// All figures by name; those of masks begin with `mask_`.
    pub fn figures(&self) -> Vec<(String, Option<f64>)> {
        let boxes = self.scores.figures().into_iter().map(|(name, figure)| (name.to_owned(), figure));
        let of_mask = |(name, figure): &(&str, Option<f64>)| (format!("mask_{name}"), *figure);
        boxes.chain(self.scores.mask_figures().iter().map(of_mask)).collect()
    }

    /// AP, and AP at an IoU of 0.5, of each class, of boxes and of masks, by the name of the score.
    pub fn of_classes(&self) -> Vec<(&'static str, Vec<Option<f64>>)> {
        match &self.scores {
            Scores::Voc(scores) => {
                let at_half = scores.class_ap.iter().map(|ap| ap[0]);
                vec![("AP", scores.class_mean()), ("AP50", at_half.collect())]
            }
            Scores::Coco(boxes, masks) => {
                let mut columns = vec![("AP", boxes.class_ap.clone()), ("AP50", boxes.class_ap50.clone())];
                if let Some(masks) = masks {
                    columns.push(("mask_AP", masks.class_ap.clone()));
                    columns.push(("mask_AP50", masks.class_ap50.clone()));
                }
                columns
            }
        }
    }

    /// The figures, and AP and precision over recall of each class, as one line of `evaluations.jsonl`.
    pub fn to_json(&self, step: u64, set: &DetectionSet) -> Value {
        let precision = |curves: Vec<Option<Curve>>| {
            json!(curves.into_iter().map(|curve| Some(curve?.precision)).collect::<Vec<_>>())
        };
        let mut value = json!({
            "step": step,
            "classes": set.classes,
            "recall": Curve::recall(),
            "class_precision": precision(self.scores.curves()),
        });
        if let Scores::Coco(_, Some(masks)) = &self.scores {
            value["mask_class_precision"] = precision(curves_of(masks));
        }
        for (name, scores) in self.of_classes() {
            let of_class = |name: &str| format!("class_{name}");
            let key = name.strip_prefix("mask_").map(|name| format!("mask_{}", of_class(name)));
            value[key.unwrap_or_else(|| of_class(name))] = json!(scores);
        }
        for (name, figure) in self.figures() {
            value[name] = json!(figure);
        }
        value
    }

    /// Writes what was found into a folder: in COCO's form as `results.json`, with the ids of the set's files, and for a set in VOC's
    /// `layout` also in VOC's, a file for each class. A class that the files of the set do not name has no id, and is left out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path, set: &DetectionSet, layout: ObjectLayout) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        let pictures: Vec<u64> = (0..set.len()).map(|picture| set.picture_id(picture)).collect();
        let ids: Vec<Option<u64>> = (0..set.classes.len()).map(|class| set.class_id(class)).collect();
        let named = self.detections.iter().filter(|detection| ids[detection.class].is_some());
        let classes: Vec<u64> = ids.iter().map(|id| id.unwrap_or_default()).collect();
        write_coco_results(&folder.join("results.json"), named, &pictures, &classes)?;
        if layout == ObjectLayout::Voc {
            write_voc_results(folder, &self.detections, &set.names(), &set.classes, Rounding::Detectron2)?;
        }
        Ok(())
    }
}

/// The files that [`DetectionEvaluation::write`] writes into a folder.
pub fn written_files(folder: &Path, set: &DetectionSet, layout: ObjectLayout) -> Vec<PathBuf> {
    let of_class = |class: &String| voc_results_file(folder, class);
    let of_classes = set.classes.iter().filter(|_| layout == ObjectLayout::Voc).map(of_class);
    [folder.join("results.json")].into_iter().chain(of_classes).collect()
}

impl fmt::Display for DetectionEvaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.scores.figures();
        let boxes = figures.iter().take(3).map(|(name, figure)| format!("{name} {}", percent(*figure)));
        let masks = self.scores.mask_figures().iter().take(3);
        let masks = masks.map(|(name, figure)| format!("mask {name} {}", percent(*figure)));
        formatter.write_str(&boxes.chain(masks).collect::<Vec<_>>().join(", "))
    }
}
