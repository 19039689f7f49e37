//! Evaluation of a segmentation with labels: one confusion matrix over the whole set, at the labels' own size.

use std::fmt;
use std::sync::Arc;

use densesiam_data::labelled::{
    LabelledLoader, LabelledSet, ReadingScratch, ReadingSettings, Taxonomy, VOID, read_sample,
};
use densesiam_data::order::Part;
use densesiam_metrics::{ClassScores, ConfusionMatrix, Matching, MeanScores, SegmentationScores, percent};
use densesiam_nn::Group;
use densesiam_nn::fcn::{Fcn, Inference};
use densesiam_nn::input::Input;
use densesiam_report::pictures::{self, INK, Palette};
use image::RgbImage;
use serde_json::{Value, json};
use tch::Kind;

use crate::error::Error;
use crate::recipe::transfer::segmentation::FcnRecipe;
use crate::run::all_succeed;

/// The scores of a network, as fractions.
#[derive(Debug)]
pub struct FcnEvaluation {
    overall: MeanScores,
    per_class: Vec<ClassScores>,
    confusion: ConfusionMatrix,
}

/// How a recipe's network sees a picture.
pub(crate) fn inference(recipe: &FcnRecipe) -> Inference {
    let evaluate = &recipe.evaluate;
    match evaluate.window {
        0 => Inference::Whole,
        crop => Inference::Slide { crop: crop.into(), stride: evaluate.stride.into() },
    }
}

/// Scores the network on the labelled pictures. Each process of the group has a part of them, and all have the scores of the
/// whole set.
///
/// # Errors
/// When a picture or label map cannot be read.
pub fn evaluate(
    set: &Arc<LabelledSet>,
    reading: ReadingSettings,
    recipe: &FcnRecipe,
    (network, input): (&Fcn, &Input),
    group: &Group,
) -> Result<FcnEvaluation, Error> {
    let (classes, part) = (set.taxonomy.classes.len(), Part { number: group.rank(), parts: group.world() });
    let own = match set.part(part) {
        Some(part) => confusion_of(part, reading, recipe, (network, input)),
        None => Ok(ConfusionMatrix::new(classes, classes, i64::from(VOID))),
    };
    let own = all_succeed(group, own)?;
    let mut counts: Vec<i64> = own.counts().iter().map(|&count| count as i64).collect();
    group.sum_counts(&mut counts);
    let counts = counts.into_iter().map(|count| count as u64).collect();
    let internal = |error: &dyn fmt::Display| Error::Internal(error.to_string());
    let confusion = ConfusionMatrix::from_counts(classes, classes, i64::from(VOID), counts)
        .map_err(|error| internal(&error))?;
    let scores = SegmentationScores::new(&confusion, &Matching::identity(classes), None);
    let SegmentationScores { overall, per_class, .. } = scores.map_err(|error| internal(&error))?;
    Ok(FcnEvaluation { overall, per_class, confusion })
}

fn confusion_of(
    set: Arc<LabelledSet>,
    reading: ReadingSettings,
    recipe: &FcnRecipe,
    model: (&Fcn, &Input),
) -> Result<ConfusionMatrix, Error> {
    let classes = set.taxonomy.classes.len();
    let mut confusion = ConfusionMatrix::new(classes, classes, i64::from(VOID));
    for batch in LabelledLoader::new(set, reading)? {
        let batch = batch?;
        let size = [batch.width, batch.height];
        let found = classes_of(model, recipe, (&batch.images, size), batch.label_size)?;
        confusion.update(&batch.labels, &found).map_err(|error| Error::Internal(error.to_string()))?;
    }
    Ok(confusion)
}

