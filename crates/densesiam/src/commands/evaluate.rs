//! `densesiam evaluate`: how good a trained segmentation is on labelled pictures.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::tasks::segment::{Evaluation, Trained, evaluate, evaluation_settings, labelled_set};
use densesiam_data::labelled::LabelledSet;

/// Scores the model, and prints the scores as a table or as JSON.
pub(super) fn run(checkpoint: &Path, settings: &[String], json: bool) -> Result<(), Error> {
    let trained = Trained::open(checkpoint, settings)?;
    let unlabelled =
        || Error::Usage("there are no labelled pictures: set data.root, labels.layout and labels.val".into());
    let set = Arc::new(labelled_set(&trained.recipe)?.ok_or_else(unlabelled)?);
    let settings = evaluation_settings(&trained.recipe, trained.recipe.data.workers.max(1));
    let evaluation = evaluate(&set, settings, (&trained.model, trained.categories), &trained.input)?;
    if json {
        println!("{:#}", evaluation.to_json(0, &set));
    } else {
        print_table(&evaluation, &set);
    }
    Ok(())
}

fn print_table(evaluation: &Evaluation, set: &LabelledSet) {
    let percent =
        |score: Option<f64>| score.map_or("absent".to_owned(), |score| format!("{:.2}", 100.0 * score));
    println!("{}: {} pictures", set.name, set.len());
    for (name, scores) in set.taxonomy.names().iter().zip(&evaluation.scores.per_class) {
        println!("{name:24} IoU {:>7}  accuracy {:>7}", percent(scores.iou), percent(scores.accuracy));
    }
    let scores = &evaluation.scores;
    if let Some(legacy) = &scores.legacy_split {
        let (things, stuff) = (percent(legacy.things.miou), percent(legacy.stuff.miou));
        println!("legacy split, cut by cluster as released: things {things}, stuff {stuff}");
    }
    if !scores.unmatched_classes.is_empty() || !scores.unmatched_clusters.is_empty() {
        let (classes, clusters) = (scores.unmatched_classes.len(), scores.unmatched_clusters.len());
        println!(
            "{classes} classes without a pseudo-category (IoU 0), {clusters} pseudo-categories without a class"
        );
    }
    println!("{evaluation}");
}
