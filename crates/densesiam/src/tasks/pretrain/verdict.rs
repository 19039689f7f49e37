//! The result of a pre-training, in words.

use super::plan::Plan;
use crate::run::{Journal, Table};
use densesiam_report::page::{Status, Verdict};

/// Judges the numbers so far: first what went wrong, then whether the losses fell.
pub(super) fn verdict(plan: &Plan, journal: &Journal, metrics: &Table, status: &Status) -> Verdict {
    if let Status::Failed(reason) = status {
        return Verdict::doubtful("It failed", vec![format!("Reason: {reason}.")]);
    }
    let (Some(step), total) = (metrics.last("step"), plan.run.horizon.total_steps) else {
        return Verdict::healthy(
            "Nothing is trained yet",
            vec!["This is the state before the first step.".into()],
        );
    };
    let mut why = Vec::new();
    let method = plan.recipe.method();
    let losses = method.losses().iter();
    let changes: Vec<_> = losses.filter_map(|loss| Some((loss.short, metrics.change(loss.name)?))).collect();
    let fell = changes.iter().any(|(_, (first, last))| last < first);
    let change =
        |(label, (first, last)): &(&str, (f64, f64))| format!("{label} from {first:.3} to {last:.3}");
    if !changes.is_empty() {
        let changes = changes.iter().map(change).collect::<Vec<_>>().join(", ");
        why.push(format!(
            "Losses, means of the first and the last tenth of {step} of {total} steps: {changes}."
        ));
    }
    if let Some(spread) = metrics.last("spread") {
        why.push(format!(
            "The spread of the outputs over different pictures is {spread:.2}: 1 is even, near 0 is collapse."
        ));
    }
    if let Some((used, all)) = metrics.last("categories_used").zip(method.categories()) {
        why.push(format!("{used} of {all} pseudo-categories are in use."));
    }
    let outlook = plan.outlook();
    why.extend(outlook.map(|outlook| format!("What to expect: {outlook}.")));
    let run = journal.layout().root().display();
    let encoder = journal.layout().encoder();
    let encoder = encoder.display();
    match status {
        _ if !journal.warnings().is_empty() => {
            why.insert(
                0,
                "A monitor says collapse, see the warnings below: the encoder has probably learnt nothing.".into(),
            );
            let lower = plan.recipe.common.optimizer.base_learning_rate / 4.0;
            Verdict::doubtful("Not healthy", why).with_next(vec![(
                format!(
                    "densesiam pretrain {run}/recipe.toml run.name=again optimizer.base_learning_rate={lower}"
                ),
                "the same with a quarter of the learning rate; larger batches or a longer warm-up help too",
            )])
        }
        _ if !fell => {
            why.insert(0, "No loss has fallen so far.".into());
            Verdict::doubtful("Nothing is learnt yet", why)
        }
        Status::Running => Verdict::healthy("Healthy so far", why),
        Status::Interrupted => Verdict::healthy("Healthy when it was stopped", why).with_next(vec![(
            format!("densesiam pretrain {run} --resume"),
            "goes on as if it had not been stopped",
        )]),
        _ => Verdict::healthy("Healthy", why).with_next(vec![
            (
                format!("densesiam probe random {run} data.root=LABELLED"),
                "says whether the encoder is better than random weights, on labelled pictures",
            ),
            (
                format!("densesiam segment folder data.root=PICTURES labels.categories=20 encoder.weights={encoder}"),
                "segments pictures without a label, from this encoder",
            ),
            (format!("densesiam export {run} --format torchvision"), "writes the encoder for other tools"),
        ]),
    }
}
