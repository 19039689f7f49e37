//! The scores of a trained detector on annotated pictures.

use std::sync::Arc;

use densesiam::detection::ObjectDetection;
use densesiam::error::Error;
use densesiam::tasks::transfer::detection::{validation_set, written_files};
use densesiam_data::detection::DetectionSurvey;
use densesiam_engine::log::say;
use densesiam_text::shown;

use super::scores::Scores;
use crate::answer::{answer, answer_line};
use crate::commands::{EvaluateArguments, refuse_existing};

/// Detects the objects in all pictures of the recipe's split of evaluation, scores them, and writes them where that is asked for.
pub(super) fn run(trained: &ObjectDetection, arguments: &EvaluateArguments) -> Result<(), Error> {
    let EvaluateArguments { out, overwrite, json, .. } = arguments;
    let unlabelled = || Error::Usage("there are no annotated pictures: set data.root and objects.val".into());
    let set = Arc::new(validation_set(&trained.recipe, &trained.classes)?.ok_or_else(unlabelled)?);
    if let Some(out) = out {
        let files = written_files(out, &set, trained.recipe.objects.layout);
        files.iter().try_for_each(|file| refuse_existing(file, *overwrite))?;
    }
    for finding in DetectionSurvey::of(&set).findings {
        say(format_args!("WARNING: {finding}"));
    }
    let evaluation = trained.evaluate(&set)?;
    if let Some(out) = out {
        evaluation.write(out, &set, trained.recipe.objects.layout)?;
        say(format_args!("{}: {} detections", shown(out), evaluation.detections.len()));
    }
    if *json {
        return answer_line(evaluation.to_json(trained.step, &set));
    }
    let scores = Scores {
        heading: format!("{}, {} pictures, after {} steps", set.name, set.len(), trained.step),
        figures: evaluation.figures(),
        classes: set.classes.clone(),
        of_classes: evaluation.of_classes(),
    };
    answer(scores.table())
}
