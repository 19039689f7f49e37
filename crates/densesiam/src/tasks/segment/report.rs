//! The report of a segmentation, from what its run directory holds.

use super::absent::Absent;
use super::classes::class_report;
use super::clusters::{ENCODER, K_MEANS, READING};
use super::cost::Cost;
use super::plan::Plan;
use super::verdict::verdict;
use crate::error::Error;
use crate::run::{Journal, Table};
use densesiam_report::page::{Chart, Report, Sheets, Status, Tile};

/// What the contact sheets show.
const SHEETS: &str = "A picture of the labelled set; what was found in it, each pseudo-category in the colour of the class \
    that it stood for at that step; and its labels, bare where there is none. Where the second and the third have \
    one colour, the answer is right.";

/// The page as HTML.
pub(super) fn render(plan: &Plan, journal: &Journal, status: Status) -> Result<String, Error> {
    let metrics = journal.metrics()?;
    let evaluations = journal.evaluations()?;
    let score =
        |name: &str| evaluations.last(name).map_or("-".to_owned(), |value| format!("{:.2}", 100.0 * value));
    let best = evaluations.values("mIoU").fold(f64::NAN, f64::max);
    let last = evaluations.last_row();
    let absent = last.and_then(Absent::recorded).map(|absent| absent.to_string()).unwrap_or_default();
    let many_to_one = last.and_then(|row| row.pointer("/many_to_one/mIoU")?.as_f64());
    let cost = Cost::of(&metrics, &evaluations);
    let summary = [
        (
            "steps",
            format!("{} of {}", metrics.last("step").unwrap_or_default(), plan.run.horizon.total_steps),
            "updates of the weights",
        ),
        ("last mIoU", score("mIoU") + &absent, "percent; overlap with the labels, mean over the classes"),
        (
            "best mIoU",
            if best.is_nan() { "-".to_owned() } else { format!("{:.2}", 100.0 * best) },
            "percent; its checkpoint is kept",
        ),
        ("last aAcc", score("aAcc"), "percent of the pixels that are right"),
        (
            "last mIoU, many-to-one",
            many_to_one.map_or("-".to_owned(), |miou| format!("{:.2}", 100.0 * miou)),
            "percent; where several categories may stand for a class",
        ),
        ("pseudo-categories", plan.categories.to_string(), "into which pixels are divided"),
        ("encoder", plan.run.encoder(), "and what it started from"),
        ("loss", metrics.last_text("loss"), "the weighted sum"),
        (
            "pictures a second",
            format!("{:.1}", metrics.median("pictures_per_second")),
            "median over the steps",
        ),
        ("peak memory", metrics.peak_memory(), "of this process; on a CUDA device, of tensors there"),
        (
            "cost of an epoch",
            cost.map_or("-".to_owned(), |cost| cost.to_string()),
            "reading, encoder and k-means; evaluations are not in it",
        ),
        ("device", plan.run.machine(), "where the steps ran"),
    ];
    let losses: Vec<_> = plan.recipe.method().losses().iter().map(|loss| (loss.title, loss.name)).collect();
    let time = [
        ("data", "seconds_data"),
        ("own labels", "seconds_labelling"),
        ("forward", "seconds_forward"),
        ("backward", "seconds_backward"),
        ("optimizer", "seconds_optimizer"),
        ("whole step, on a CUDA device", "seconds_step"),
    ];
    let clustering = [("reading", READING), ("encoder", ENCODER), ("k-means", K_MEANS)];
    let charts = vec![
        scores(&evaluations),
        metrics.chart("Weighted losses", "", &losses),
        metrics.chart("Entropy of category use", "", &[("category entropy", "category_entropy")]),
        metrics.chart("Pseudo-categories used in a batch", "", &[("categories", "categories_used")]),
        metrics.chart("Gradient norm", "", &[("gradient norm", "gradient_norm")]),
        metrics.chart("Learning rate", "", &[("learning rate", "learning_rate")]),
        metrics.chart("Throughput", "pictures / s", &[("pictures a second", "pictures_per_second")]),
        metrics.chart("Where a step's time goes", "s", &time),
        metrics.chart("Where the time of a clustering goes", "s", &clustering),
    ];
    let report = Report {
        title: plan.recipe.common.run.name.clone(),
        verdict: verdict(plan, journal, (&metrics, &evaluations), &status),
        status,
        summary: summary.map(|(name, value, meaning)| Tile { name, value, meaning }).into(),
        charts: charts.into_iter().filter(|chart| !chart.is_empty()).collect(),
        classes: last.and_then(class_report),
        sheets: Sheets { sentence: SHEETS, pictures: journal.sheets()? },
        recipe: plan.run.recipe.clone(),
        environment: journal.environment(),
        warnings: journal.warnings(),
    };
    Ok(report.render())
}

/// The scores over the steps, in percent like all scores on the page.
fn scores(evaluations: &Table) -> Chart {
    let names = [("mIoU", "mIoU"), ("aAcc", "aAcc"), ("mAcc", "mAcc")];
    let mut chart = evaluations.chart("Scores on the labelled pictures", "percent", &names);
    let points = chart.series.iter_mut().flat_map(|series| &mut series.points);
    points.for_each(|(_, score)| *score *= 100.0);
    chart
}
