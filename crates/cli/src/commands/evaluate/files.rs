//! Scores of detections in files, whoever made them.

use std::fmt::Write;
use std::path::Path;

use densesiam::error::Error;
use densesiam::tasks::transfer::detection::truths;
use densesiam_data::detection::{Classes, read_voc, read_voc_results, score as coco};
use densesiam_engine::log::say;
use densesiam_metrics::detection::{Kind, Rounding, VocEvaluator, VocRule};
use densesiam_metrics::percent;
use densesiam_text::shown;
use serde_json::json;

use super::EvaluateArguments;
use crate::answer::{answer, answer_line};

/// Figures by name, and those of each class.
struct Scored {
    heading: String,
    figures: Vec<(&'static str, Option<f64>)>,
    classes: Vec<(String, Option<f64>)>,
}

/// Scores by VOC's rules if the ground truth is a folder, and else by COCO's.
pub(super) fn score(
    detections: &Path,
    ground_truth: &Path,
    arguments: &EvaluateArguments,
) -> Result<(), Error> {
    let scored = match ground_truth.is_dir() {
        true if arguments.masks => {
            let message = format!(
                "--masks: {} is a folder in VOC's format, which has boxes alone; leave out --masks, or name COCO's annotations, \
                 a .json file",
                shown(ground_truth)
            );
            return Err(Error::Usage(message));
        }
        true => by_voc(detections, ground_truth, arguments)?,
        false => by_coco(detections, ground_truth, arguments.masks)?,
    };
    if !arguments.json {
        return answer(scored.table());
    }
    let figures: serde_json::Map<_, _> =
        scored.figures.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect();
    let classes: Vec<_> =
        scored.classes.iter().map(|(name, ap)| json!({ "class": name, "AP50": ap })).collect();
    answer_line(json!({ "figures": figures, "classes": classes }))
}

fn by_coco(detections: &Path, ground_truth: &Path, masks: bool) -> Result<Scored, Error> {
    let kind = if masks { Kind::Masks } else { Kind::Boxes };
    let scored = coco(ground_truth, detections, kind)?;
    for (what, ids) in scored.findings.all() {
        if let Some(first) = ids.first() {
            say(format_args!("WARNING: {} {what}, the first in annotation {first}", ids.len()));
        }
    }
    let compared = if masks { "masks" } else { "boxes" };
    Ok(Scored {
        heading: format!(
            "COCO, {compared}: {} detections, {} objects in {} pictures",
            scored.detections, scored.objects, scored.pictures
        ),
        figures: scored.scores.figures().to_vec(),
        classes: scored.classes.into_iter().zip(scored.scores.class_ap50).collect(),
    })
}

fn by_voc(detections: &Path, ground_truth: &Path, arguments: &EvaluateArguments) -> Result<Scored, Error> {
    let part = arguments.split.parse().map_err(|error| Error::Usage(format!("--split: {error}")))?;
    let set = read_voc(ground_truth, &[part], &Classes::Found)?;
    let found = read_voc_results(detections, &set.names(), &set.classes)?;
    let rule = if arguments.rule == "2007" { VocRule::ElevenPoint } else { VocRule::Area };
    let rounding = if arguments.exact { Rounding::Exact } else { Rounding::Detectron2 };
    let mut evaluator = VocEvaluator::new(set.classes.len(), rule, rounding);
    let truths = truths(&set, false);
    let scored = evaluator.update(&truths, &found);
    scored.map_err(|error| Error::Usage(format!("{}: {error}", detections.display())))?;
    let scores = evaluator.finish();
    Ok(Scored {
        heading: format!(
            "VOC {}, boxes: {} detections, {} objects in {} pictures",
            arguments.rule,
            found.len(),
            truths.len(),
            set.len()
        ),
        figures: scores.figures().to_vec(),
        classes: set.classes.iter().cloned().zip(scores.class_ap.iter().map(|ap| ap[0])).collect(),
    })
}

impl Scored {
    fn table(&self) -> String {
        let mut table = format!("{}\n\n", self.heading);
        for (name, figure) in &self.figures {
            let _ = writeln!(table, "{name:8}  {:>6}", percent(*figure));
        }
        let wide = self.classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(8);
        let _ = writeln!(table, "\n{:wide$}  {:>6}", "class", "AP50");
        for (name, ap) in &self.classes {
            let _ = writeln!(table, "{name:wide$}  {:>6}", percent(*ap));
        }
        table
    }
}
