//! `densesiam evaluate`: how good a trained segmentation is on labelled pictures.

mod table;

use std::path::Path;
use std::sync::Arc;

use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::segmentation::Segmentation;
use densesiam::tasks::segment::{evaluate, evaluation_settings, labelled_set};
use densesiam_data::labelled::LabelSurvey;
use densesiam_engine::log::say;
use densesiam_nn::Group;

/// Scores the model, and prints the scores as a table or as JSON.
pub(super) fn run(checkpoint: &Path, settings: &[String], json: bool) -> Result<(), Error> {
    let trained = Segmentation::open(checkpoint, settings)?;
    let unlabelled =
        || Error::Usage("there are no labelled pictures: set data.root, labels.layout and labels.val".into());
    let set = Arc::new(labelled_set(&trained.recipe)?.ok_or_else(unlabelled)?);
    let settings = evaluation_settings(&trained.recipe, trained.recipe.common.data.workers.max(1));
    if let Some(doubt) = LabelSurvey::of(&set, &settings.limits).finding() {
        say(format_args!("WARNING: {doubt}"));
    }
    let evaluation =
        evaluate(&set, settings, (&trained.model, trained.categories), &trained.input, &Group::alone())?;
    if json {
        return answer_line(evaluation.to_json(trained.step, &set.taxonomy));
    }
    let (name, pictures, step) = (&set.name, set.len(), trained.step);
    let table = table::table(&evaluation, &set.taxonomy);
    answer(format_args!("{name}, {pictures} pictures, after {step} steps\n\n{table}"))
}
