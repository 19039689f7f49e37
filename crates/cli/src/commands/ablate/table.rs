//! The table of an ablation: as Markdown, as JSON, and as a page with curves.

use std::collections::BTreeMap;
use std::fmt::Write;

use densesiam::recipe::ablation::{Ablation, Paper, Variant};
use densesiam::tasks::segment::{Absent, Cost};
use densesiam_metrics::Spread;
use densesiam_report::page::{Chart, Comparison, Series};
use serde_json::{Value, json};

/// Named figures of one run.
pub(super) type Figures = Vec<(String, f64)>;

/// The figures of one run, or why it ended early.
pub(super) type Outcome = Result<Figures, String>;

/// All outcomes of one variant, by seed.
pub(super) struct Row<'a> {
    pub(super) variant: &'a Variant,
    pub(super) outcomes: Vec<(u64, Outcome)>,
}

/// Figures by which variants are compared; the first one that exists is used. A loss is not among them, because
/// variants have different losses.
const SCORES: [&str; 4] = ["last mIoU", "probe mIoU", "mIoU", "AP"];

/// The number of classes that a score says nothing about, if any.
pub(super) fn number(absent: &Absent) -> Option<f64> {
    (absent.count() > 0).then_some(absent.count() as f64)
}

impl<'a> Row<'a> {
    /// A variant that was not run yet.
    pub(super) fn of(variant: &'a Variant) -> Self {
        Self { variant, outcomes: Vec::new() }
    }

    /// The figures with this name, from all seeds that have one.
    fn values(&self, name: &str) -> Vec<f64> {
        let figures = self.outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).flatten();
        figures.filter(|(other, _)| other == name).map(|(_, value)| *value).collect()
    }

    /// How many seeds have been run, and how many of these have failed, perhaps in one of several transfers.
    fn seeds(&self) -> String {
        let mut seeds: BTreeMap<u64, bool> = BTreeMap::new();
        for (seed, outcome) in &self.outcomes {
            *seeds.entry(*seed).or_default() |= outcome.is_err();
        }
        let failed = seeds.values().filter(|failed| **failed).count();
        let finished = seeds.len() - failed;
        if failed == 0 { finished.to_string() } else { format!("{finished}, {failed} failed") }
    }
}

/// A table of means and standard deviations.
pub(super) fn markdown(ablation: &Ablation, rows: &[Row]) -> String {
    let cells = cells(ablation, rows);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
    let mut text = String::new();
    for (place, row) in cells.iter().enumerate() {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "| {} |", padded.collect::<Vec<_>>().join(" | "));
        if place == 0 {
            let rule = widths.iter().map(|width| "-".repeat(*width));
            let _ = writeln!(text, "|-{}-|", rule.collect::<Vec<_>>().join("-|-"));
        }
    }
    text
}

/// The same table, and a curve of each run below it.
pub(super) fn page(ablation: &Ablation, rows: &[Row], curves: &[(String, (&str, Series))]) -> String {
    let mut charts: Vec<Chart> = Vec::new();
    for (called, (shown, series)) in curves {
        let title = format!("{called} {shown}").trim().to_owned();
        match charts.iter_mut().find(|chart| chart.title == title) {
            Some(chart) => chart.series.push(series.clone()),
            None => charts.push(Chart { title, series: vec![series.clone()], ..Chart::default() }),
        }
    }
    Comparison { title: ablation.name.clone(), cells: cells(ablation, rows), charts }.render()
}

/// The cells of the table, the head first: of each variant what was measured, the first score also as the difference from the
/// first variant, and in a row of their own the figures that are copied from the paper.
fn cells(ablation: &Ablation, rows: &[Row]) -> Vec<Vec<String>> {
    let names = names(rows);
    let mean = |row: &Row, name: &str| Spread::of(row.values(name)).map(|spread| spread.mean);
    let measure = Some(&ablation.paper_measure).filter(|measure| !measure.is_empty());
    let compared = SCORES.iter().find(|score| names.iter().any(|name| name == *score));
    let mut head = vec!["variant".to_owned(), "seeds".to_owned()];
    head.extend(names.iter().cloned());
    head.extend(compared.map(|name| format!("{name}, difference")));
    // Of a cost each variant's share of the first one's is shown.
    let cost = names.iter().any(|name| name == Cost::TRAINING).then_some(Cost::TRAINING);
    head.extend(cost.map(|name| format!("{name}, share")));
    head.extend(measure.map(|measure| format!("paper: {measure}")));
    let measured = |row: &Row| {
        let mut cells = vec![row.variant.name.clone(), row.seeds()];
        let spread = |name: &String| Spread::of(row.values(name)).map_or("-".to_owned(), |s| s.to_string());
        cells.extend(names.iter().map(spread));
        let beside_first = |name: &str, written: fn(f64, f64) -> String| {
            let of_both = mean(row, name).zip(mean(&rows[0], name));
            of_both.map_or("-".to_owned(), |(own, first)| written(own, first))
        };
        let difference = |own, first| format!("{:+.2}", own - first);
        let share = |own, first| format!("{:.0} %", 100.0 * own / first);
        cells.extend(compared.map(|name| beside_first(name, difference)));
        cells.extend(cost.map(|name| beside_first(name, share)));
        cells.extend(measure.map(|_| match &row.variant.paper {
            Paper::Measure(figure) => figure.clone(),
            Paper::Figures(_) => String::new(),
        }));
        cells
    };
    let copied = |variant: &Variant, figures: &BTreeMap<String, f64>| {
        let mut cells = vec![variant.name.clone(), "the paper's".to_owned()];
        let figure =
            |name: &String| figures.get(name).map_or("-".to_owned(), |figure| format!("{figure:.1}"));
        cells.extend(names.iter().map(figure));
        cells.resize(head.len(), String::new());
        cells
    };
    let of_row = |row: &Row| match &row.variant.paper {
        Paper::Figures(figures) if row.outcomes.is_empty() => vec![copied(row.variant, figures)],
        Paper::Figures(figures) => vec![measured(row), copied(row.variant, figures)],
        Paper::Measure(_) => vec![measured(row)],
    };
    let below: Vec<_> = rows.iter().flat_map(of_row).collect();
    [head].into_iter().chain(below).collect()
}

/// The names of all figures, in the order in which they first occur.
fn names(rows: &[Row]) -> Vec<String> {
    let outcomes = rows.iter().flat_map(|row| &row.outcomes);
    let mut names = Vec::new();
    for (name, _) in outcomes.filter_map(|(_, outcome)| outcome.as_ref().ok()).flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The outcomes of all seeds.
pub(super) fn as_json(ablation: &Ablation, rows: &[Row]) -> Value {
    let outcome = |(seed, outcome): &(u64, Outcome)| match outcome {
        Ok(figures) => json!({"seed": seed, "figures": figures.iter().cloned().collect::<BTreeMap<_, _>>()}),
        Err(why) => json!({"seed": seed, "failed": why}),
    };
    let row = |row: &Row| {
        json!({
            "name": row.variant.name,
            "recipe": row.variant.recipe,
            "settings": row.variant.settings,
            "paper": match &row.variant.paper {
                Paper::Measure(figure) => json!(figure),
                Paper::Figures(figures) => json!(figures),
            },
            "runs": row.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        })
    };
    json!({"ablation": ablation.name, "paper_measure": ablation.paper_measure, "variants": rows.iter().map(row).collect::<Vec<_>>()})
}
