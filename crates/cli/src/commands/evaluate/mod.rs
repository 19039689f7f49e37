//! `densesiam evaluate`: how good a trained segmentation is on labelled pictures, or how good detections in files are.

mod files;
mod table;

use std::path::Path;
use std::sync::Arc;

use super::EvaluateArguments;
use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::segmentation::Segmentation;
use densesiam::tasks::segment::{evaluate, evaluation_settings, labelled_set};
use densesiam_data::labelled::LabelSurvey;
use densesiam_engine::log::say;
use densesiam_nn::Group;

/// Scores a model or files, and prints the scores as a table or as JSON.
pub(super) fn run(arguments: &EvaluateArguments) -> Result<(), Error> {
    let EvaluateArguments { checkpoint, settings, detections, ground_truth, json, .. } = arguments;
    match (detections, ground_truth, checkpoint) {
        (Some(detections), Some(ground_truth), _) => files::score(detections, ground_truth, arguments),
        (_, _, Some(checkpoint)) => segmentation(checkpoint, settings, *json),
        // The command line requires one of both.
        _ => Err(Error::Usage("name a run, or --detections and --ground-truth".into())),
    }
}

fn segmentation(checkpoint: &Path, settings: &[String], json: bool) -> Result<(), Error> {
    let trained = Segmentation::open(checkpoint, settings)?;
    let unlabelled =
        || Error::Usage("there are no labelled pictures: set data.root, labels.layout and labels.val".into());
    let set = Arc::new(labelled_set(&trained.recipe)?.ok_or_else(unlabelled)?);
    let settings = evaluation_settings(&trained.recipe, trained.recipe.common.data.workers.max(1));
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
