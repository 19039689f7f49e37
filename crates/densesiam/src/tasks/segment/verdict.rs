//! The result of a segmentation, in words.

use super::plan::Plan;
use crate::run::{Journal, Table};
use densesiam_report::page::{Status, Verdict};

/// Judges the numbers so far: first what went wrong, then how many categories are used and what the labels show.
pub(super) fn verdict(
    plan: &Plan,
    journal: &Journal,
    (metrics, evaluations): (&Table, &Table),
    status: &Status,
) -> Verdict {
    if let Status::Failed(reason) = status {
        return Verdict::doubtful("It failed", vec![format!("Reason: {reason}.")]);
    }
    let categories = plan.categories;
    let mut why = Vec::new();
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    let scores: Vec<f64> = evaluations.values("mIoU").collect();
    if let (Some(first), Some(last)) = (scores.first(), scores.last()) {
        let best = scores.iter().copied().fold(f64::NAN, f64::max);
        why.push(format!(
            "On labelled pictures mIoU was {} before training, is {} and was {} at its best. Labels only score: no training \
             step has seen one.",
            percent(*first),
            percent(*last),
            percent(best)
        ));
    } else {
        why.push("There are no labels to score it: look at the pictures below.".into());
    }
    let Some(used) = metrics.last("categories_used") else {
        return Verdict::healthy(
            "Nothing is trained yet",
            vec!["This is the state before the first step.".into()],
        );
    };
    why.push(format!("{used} of {categories} pseudo-categories are in use."));
    let run = journal.layout().root().display();
    match status {
        _ if !journal.warnings().is_empty() || used < 2.0 => {
            why.insert(0, "The pseudo-categories have collapsed, see the warnings below.".into());
            Verdict::doubtful("Not healthy", why).with_next(vec![(
                format!(
                    "densesiam segment {run}/recipe.toml run.name=again optimizer.base_learning_rate={}",
                    plan.recipe.common.optimizer.base_learning_rate / 4.0
                ),
                "the same with a quarter of the learning rate",
            )])
        }
        _ if scores.len() > 1 && scores.last() < scores.first() => {
            why.insert(0, "The segmentation fits the labels less than before training.".into());
            Verdict::doubtful("Worse than before training", why).with_next(vec![(
                "densesiam segment folder encoder.weights=resnet18.pth".into(),
                "starts from given weights, which helps more than any other setting",
            )])
        }
        Status::Running => Verdict::healthy("Healthy so far", why),
        Status::Interrupted => Verdict::healthy("Healthy when it was stopped", why).with_next(vec![(
            format!("densesiam segment {run} --resume"),
            "goes on as if it had not been stopped",
        )]),
        _ => Verdict::healthy("Healthy", why).with_next(vec![
            (
                format!("densesiam predict {run} PICTURES --out OUT"),
                "writes label maps and overlays of pictures",
            ),
            (
                format!("densesiam export {run} --format onnx-segmentation"),
                "writes the model for other tools",
            ),
        ]),
    }
}
