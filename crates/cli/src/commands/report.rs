//! `densesiam report`: runs beside each other on one page: where their recipes differ, their newest numbers, and their curves.

use std::fs;
use std::path::{Path, PathBuf};

use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::run::Table;
use densesiam_engine::run_dir::RunLayout;
use densesiam_report::page::{Chart, Comparison, Series};
use densesiam_settings::keys;
use densesiam_text::shown;

use super::refuse_existing;
use crate::answer::answer_line;

/// What of a run stands on the page.
struct Shown {
    name: String,
    recipe: toml::Table,
    /// The numbers of the steps, and those of the evaluations.
    numbers: [Table; 2],
}

/// Writes the page of these runs to `out`, whatever they have done so far.
pub(super) fn run(runs: &[PathBuf], out: &Path, overwrite: bool) -> Result<(), Error> {
    refuse_existing(out, overwrite)?;
    let runs = runs.iter().map(|run| Shown::read(run)).collect::<Result<Vec<_>, _>>()?;
    write_bytes(out, page(&runs).render().as_bytes())?;
    answer_line(out.display())
}

impl Shown {
    fn read(run: &Path) -> Result<Self, Error> {
        let layout = RunLayout::new(run);
        if !layout.recipe().exists() {
            return Err(Error::Usage(format!("{} is no run directory: it has no recipe.toml", shown(run))));
        }
        let text =
            fs::read_to_string(layout.recipe()).map_err(|source| Error::file(layout.recipe(), source))?;
        let recipe = keys::parse(&text, &layout.recipe().display().to_string())?;
        let numbers = [Table::read(&layout.metrics())?, Table::read(&layout.evaluations())?];
        Ok(Self { name: run.display().to_string(), recipe, numbers })
    }

    fn setting(&self, key: &str) -> String {
        keys::find(&self.recipe, key).map_or("-".into(), ToString::to_string)
    }

    fn points(&self, number: &str) -> Vec<(f64, f64)> {
        self.numbers.iter().flat_map(|table| table.points(number)).collect()
    }
}

fn page(runs: &[Shown]) -> Comparison {
    let row = |head: &str, of: &dyn Fn(&Shown) -> String| {
        std::iter::once(head.to_owned()).chain(runs.iter().map(of)).collect::<Vec<_>>()
    };
    let mut cells = vec![row("", &|run| run.name.clone())];
    // Where a run lies is its name, in the head.
    let differs = |key: &String| {
        !matches!(key.as_str(), "run.name" | "run.dir")
            && runs.iter().any(|run| run.setting(key) != runs[0].setting(key))
    };
    let all = in_order(runs.iter().flat_map(|run| keys::leaves(&run.recipe, "")));
    cells.extend(all.into_iter().filter(differs).map(|key| row(&key, &|run| run.setting(&key))));
    let numbers = in_order(runs.iter().flat_map(|run| run.numbers.iter().flat_map(Table::names)));
    let numbers = numbers.iter().filter(|name| !["step", "epoch"].contains(&name.as_str()));
    let mut charts = Vec::new();
    for name in numbers {
        let newest = |run: &Shown| run.points(name).last().map_or("-".into(), |&(_, value)| short(value));
        // Counts and phases of a step are rows; what is learnt is drawn.
        cells.push(row(name, &newest));
        if !name.starts_with("seconds_") {
            let curve = |run: &Shown| Series { name: run.name.clone(), points: run.points(name) };
            let series = runs.iter().map(curve).filter(|series| !series.points.is_empty()).collect();
            charts.push(Chart { title: name.clone(), series, ..Chart::default() });
        }
    }
    cells.insert(
        1,
        row("step", &|run| run.numbers[0].last("step").map_or("-".into(), |step| step.to_string())),
    );
    let title = runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ");
    Comparison { title, cells, charts }
}

/// A whole number as one, others with four decimals, or as many digits where they are small.
fn short(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => value.to_string(),
        ..0.001 => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

/// Each text once, where it was first.
fn in_order(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut once = Vec::new();
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    once
}
