//! Evaluation of a segmentation: one confusion matrix over the whole set, one optimal assignment (the paper, section
//! 4), and also the majority class of each pseudo-category, for heads with more categories than classes.

use std::fmt;
use std::sync::Arc;

use densesiam_data::labelled::{LabelledLoader, LabelledSet, ReadingSettings, Taxonomy, VOID};
use densesiam_data::order::Part;
use densesiam_metrics::{ConfusionMatrix, Matching, SegmentationScores, percent};
use densesiam_nn::Group;
use densesiam_nn::segment::Segmenting;
use serde_json::{Value, json};
use tch::Kind;

use super::absent::Absent;
use crate::error::Error;
use crate::run::all_succeed;
use crate::segmentation::MatchedClasses;
use densesiam_nn::input::Input;
use densesiam_report::pictures::Palette;

/// The scores of a model, and the class that each of its pseudo-categories is matched to.
#[derive(Debug)]
pub struct Evaluation {
    /// mIoU and related scores under the optimal one-to-one assignment, as fractions: the published figures.
    pub scores: SegmentationScores,
    /// The same scores if each pseudo-category stands for its majority class.
    pub many_to_one: SegmentationScores,
    /// The optimal one-to-one assignment.
    pub matching: Matching,
    /// Labelled pixels by class and pseudo-category.
    pub confusion: ConfusionMatrix,
    /// The classes that the scores say nothing about.
    pub absent: Absent,
    many_to_one_matching: Matching,
}

impl Evaluation {
    /// Matches and scores a confusion matrix over the classes of a taxonomy.
    ///
    /// # Errors
    /// When the matrix has another number of classes.
    pub fn new(confusion: ConfusionMatrix, taxonomy: &Taxonomy) -> Result<Self, Error> {
        let things = taxonomy.things();
        let split = things.contains(&true).then_some(things.as_slice());
        let scores = |matching: &Matching| {
            SegmentationScores::new(&confusion, matching, split)
                .map_err(|error| Error::Internal(error.to_string()))
        };
        let matching = Matching::one_to_one(&confusion);
        let many_to_one_matching = Matching::many_to_one(&confusion);
        let one_to_one = scores(&matching)?;
        Ok(Self {
            absent: Absent::of(&one_to_one, taxonomy),
            scores: one_to_one,
            many_to_one: scores(&many_to_one_matching)?,
            matching,
            many_to_one_matching,
            confusion,
        })
    }

    /// The mean IoU, 0 if nothing was labelled.
    pub fn miou(&self) -> f64 {
        self.scores.overall.miou.unwrap_or_default()
    }

    /// The pseudo-categories that stand for `class` if each category stands for its majority class.
    pub fn majority_categories(&self, class: usize) -> Vec<usize> {
        self.many_to_one_matching.clusters_of_class(class)
    }

    /// The classes of the pseudo-categories, after so many steps.
    pub fn matched_classes(&self, step: u64, taxonomy: &Taxonomy) -> MatchedClasses {
        MatchedClasses {
            step,
            of_category: self.matching.class_of_cluster().to_vec(),
            names: taxonomy.names().into_iter().map(str::to_owned).collect(),
            palette: Palette(taxonomy.colours()),
        }
    }

    /// The whole evaluation, with the names of the classes and the confusion matrix, as one line of
    /// `evaluations.jsonl`.
    pub fn to_json(&self, step: u64, taxonomy: &Taxonomy) -> Value {
        let scored = |scores: &SegmentationScores, matching: &Matching| {
            let mut value = serde_json::to_value(scores).unwrap_or_default();
            value["class_of_cluster"] = json!(matching.class_of_cluster());
            value
        };
        let mut value = scored(&self.scores, &self.matching);
        value["step"] = json!(step);
        value["classes"] = json!(taxonomy.names());
        value["things"] = json!(taxonomy.things());
        value["colours"] = json!(taxonomy.colours());
        value["many_to_one"] = scored(&self.many_to_one, &self.many_to_one_matching);
        value["confusion"] = json!({
            "rows": "classes",
            "columns": "pseudo-categories",
            "counts": self.confusion.rows().collect::<Vec<_>>(),
            "columns_in_class_order": self.matching.clusters_in_class_order(),
        });
        value
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overall = &self.scores.overall;
        let (miou, aacc, macc) = (percent(overall.miou), percent(overall.aacc), percent(overall.macc));
        write!(formatter, "mIoU {miou}, aAcc {aacc}, mAcc {macc}")?;
        if let Some(split) = &self.scores.split {
            let (things, stuff) = (percent(split.things.miou), percent(split.stuff.miou));
            write!(formatter, ", things {things}, stuff {stuff}")?;
        }
        // With one category for each class the two scores are nearly the same.
        if self.confusion.clusters() > self.confusion.classes() {
            write!(formatter, ", many-to-one mIoU {}", percent(self.many_to_one.overall.miou))?;
        }
        write!(formatter, "{}", self.absent)
    }
}

/// Scores the model on the labelled pictures: pictures at the settings' size, the greatest score over `categories`
/// at the labels' size. Each process of the group has a part of the pictures, and all have the scores of the whole set.
///
/// # Errors
/// When a picture or label map cannot be read.
pub fn evaluate(
    set: &Arc<LabelledSet>,
    settings: ReadingSettings,
    (model, categories): (&dyn Segmenting, usize),
    input: &Input,
    group: &Group,
) -> Result<Evaluation, Error> {
    let (classes, part) = (set.taxonomy.classes.len(), Part { number: group.rank(), parts: group.world() });
    let own = match set.part(part) {
        Some(part) => confusion_of(part, settings, (model, categories), input),
        None => Ok(ConfusionMatrix::new(classes, categories, i64::from(VOID))),
    };
    let confusion = all_succeed(group, own)?;
    let mut counts: Vec<i64> = confusion.counts().iter().map(|&count| count as i64).collect();
    group.sum_counts(&mut counts);
    let counts = counts.into_iter().map(|count| count as u64).collect();
    let confusion = ConfusionMatrix::from_counts(classes, categories, i64::from(VOID), counts)
        .map_err(|error| Error::Internal(error.to_string()))?;
    Evaluation::new(confusion, &set.taxonomy)
}

fn confusion_of(
    set: Arc<LabelledSet>,
    settings: ReadingSettings,
    (model, categories): (&dyn Segmenting, usize),
    input: &Input,
) -> Result<ConfusionMatrix, Error> {
    let mut confusion = ConfusionMatrix::new(set.taxonomy.classes.len(), categories, i64::from(VOID));
    for batch in LabelledLoader::new(set, settings)? {
        let batch = batch?;
        let clusters = pixel_categories(model, input, &batch.images, [batch.width, batch.height])?;
        confusion.update(&batch.labels, &clusters).map_err(|error| Error::Internal(error.to_string()))?;
    }
    Ok(confusion)
}

/// The pseudo-category of each pixel of pictures `[B, height, width, 3]` of one size: that of the greatest score there.
///
/// # Errors
/// When the categories cannot be read from the device.
pub fn pixel_categories(
    model: &dyn Segmenting,
    input: &Input,
    pictures: &[u8],
    [width, height]: [u32; 2],
) -> Result<Vec<i64>, Error> {
    let categories = tch::no_grad(|| {
        let logits = model.logits(&input.normalised(pictures, [width, height]));
        let size = [i64::from(height), i64::from(width)];
        logits.upsample_bilinear2d(size, false, None, None).argmax(1, false)
    });
    let categories = Vec::<i64>::try_from(categories.flatten(0, -1).to_kind(Kind::Int64));
    categories.map_err(|error| Error::Internal(error.to_string()))
}
