//! `densesiam evaluate`: how good a trained segmentation or detector is, or how good detections in files are.

mod files;
mod objects;
mod scores;
mod table;

use std::sync::Arc;

use super::EvaluateArguments;
use crate::answer::{answer, answer_line};
use densesiam::detection::ObjectDetection;
use densesiam::error::Error;
use densesiam::labelled_segmentation::LabelledSegmentation;
use densesiam::recipe::transfer::Model;
use densesiam::run::{Contents, locate, workers_of};
use densesiam::segmentation::Segmentation;
use densesiam::tasks::segment::{evaluate, evaluation_settings, labelled_set};
use densesiam::tasks::transfer::segmentation::validation_set;
use densesiam_data::decode::DecodeLimits;
use densesiam_data::labelled::LabelSurvey;
use densesiam_engine::log::say;
use densesiam_nn::Group;
use scores::Scores;

/// Scores a model or files, and prints the scores as a table or as JSON.
pub(super) fn run(arguments: &EvaluateArguments) -> Result<(), Error> {
    let EvaluateArguments { checkpoint, settings, detections, ground_truth, json, out, .. } = arguments;
    if let (Some(detections), Some(ground_truth)) = (detections, ground_truth) {
        return files::score(detections, ground_truth, arguments);
    }
    let Some(checkpoint) = checkpoint else {
        // The command line requires one of both.
        return Err(Error::Usage("name a run, or --detections and --ground-truth".into()));
    };
    let located = locate(checkpoint)?;
    let model = Contents::read(&located.1)?.model();
    if out.is_some() && model != Some(Model::Detector) {
        let message = "--out is for the detections of a detector; `densesiam predict` writes label maps";
        return Err(Error::Usage(message.into()));
    }
    match model {
        None => segmentation(&Segmentation::of(located, settings)?, *json),
        Some(Model::Fcn) => labelled(&LabelledSegmentation::of(located, settings)?, *json),
        Some(Model::Detector) => objects::run(&ObjectDetection::of(located, settings)?, arguments),
    }
}

fn segmentation(trained: &Segmentation, json: bool) -> Result<(), Error> {
    let set = Arc::new(labelled_set(&trained.recipe)?.ok_or_else(no_labels)?);
    let settings = evaluation_settings(&trained.recipe, workers_of(&trained.recipe.common)?);
    if let Some(doubt) = LabelSurvey::of(&set, &settings.limits).finding() {
        say(format_args!("WARNING: {doubt}"));
    }
    let evaluation =
        evaluate(&set, settings, (&*trained.model, trained.categories), &trained.input, &Group::alone())?;
    if json {
        return answer_line(evaluation.to_json(trained.step, &set.taxonomy));
    }
    let (name, pictures, step) = (&set.name, set.len(), trained.step);
    let table = table::table(&evaluation, &set.taxonomy);
    answer(format_args!("{name}, {pictures} pictures, after {step} steps\n\n{table}"))
}

/// Scores a segmentation that was trained with labels.
fn labelled(trained: &LabelledSegmentation, json: bool) -> Result<(), Error> {
    let set = Arc::new(validation_set(&trained.recipe)?.ok_or_else(no_labels)?);
    let max_pixels = trained.recipe.common.data.max_pixels;
    if let Some(doubt) = LabelSurvey::of(&set, &DecodeLimits { max_pixels }).finding() {
        say(format_args!("WARNING: {doubt}"));
    }
    let evaluation = trained.evaluate(&set)?;
    if json {
        return answer_line(evaluation.to_json(trained.step, &set.taxonomy));
    }
    let scores = Scores {
        heading: format!("{}, {} pictures, after {} steps", set.name, set.len(), trained.step),
        figures: evaluation.figures().map(|(name, figure)| (name.to_owned(), figure)).into(),
        classes: trained.classes.clone(),
        of_classes: evaluation.of_classes().into(),
    };
    answer(scores.table())
}

fn no_labels() -> Error {
    Error::Usage("there are no labelled pictures: set data.root, labels.layout and labels.val".into())
}
