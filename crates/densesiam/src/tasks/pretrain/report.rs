//! The report of a pre-training, from what its run directory holds.

use super::plan::Plan;
use super::verdict::verdict;
use crate::error::Error;
use crate::run::{Journal, Table};
use densesiam_nn::pretrain::NamedLoss;
use densesiam_report::page::{Chart, Report, Sheets, Status, Tile};

/// What the contact sheets show.
const SHEETS: &str = "A picture with the frames of its two views; its dense features, whose first three principal \
    components over all these pictures are red, green and blue; and each view with its pseudo-categories. Random \
    weights colour pictures as well, along edges and shades: training shows where the last sheet gives things of one \
    kind one colour, in different pictures and in both views, and the first does not.";

/// The page as HTML.
pub(super) fn render(plan: &Plan, journal: &Journal, status: Status) -> Result<String, Error> {
    let metrics = journal.metrics()?;
    let charts = charts(plan, &metrics).into_iter().filter(|chart| !chart.is_empty());
    let report = Report {
        title: plan.recipe.common.run.name.clone(),
        verdict: verdict(plan, journal, &metrics, &status),
        status,
        summary: summary(plan, &metrics),
        charts: charts.collect(),
        classes: None,
        sheets: Sheets { sentence: SHEETS, pictures: journal.sheets()? },
        recipe: plan.run.recipe.clone(),
        environment: journal.environment(),
        warnings: journal.warnings(),
    };
    Ok(report.render())
}

fn summary(plan: &Plan, metrics: &Table) -> Vec<Tile> {
    let run = &plan.run;
    let used = metrics.last("categories_used").map_or("-".to_owned(), |used| used.to_string());
    let method = plan.recipe.method();
    let loss = |loss: &NamedLoss| (loss.short, metrics.last_text(loss.name), loss.meaning);
    let mut tiles = vec![
        (
            "steps",
            format!("{} of {}", metrics.last("step").unwrap_or_default(), run.horizon.total_steps),
            "updates of the weights",
        ),
        (
            "epochs",
            metrics.last("epoch").map_or("-".to_owned(), |epoch| format!("{epoch:.2}")),
            "times every picture was seen; the paper trains 200 to 800",
        ),
        ("pictures", run.index.len().to_string(), "in the training set; the paper has 118,287 and more"),
        ("encoder", plan.run.encoder(), "and what it started from"),
        ("loss", metrics.last_text("loss"), "the weighted sum"),
    ];
    tiles.extend(method.losses().iter().map(loss));
    tiles.push(("spread", metrics.last_text("spread"), "of the outputs: 1 is even, near 0 is collapse"));
    if method.categories().is_some() {
        tiles.push(("pseudo-categories used", used, "in one batch; few is collapse"));
    }
    tiles.extend([
        (
            "pictures a second",
            format!("{:.1}", metrics.median("pictures_per_second")),
            "median over the steps",
        ),
        ("peak memory", metrics.peak_memory(), "of this process; on a CUDA device, of tensors there"),
        ("device", run.machine(), "where the steps ran"),
    ]);
    tiles.into_iter().map(|(name, value, meaning)| Tile { name, value, meaning }).collect()
}

fn charts(plan: &Plan, metrics: &Table) -> Vec<Chart> {
    let one = |title: &str, unit: &str, label: &str, name: &str| metrics.chart(title, unit, &[(label, name)]);
    let health = [("spread", "spread"), ("category entropy", "category_entropy")];
    let time = [
        ("data", "seconds_data"),
        ("forward", "seconds_forward"),
        ("backward", "seconds_backward"),
        ("optimizer", "seconds_optimizer"),
        ("whole step, on a CUDA device", "seconds_step"),
    ];
    let method = plan.recipe.method();
    let mut charts: Vec<_> = method
        .losses()
        .iter()
        .map(|loss| {
            let mut chart = one(loss.title, "", loss.short, loss.name);
            // A loss is 0 before it starts, so its chart begins there, on its own scale.
            chart.series.iter_mut().for_each(|series| series.points.retain(|(_, loss)| *loss != 0.0));
            chart
        })
        .collect();
    charts.push(Chart {
        reference: Some(("even".to_owned(), 1.0)),
        ..metrics.chart("Health: spread of outputs, entropy of category use", "", &health)
    });
    charts.push(one("Rows that are closest to their positive", "share", "accuracy", "accuracy"));
    if let Some(categories) = method.categories() {
        charts.push(Chart {
            reference: Some(("all".to_owned(), categories as f64)),
            ..one("Pseudo-categories used in a batch", "", "categories", "categories_used")
        });
    }
    charts.extend([
        Chart { log_scale: true, ..one("Gradient norm", "", "gradient norm", "gradient_norm") },
        one("Learning rate", "", "learning rate", "learning_rate"),
        one("Throughput", "pictures / s", "pictures a second", "pictures_per_second"),
        metrics.chart("Where a step's time goes", "s", &time),
    ]);
    charts
}
