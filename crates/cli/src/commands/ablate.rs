//! `densesiam ablate`: a list of variants of one recipe over seeds, and their table.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::run_dir::{RunLayout, Start};
use densesiam_metrics::Spread;
use serde_json::{Value, json};

use super::interrupt;
use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::import::check_encoder;
use densesiam::recipe::ablation::{Ablation, Task, Variant};
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{Training, find, load};
use densesiam::run::Table;
use densesiam::tasks::segment::Absent;
use densesiam::tasks::{pretrain, probe, segment};

/// `densesiam ablate`
#[derive(Debug, Args)]
pub(crate) struct AblateArguments {
    /// A list of variants: a TOML file, or the name of one that the program carries (see `densesiam recipes`)
    pub list: String,
    /// Settings laid over the recipe of every variant, as key=value; `densesiam keys` explains them
    pub settings: Vec<String>,
    /// The recipe that is varied, in place of the list's
    #[arg(long)]
    pub recipe: Option<String>,
    /// Runs of each variant, with the seeds from run.seed on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Also probe each run's encoder, and random weights beside them; a setting of `densesiam probe`, again for each
    /// (--probe data.root=CAMVID --probe probe.features=c4)
    #[arg(long, value_name = "KEY=VALUE")]
    pub probe: Vec<String>,
    /// Replace runs that are there; otherwise they are taken up where they stopped
    #[arg(long)]
    pub overwrite: bool,
    /// Print what would be run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// Named figures of one run.
type Figures = Vec<(&'static str, f64)>;

/// The figures of one run, or why it ended early.
type Outcome = Result<Figures, String>;

/// All outcomes of one variant, by seed.
struct Row<'a> {
    variant: &'a Variant,
    outcomes: Vec<(u64, Outcome)>,
}

/// Runs what has not been run yet, and prints the table. A run that fails on its own, with a loss that is not finite,
/// keeps its place in the table. Any other failure ends the ablation, and the same command continues it later.
pub(super) fn run(arguments: &AblateArguments) -> Result<(), Error> {
    let ablation = Ablation::find(&arguments.list)?;
    match ablation.task {
        Task::Pretrain => ablate::<PretrainRecipe>(&ablation, arguments),
        Task::Segment => ablate::<SegmentRecipe>(&ablation, arguments),
    }
}

/// Figures by which variants are compared; the first one that exists is used. A loss is not among them, because
/// variants have different losses.
const SCORES: [&str; 2] = ["last mIoU", "probe mIoU"];

/// A recipe that can be ablated.
trait Ablated: Training {
    /// Checks that a run of this recipe could begin.
    fn check(self) -> Result<(), Error>;

    /// Trains in the recipe's run directory.
    fn train(self, start: Start) -> Result<(), Error>;

    /// The figures of a finished run.
    fn figures(run: &RunLayout) -> Result<Figures, Error>;
}

impl Ablated for PretrainRecipe {
    fn check(self) -> Result<(), Error> {
        check_encoder(&pretrain::Plan::new(self)?.recipe)
    }

    fn train(self, start: Start) -> Result<(), Error> {
        let plan = pretrain::Plan::new(self)?;
        say(&plan);
        pretrain::pretrain(&plan, start, &Voice::Terminal, &interrupt()?)
    }

    fn figures(run: &RunLayout) -> Result<Figures, Error> {
        let metrics = Table::read(&run.metrics())?;
        let last = |name: &'static str| metrics.last(name).map(|value| (name, value));
        let mut figures: Figures =
            ["loss", "spread", "categories_used"].into_iter().filter_map(last).collect();
        figures.push(("pictures/s", metrics.median("pictures_per_second")));
        Ok(figures)
    }
}

impl Ablated for SegmentRecipe {
    fn check(self) -> Result<(), Error> {
        check_encoder(&segment::Plan::new(self)?.recipe)
    }

    fn train(self, start: Start) -> Result<(), Error> {
        let plan = segment::Plan::new(self)?;
        say(&plan);
        segment::segment(&plan, start, &Voice::Terminal, &interrupt()?)
    }

