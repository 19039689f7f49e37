//! Evaluation of a segmentation: one confusion matrix over the whole set, one optimal assignment (the paper, section 4).

use std::fmt;
use std::sync::Arc;

use densesiam_data::evaluation::{EvaluationLoader, EvaluationSettings};
use densesiam_data::labelled::LabelledSet;
use densesiam_data::taxonomy::VOID;
use densesiam_metrics::{ConfusionMatrix, Matching, SegmentationScores};
use densesiam_nn::segment::Segmenter;
use serde_json::{Value, json};
use tch::Kind;

use crate::error::Error;
use crate::input::Input;

/// The scores of a model, and which class each of its pseudo-categories is taken for.
#[derive(Debug)]
pub struct Evaluation {
    /// mIoU and its kin, as fractions.
    pub scores: SegmentationScores,
    /// The class of each pseudo-category; `None` where it is matched to none.
    pub class_of_cluster: Vec<Option<usize>>,
}

impl Evaluation {
    /// The mean IoU, 0 where nothing was labelled.
    pub fn miou(&self) -> f64 {
        self.scores.overall.miou.unwrap_or_default()
    }

    /// Everything, with the names of the classes, as one line of `evaluations.jsonl`.
    pub fn to_json(&self, step: u64, set: &LabelledSet) -> Value {
        let mut value = serde_json::to_value(&self.scores).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.insert("step".into(), json!(step));
            object.insert("classes".into(), json!(set.taxonomy.names()));
            object.insert("class_of_cluster".into(), json!(self.class_of_cluster));
        }
        value
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent =
            |score: Option<f64>| score.map_or("-".to_owned(), |score| format!("{:.2}", 100.0 * score));
        let overall = &self.scores.overall;
        let (miou, aacc, macc) = (percent(overall.miou), percent(overall.aacc), percent(overall.macc));
        write!(formatter, "mIoU {miou}, aAcc {aacc}, mAcc {macc}")?;
        if let Some(split) = &self.scores.split {
            write!(
                formatter,
                ", things {}, stuff {}",
                percent(split.things.miou),
                percent(split.stuff.miou)
            )?;
        }
        Ok(())
    }
}

/// Scores the model on the labelled pictures: pictures at the settings' size, the projector's argmax over `categories`
/// at the labels' size.
///
/// # Errors
/// When a picture or label map cannot be read.
pub fn evaluate(
    set: &Arc<LabelledSet>,
    settings: EvaluationSettings,
    (model, categories): (&Segmenter, usize),
    input: &Input,
) -> Result<Evaluation, Error> {
    let classes = set.taxonomy.classes.len();
    let mut confusion = ConfusionMatrix::new(classes, categories, i64::from(VOID));
    for batch in EvaluationLoader::new(Arc::clone(set), settings)? {
        let batch = batch?;
        let (height, width) = (i64::from(batch.height), i64::from(batch.width));
        let clusters = tch::no_grad(|| {
            let logits = model.logits(&input.views(&batch.images, [batch.width, batch.height]));
            logits.upsample_bilinear2d([height, width], false, None, None).argmax(1, false)
        });
        let clusters = Vec::<i64>::try_from(clusters.flatten(0, -1).to_kind(Kind::Int64));
        let clusters = clusters.map_err(|error| Error::Internal(error.to_string()))?;
        confusion.update(&batch.labels, &clusters).map_err(|error| Error::Internal(error.to_string()))?;
    }
    let matching = Matching::one_to_one(&confusion);
    let things = set.taxonomy.things();
    let split = things.contains(&true).then_some(things.as_slice());
    let scores = SegmentationScores::new(&confusion, &matching, split)
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Evaluation { scores, class_of_cluster: matching.class_of_cluster().to_vec() })
}
