//! Scores of detections in files, whoever made them.

use std::path::Path;

use densesiam::error::Error;
use densesiam::tasks::transfer::detection::truths;
use densesiam_data::detection::{
    Classes, CocoSplit, coco_splits, read_voc, read_voc_results, score as coco, voc_parts,
};
use densesiam_engine::log::say;
use densesiam_metrics::detection::{Kind, Rounding, VocEvaluator, VocRule};
use densesiam_text::shown;
use serde_json::json;

use super::EvaluateArguments;
use super::scores::Scores;
use crate::answer::{answer, answer_line};

/// Scores by VOC's rules if the ground truth is a folder, and else by COCO's.
pub(super) fn score(
    detections: &Path,
    ground_truth: &Path,
    arguments: &EvaluateArguments,
) -> Result<(), Error> {
    refuse_unused(detections, ground_truth, arguments)?;
    let scores = match ground_truth.is_dir() {
        true => by_voc(detections, ground_truth, arguments)?,
        false => by_coco(detections, ground_truth, arguments.masks)?,
    };
    if !arguments.json {
        return answer(scores.table());
    }
    let figures: serde_json::Map<_, _> =
        scores.figures.iter().map(|(name, figure)| (name.clone(), json!(figure))).collect();
    let of_class = |(place, name): (usize, &String)| {
        let scores =
            scores.of_classes.iter().map(|(of, scores)| ((*of).to_owned(), json!(scores.get(place))));
        let named = [("class".to_owned(), json!(name))].into_iter();
        serde_json::Value::Object(named.chain(scores).collect())
    };
    let classes: Vec<_> = scores.classes.iter().enumerate().map(of_class).collect();
    answer_line(json!({ "figures": figures, "classes": classes }))
}

/// Refuses options that would not be used, and detections of the other format.
fn refuse_unused(detections: &Path, ground_truth: &Path, arguments: &EvaluateArguments) -> Result<(), Error> {
    let EvaluateArguments { split, classes, rule, exact, masks, .. } = arguments;
    let of_voc = [
        ("--split", split.is_some()),
        ("--classes", !classes.is_empty()),
        ("--rule", rule.is_some()),
        ("--exact", *exact),
    ];
    let unused = of_voc.iter().find(|(_, given)| *given).map(|(option, _)| *option);
    let (truth, found) = (shown(ground_truth), shown(detections));
    let of_coco = match voc_parts(ground_truth) {
        None => coco_splits(ground_truth).first().and_then(|split| CocoSplit::find(ground_truth, split).ok()),
        Some(_) => None,
    };
    let message = match (ground_truth.is_dir(), unused, of_coco) {
        _ if !ground_truth.exists() => format!("--ground-truth: {truth} is not there; check the path"),
        (false, Some(option), _) => format!(
            "{option} is for a folder in VOC's format, and {truth} is a file, which is scored by COCO's rules; leave out {option}, \
             or name the folder"
        ),
        (true, ..) if *masks => format!(
            "--masks: {truth} is a folder in VOC's format, which has boxes alone; leave out --masks, or name COCO's annotations, \
             a .json file"
        ),
        (true, _, Some(split)) => format!(
            "{truth} is a folder in COCO's format; name the file of the annotations that the detections belong to, such as {}",
            shown(&split.annotations)
        ),
        (true, ..) if detections.is_file() => format!(
            "{truth} is a folder in VOC's format, and {found} a file; name the folder of the files comp4_det_SPLIT_CLASS.txt, \
             or COCO's annotations as --ground-truth"
        ),
        (false, ..) if detections.is_dir() => format!(
            "{truth} is a file in COCO's format, and {found} a folder; name its results.json, or a folder in VOC's format as \
             --ground-truth"
        ),
        _ => return Ok(()),
    };
    Err(Error::Usage(message))
}

fn by_coco(detections: &Path, ground_truth: &Path, masks: bool) -> Result<Scores, Error> {
    let kind = if masks { Kind::Masks } else { Kind::Boxes };
    let scored = coco(ground_truth, detections, kind)?;
    for (what, ids) in scored.findings.all() {
        if let Some(first) = ids.first() {
            say(format_args!("WARNING: {} {what}, the first in annotation {first}", ids.len()));
        }
    }
    if scored.outside > 0 {
        let (outside, all) = (scored.outside, scored.detections);
        say(format_args!(
            "WARNING: {outside} of {all} detected boxes reach beyond their picture; a box is [x, y, width, height], not two corners"
        ));
    }
    let compared = if masks { "masks" } else { "boxes" };
    Ok(Scores {
        heading: format!(
            "COCO, {compared}: {} detections, {} objects in {} pictures",
            scored.detections, scored.objects, scored.pictures
        ),
        figures: named(scored.scores.figures()),
        classes: scored.classes,
        of_classes: vec![("AP", scored.scores.class_ap), ("AP50", scored.scores.class_ap50)],
    })
}

fn by_voc(detections: &Path, ground_truth: &Path, arguments: &EvaluateArguments) -> Result<Scores, Error> {
    let split = arguments.split.as_deref().unwrap_or("test");
    let part = split.parse().map_err(|error| Error::Usage(format!("--split: {error}")))?;
    let classes = match arguments.classes.is_empty() {
        true => Classes::Found,
        false => Classes::Among(arguments.classes.clone()),
    };
    let set = read_voc(ground_truth, &[part], &classes)?;
    let found = read_voc_results(detections, &set.names(), &set.classes)?;
    let year = arguments.rule.as_deref().unwrap_or("2007");
    let rule = if year == "2007" { VocRule::ElevenPoint } else { VocRule::Area };
    let rounding = if arguments.exact { Rounding::Exact } else { Rounding::Detectron2 };
    let mut evaluator = VocEvaluator::new(set.classes.len(), rule, rounding);
    let truths = truths(&set, false);
    let scored = evaluator.update(&truths, &found);
    scored.map_err(|error| Error::Usage(format!("{}: {error}", detections.display())))?;
    let scores = evaluator.finish();
    Ok(Scores {
        heading: format!(
            "VOC {year}, boxes: {} detections, {} objects in {} pictures",
            found.len(),
            truths.len(),
            set.len()
        ),
        figures: named(&scores.figures()),
        classes: set.classes.clone(),
        of_classes: vec![("AP50", scores.class_ap.iter().map(|ap| ap[0]).collect())],
    })
}

fn named(figures: &[(&str, Option<f64>)]) -> Vec<(String, Option<f64>)> {
    figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
}