/// The most likely class of each pixel of pictures `[B, height, width, 3]` of a size (width, height), at another size.
fn classes_of(
    (network, input): (&Fcn, &Input),
    recipe: &FcnRecipe,
    (pictures, size): (&[u8], [u32; 2]),
    [width, height]: [u32; 2],
) -> Result<Vec<i64>, Error> {
    let pictures = input.normalised(pictures, size);
    let classes = network.predict(&pictures, inference(recipe), [height.into(), width.into()]);
    let classes = Vec::<i64>::try_from(classes.flatten(0, -1).to_kind(Kind::Int64));
    classes.map_err(|error| Error::Internal(error.to_string()))
}

/// Pictures of the set, spaced evenly, what is found in each, and its labels. `None` if there is no picture.
///
/// # Errors
/// When the classes cannot be read from the device.
pub(super) fn sheet(
    set: &LabelledSet,
    reading: ReadingSettings,
    recipe: &FcnRecipe,
    model: (&Fcn, &Input),
    count: usize,
) -> Result<Option<RgbImage>, Error> {
    let (count, palette) = (count.min(set.len()), Palette(set.taxonomy.colours()));
    let (mut rows, mut scratch) = (Vec::new(), ReadingScratch::default());
    for place in 0..count {
        let Ok(sample) = read_sample(set, place * set.len() / count, &reading, &mut scratch) else {
            continue;
        };
        let (image, labels) = (sample.image, sample.labels);
        let size = [image.width, image.height];
        let found = classes_of(model, recipe, (&image.pixels, size), size)?;
        let found: Vec<u32> = found.into_iter().map(|class| class as u32).collect();
        let class = |&class: &u8| if class == VOID { pictures::VOID } else { u32::from(class) };
        let labelled: Vec<u32> = labels.classes.iter().map(class).collect();
        let Some(picture) = RgbImage::from_raw(image.width, image.height, image.pixels) else { continue };
        let small = pictures::fitted(&picture, HEIGHT.min(picture.height()));
        let over = |map: &[u32], [width, height]: [u32; 2]| {
            pictures::mask_overlay(&small, map, [width as usize, height as usize], &palette, 0.6)
        };
        rows.push(vec![small.clone(), over(&found, size), over(&labelled, [labels.width, labels.height])]);
    }
    let names = set.taxonomy.names();
    let key: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(class, name)| (palette.colour_of(class), (*name).to_owned()))
        .collect();
    let titles = [("picture", INK), ("found", INK), ("labels", INK)];
    Ok((!rows.is_empty()).then(|| pictures::titled_sheet(&titles, rows, &key)))
}

/// Height of the pictures on the sheet, in pixels, at most.
const HEIGHT: u32 = 320;

impl FcnEvaluation {
    /// The mean IoU, 0 if nothing was labelled.
    pub fn headline(&self) -> f64 {
        self.overall.miou.unwrap_or_default()
    }

    /// The scores of the whole set by name, the headline first.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 3] {
        let MeanScores { miou, aacc, macc } = self.overall;
        [("mIoU", miou), ("aAcc", aacc), ("mAcc", macc)]
    }

    /// The scores of each class, by the name of the score.
    pub fn of_classes(&self) -> [(&'static str, Vec<Option<f64>>); 2] {
        let of = |score: fn(&ClassScores) -> Option<f64>| self.per_class.iter().map(score).collect();
        [("IoU", of(|class| class.iou)), ("accuracy", of(|class| class.accuracy))]
    }

    /// The scores, with those of each class and the confusion matrix, as one line of `evaluations.jsonl`.
    pub fn to_json(&self, step: u64, taxonomy: &Taxonomy) -> Value {
        let mut value = serde_json::to_value(self.overall).unwrap_or_default();
        value["step"] = json!(step);
        value["classes"] = json!(taxonomy.names());
        value["colours"] = json!(taxonomy.colours());
        for (name, scores) in self.of_classes() {
            value[format!("class_{name}")] = json!(scores);
        }
        value["confusion"] = json!(self.confusion.rows().collect::<Vec<_>>());
        value
    }
}

impl fmt::Display for FcnEvaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures().map(|(name, figure)| format!("{name} {}", percent(figure)));
        formatter.write_str(&figures.join(", "))
    }
}
