//! The report of a transfer, from what its run directory holds.

use densesiam_metrics::percent;
use densesiam_report::page::{
    Chart, ClassBar, ClassReport, ConfusionTable, Learnt, Report, Series, Sheets, Status, Tile, Verdict,
};
use densesiam_report::pictures::Palette;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::run::{Journal, Run, Table};

/// What the page of a task shows beside what every page has.
pub(super) struct Shown {
    /// The scores: names in `evaluations.jsonl`; the first is the headline.
    pub(super) scores: &'static [&'static str],
    /// What the headline means.
    pub(super) meaning: &'static str,
    /// The losses: labels and names.
    pub(super) losses: &'static [(&'static str, &'static str)],
    /// What the contact sheets show.
    pub(super) sheets: &'static str,
}

/// A detector's.
pub(super) const DETECTION: Shown = Shown {
    scores: &["AP", "AP50", "AP75", "mask_AP", "mask_AP50", "mask_AP75"],
    meaning: "percent; average precision, mean over the classes and over ten thresholds of overlap",
    losses: &[
        ("class", "loss_class"),
        ("box", "loss_box"),
        ("mask", "loss_mask"),
        ("proposals, class", "loss_rpn_class"),
        ("proposals, box", "loss_rpn_box"),
    ],
    sheets: "Pictures of the evaluation, with the boxes that were found with a score of 0.5 or more, and with those that \
        are there: first the pictures with the most errors, then those with the fewest.",
};

/// That of a segmentation.
pub(super) const SEGMENTATION: Shown = Shown {
    scores: &["mIoU", "aAcc", "mAcc"],
    meaning: "percent; overlap with the labels, mean over the classes",
    losses: &[("main head", "loss_main"), ("auxiliary head", "loss_auxiliary")],
    sheets: "Pictures of the evaluation, the classes that were found, and the labels.",
};

/// The page as HTML.
pub(super) fn render(run: &Run, journal: &Journal, status: Status, shown: &Shown) -> Result<String, Error> {
    let (metrics, evaluations) = (journal.metrics()?, journal.evaluations()?);
    let report = Report {
        title: run.common.run.name.clone(),
        verdict: verdict(run, &metrics, &evaluations, &status, shown),
        status,
        summary: summary(run, &metrics, &evaluations, shown),
        charts: charts(&metrics, &evaluations, shown).into_iter().filter(|chart| !chart.is_empty()).collect(),
        classes: evaluations.last_row().and_then(class_report),
        sheets: Sheets { sentence: shown.sheets, pictures: journal.sheets()? },
        recipe: run.recipe.clone(),
        environment: journal.environment(),
        warnings: journal.warnings(),
    };
    Ok(report.render())
}

fn verdict(run: &Run, metrics: &Table, evaluations: &Table, status: &Status, shown: &Shown) -> Verdict {
    let (name, encoder) = (shown.scores[0], run.encoder());
    let score = evaluations.last(name);
    let why = match score {
        Some(_) => format!("{name} {} from {encoder}.", percent(score)),
        None => format!("{encoder}; nothing was scored yet."),
    };
    let change =
        metrics.change("loss").map(|(first, last)| format!("The loss went from {first:.3} to {last:.3}."));
    let why: Vec<String> = [why].into_iter().chain(change).collect();
    match status {
        Status::Finished => Verdict::healthy("Trained and scored", why),
        Status::Running => Verdict::healthy("Training", why),
        Status::Interrupted => Verdict::healthy("Stopped on request", why),
        Status::Failed(_) => Verdict::doubtful("Failed", why),
    }
}