    fn figures(run: &RunLayout) -> Result<Figures, Error> {
        let evaluations = Table::read(&run.evaluations())?;
        let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
        let figures = [
            ("last mIoU", percent(evaluations.last("mIoU"))),
            ("best mIoU", percent(evaluations.values("mIoU").reduce(f64::max))),
            ("last aAcc", percent(evaluations.last("aAcc"))),
            ("absent classes", evaluations.last_row().and_then(Absent::recorded).and_then(|of| number(&of))),
        ];
        Ok(figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

fn ablate<R: Ablated>(ablation: &Ablation, arguments: &AblateArguments) -> Result<(), Error> {
    let own = ablation.variants.iter().find(|variant| variant.recipe.is_some());
    if let (Some(variant), Some(_)) = (own, &arguments.recipe) {
        let message = format!(
            "--recipe replaces the list's recipe, and {:?} has one of its own; copy the list",
            variant.name
        );
        return Err(Error::Usage(message));
    }
    let base = arguments.recipe.as_deref().unwrap_or(&ablation.recipe);
    let mut plain: R = find(base, &arguments.settings)?;
    let (folder, first) = (Path::new(&plain.run().dir).join(&ablation.name), plain.run().seed);
    let seeds = || first..first + arguments.seeds;
    // Runs seed by seed, so that a first table is complete early; every variant is checked before the first is run.
    let mut planned = Vec::new();
    for seed in seeds() {
        for (place, variant) in ablation.variants.iter().enumerate() {
            let name = format!("{}_s{seed}", variant.folder());
            let recipe: R =
                find(variant.recipe(base), &settings(arguments, variant, (&folder, &name, seed)))?;
            // Another seed cannot make a recipe invalid.
            if seed == first && !arguments.dry_run {
                recipe.clone().check()?;
            }
            planned.push((place, seed, folder.join(name), recipe));
        }
    }
    if arguments.dry_run {
        for (place, _, run, _) in &planned {
            let variant = &ablation.variants[*place];
            let own = variant.recipe.iter().chain(&variant.settings).map(String::as_str);
            answer_line(format_args!("{}: {}", run.display(), own.collect::<Vec<_>>().join(" ")))?;
        }
        return Ok(());
    }
    let random =
        Variant { name: "random weights".into(), recipe: None, settings: vec![], paper: String::new() };
    let mut rows = Vec::new();
    if !arguments.probe.is_empty() {
        let architecture = [format!("encoder.architecture={}", plain.architecture().key())];
        let outcome = |seed| Ok((seed, Ok(probed("random", arguments, &architecture, seed)?)));
        rows.push(Row { variant: &random, outcomes: seeds().map(outcome).collect::<Result<_, Error>>()? });
    }
    let before = rows.len();
    rows.extend(ablation.variants.iter().map(|variant| Row { variant, outcomes: Vec::new() }));
    for (place, seed, run, recipe) in planned {
        let Row { variant, outcomes } = &mut rows[before + place];
        say(format_args!("\n{}, seed {seed}", variant.name));
        let mut outcome = outcome(recipe, &run, arguments.overwrite)?;
        if let (Ok(figures), false) = (&mut outcome, arguments.probe.is_empty()) {
            figures.extend(probed(&run.display().to_string(), arguments, &[], seed)?);
        }
        outcomes.push((seed, outcome));
        let path = folder.join("ablation.md");
        write_bytes(&path, markdown(ablation, &rows).as_bytes())?;
    }
    let table =
        if arguments.json { format!("{:#}\n", as_json(ablation, &rows)) } else { markdown(ablation, &rows) };
    answer(table)
}

/// The variant wins over the command line, which wins over the recipe.
fn settings(
    arguments: &AblateArguments,
    variant: &Variant,
    (folder, name, seed): (&Path, &str, u64),
) -> Vec<String> {
    let own =
        [format!("run.dir={}", folder.display()), format!("run.name={name}"), format!("run.seed={seed}")];
    arguments.settings.iter().chain(&variant.settings).cloned().chain(own).collect()
}

fn outcome<R: Ablated>(recipe: R, run: &Path, overwrite: bool) -> Result<Outcome, Error> {
    let start = match run.exists() {
        false => Start::New,
        true if overwrite => Start::Overwrite,
        true => Start::Resume,
    };
    match recipe.train(start) {
        Ok(()) => Ok(Ok(R::figures(&RunLayout::new(run))?)),
        Err(error @ (Error::NotFinite { .. } | Error::Collapsed { .. })) => Ok(Err(error.to_string())),
        Err(error) => {
            if error.was_asked_for() {
                say("\nthe same command goes on with the ablation where it was stopped");
            }
            Err(error)
        }
    }
}

/// The linear probe of one encoder.
fn probed(encoder: &str, arguments: &AblateArguments, more: &[String], seed: u64) -> Result<Figures, Error> {
    let own = [format!("encoder={encoder}"), format!("run.seed={seed}")];
    let all: Vec<String> = own.iter().chain(more).chain(&arguments.probe).cloned().collect();
    let (encoders, settings) = probe::encoders_and_settings(&all)?;
    let recipe: ProbeRecipe = load("", "the defaults", &settings)?;
    let figures = probe::probe(&probe::Plan::new(recipe, encoders, 1)?, &Voice::Terminal)?;
    let overall = figures.first().map(|figure| figure.scores.overall);
    let percent = |score: Option<f64>| 100.0 * score.unwrap_or_default();
    let named = overall.map(|of| vec![("probe mIoU", percent(of.miou)), ("probe aAcc", percent(of.aacc))]);
    let absent = figures.first().and_then(|figure| number(&figure.absent));
    let absent = absent.map(|count| ("probe absent classes", count));
    Ok(named.unwrap_or_default().into_iter().chain(absent).collect())
}

/// The number of classes that a score says nothing about, if any.
fn number(absent: &Absent) -> Option<f64> {
    (absent.count() > 0).then_some(absent.count() as f64)
}

impl Row<'_> {
    /// The figures with this name, from all seeds that have one.
    fn values(&self, name: &str) -> Vec<f64> {
        let figures = self.outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).flatten();
        figures.filter(|(other, _)| *other == name).map(|(_, value)| *value).collect()
    }
}

/// A table of means and standard deviations; the first score also as the difference from the first variant.
fn markdown(ablation: &Ablation, rows: &[Row]) -> String {
    let names = names(rows);
    let mean = |row: &Row, name: &str| Spread::of(row.values(name)).map(|spread| spread.mean);
    let has_paper = rows.iter().any(|row| !row.variant.paper.is_empty());
    let mut header = vec!["variant".to_owned(), "seeds".to_owned()];
    header.extend(names.iter().map(|name| (*name).to_owned()));
    let compared = names.iter().find(|name| SCORES.contains(name));
    header.extend(compared.map(|name| format!("{name}, difference")));
    header.extend(has_paper.then(|| format!("paper: {}", ablation.paper_measure)));
    let line = |row: &Row| {
        let mut cells = vec![row.variant.name.clone()];
        let finished = row.outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        let failed = row.outcomes.len() - finished;
        cells.push(if failed == 0 { finished.to_string() } else { format!("{finished}, {failed} failed") });
        let spread = |name: &&str| Spread::of(row.values(name)).map_or("-".to_owned(), |s| s.to_string());
        cells.extend(names.iter().map(spread));
        let difference = |name: &&str| {
            let of_both = mean(row, name).zip(mean(&rows[0], name));
            of_both.map_or("-".to_owned(), |(own, first)| format!("{:+.2}", own - first))
        };
        cells.extend(compared.map(difference));
        cells.extend(has_paper.then(|| row.variant.paper.clone()));
        cells
    };
    let cells: Vec<Vec<String>> = std::iter::once(header).chain(rows.iter().map(line)).collect();
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

/// The names of all figures, in the order in which they first occur.
fn names(rows: &[Row]) -> Vec<&'static str> {
    let outcomes = rows.iter().flat_map(|row| &row.outcomes);
    let mut names = Vec::new();
    for (name, _) in outcomes.filter_map(|(_, outcome)| outcome.as_ref().ok()).flatten() {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    names
}

fn as_json(ablation: &Ablation, rows: &[Row]) -> Value {
    let outcome = |(seed, outcome): &(u64, Outcome)| match outcome {
        Ok(figures) => {
            json!({"seed": seed, "figures": figures.iter().copied().collect::<std::collections::BTreeMap<_, _>>()})
        }
        Err(why) => json!({"seed": seed, "failed": why}),
    };
    let row = |row: &Row| {
        json!({
            "name": row.variant.name,
            "recipe": row.variant.recipe,
            "settings": row.variant.settings,
            "paper": row.variant.paper,
            "runs": row.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        })
    };
    json!({"ablation": ablation.name, "paper_measure": ablation.paper_measure, "variants": rows.iter().map(row).collect::<Vec<_>>()})
}