fn summary(run: &Run, metrics: &Table, evaluations: &Table, shown: &Shown) -> Vec<Tile> {
    let steps = format!("{} of {}", metrics.last("step").unwrap_or_default(), run.horizon.total_steps);
    let mut tiles = vec![("steps", steps, "updates of the weights")];
    let there = |name: &&str| evaluations.last(name).is_some() || !name.starts_with("mask");
    for (place, name) in shown.scores.iter().filter(|name| there(name)).enumerate() {
        tiles.push((
            name,
            percent(evaluations.last(name)),
            if place == 0 { shown.meaning } else { "percent" },
        ));
    }
    tiles.extend([
        ("encoder", run.encoder(), "and what it started from"),
        ("pictures", run.index.len().to_string(), "with labels, that it was trained on"),
        ("loss", metrics.last_text("loss"), "the sum of all losses"),
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

fn charts(metrics: &Table, evaluations: &Table, shown: &Shown) -> Vec<Chart> {
    let names: Vec<_> = shown.scores.iter().map(|&name| (name, name)).collect();
    let last = evaluations.last_row();
    [
        Some(in_percent(evaluations.chart("Scores", "percent", &names))),
        Some(in_percent(evaluations.chart("AP by the size of objects", "percent", &OF_SIZES))),
        Some(metrics.chart("Losses", "", shown.losses)),
        ap_of_classes(evaluations, "class_AP", "AP of each class"),
        ap_of_classes(evaluations, "mask_class_AP", "AP of the masks of each class"),
        last.and_then(|row| precision(row, "class_precision", "Precision over recall")),
        last.and_then(|row| precision(row, "mask_class_precision", "Precision over recall of the masks")),
        Some(metrics.chart("Learning rate", "", &[("learning rate", "learning_rate")])),
        Some(metrics.chart("Gradient norm", "", &[("gradient norm", "gradient_norm")])),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// COCO's average precision of objects of fewer than 32 x 32 pixels, of more than 96 x 96, and of those between.
const OF_SIZES: [(&str, &str); 6] = [
    ("small", "APs"),
    ("medium", "APm"),
    ("large", "APl"),
    ("mask, small", "mask_APs"),
    ("mask, medium", "mask_APm"),
    ("mask, large", "mask_APl"),
];

fn in_percent(mut chart: Chart) -> Chart {
    let points = chart.series.iter_mut().flat_map(|series| &mut series.points);
    points.for_each(|(_, score)| *score *= 100.0);
    chart.series.retain(|series| !series.points.is_empty());
    chart
}

/// The entries of a segmentation's evaluation about its classes.
#[derive(Deserialize)]
struct Recorded {
    step: u64,
    classes: Vec<String>,
    #[serde(default)]
    colours: Vec<Option<[u8; 3]>>,
    #[serde(rename = "class_IoU")]
    ious: Vec<Option<f64>>,
    #[serde(rename = "class_accuracy")]
    accuracies: Vec<Option<f64>>,
    confusion: Vec<Vec<u64>>,
}

/// The classes of a segmentation's evaluation; `None` of another.
fn class_report(row: &Value) -> Option<ClassReport> {
    let Recorded { step, classes, colours, ious, accuracies, confusion } = Recorded::deserialize(row).ok()?;
    let labelled: Vec<u64> = confusion.iter().map(|row| row.iter().sum()).collect();
    let (all, palette) = (labelled.iter().sum::<u64>().max(1), Palette(colours));
    let bar = |(number, name): (usize, &String)| {
        Some(ClassBar {
            name: name.clone(),
            colour: palette.colour_of(number),
            thing: false,
            matched: true,
            share: *labelled.get(number)? as f64 / all as f64,
            iou: *ious.get(number)?,
            accuracy: *accuracies.get(number)?,
        })
    };
    let bars = classes.iter().enumerate().map(bar).collect::<Option<Vec<_>>>()?;
    let class_of_category = (0..bars.len()).map(Some).collect();
    let whole = confusion.len() == bars.len() && confusion.iter().all(|row| row.len() == bars.len());
    let confusion = whole.then_some(ConfusionTable { counts: confusion, class_of_category });
    Some(ClassReport { step, learnt: Learnt::WithLabels, bars, confusion })
}

/// AP of the classes in a detector's evaluations, by its name there; `None` if it has none.
fn ap_of_classes(evaluations: &Table, name: &str, title: &str) -> Option<Chart> {
    let classes = evaluations.last_row()?.get("classes")?.as_array()?;
    let series = |(class, words): (usize, &Value)| {
        let points = evaluations.rows().filter_map(|row| {
            let score = row.get(name)?.get(class)?.as_f64()?;
            Some((row.get("step")?.as_f64()?, score))
        });
        Some(Series { name: words.as_str()?.to_owned(), points: points.collect() })
    };
    let series = classes.iter().enumerate().filter_map(series).collect();
    Some(in_percent(Chart { title: title.into(), y_label: "percent".into(), series, ..Chart::default() }))
}

/// Precision over recall of each class in the last evaluation of a detector, by its name there.
fn precision(row: &Value, name: &str, words: &str) -> Option<Chart> {
    let (classes, curves) = (row.get("classes")?.as_array()?, row.get(name)?.as_array()?);
    let recall: Vec<f64> = serde_json::from_value(row.get("recall")?.clone()).ok()?;
    let series = classes.iter().zip(curves).filter_map(|(class, curve)| {
        let precision: Vec<f64> = serde_json::from_value(curve.clone()).ok()?;
        let points =
            recall.iter().map(|recall| 100.0 * recall).zip(precision.into_iter().map(|one| 100.0 * one));
        Some(Series { name: class.as_str()?.to_owned(), points: points.collect() })
    });
    let title = format!("{words} at an overlap of 0.5, last evaluation");
    Some(Chart { title, y_label: "percent".into(), series: series.collect(), ..Chart::default() })
}
