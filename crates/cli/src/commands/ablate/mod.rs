//! `densesiam ablate`: a list of variants of one recipe over seeds, and their table.

mod table;
mod trained;

use std::path::{Path, PathBuf};

use clap::Args;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::run_dir::Start;

use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::recipe::ablation::{Ablation, Task, Variant};
use densesiam::recipe::load;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::tasks::probe;

use self::table::{Figures, Outcome, Row, as_json, markdown, number, page};
use self::trained::Trained;

/// `densesiam ablate`
#[derive(Debug, Args)]
pub(crate) struct AblateArguments {
    /// A list of variants: a TOML file, or the name of one that the program carries (see `densesiam recipes`)
    pub list: String,
    /// Settings laid over the recipe of every variant, as key=value; `densesiam keys` explains them. In a list of several
    /// transfers, NAME.key=value is for one of them (voc.data.root=VOCdevkit)
    pub settings: Vec<String>,
    /// The recipe that is varied, in place of the list's
    #[arg(long)]
    pub recipe: Option<String>,
    /// An encoder for a list of transfers: the name of its row, and a run, a weights file, or `random`; again for each
    #[arg(long, value_name = "NAME=RUN", value_parser = name_and_weights)]
    pub encoder: Vec<(String, String)>,
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

fn name_and_weights(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(name, weights)| (name.to_owned(), weights.to_owned()));
    let given = parts.filter(|(name, weights)| !name.is_empty() && !weights.is_empty());
    given.ok_or_else(|| "not NAME=RUN, as in DenseSiam=runs/folder_r18".to_owned())
}

/// One training that the table needs.
struct Planned {
    row: usize,
    /// What its recipe is called in the list; nothing, if there is only one.
    called: String,
    seed: u64,
    run: PathBuf,
    trained: Trained,
}

/// Runs what has not been run yet, and prints the table. A run that fails on its own, with a loss that is not finite,
/// keeps its place in the table. Any other failure ends the ablation, and the same command continues it later.
pub(super) fn run(arguments: &AblateArguments) -> Result<(), Error> {
    let ablation = Ablation::find(&arguments.list)?;
    check(&ablation, arguments)?;
    let ablation = ablation.with_encoders(&arguments.encoder);
    let (folder, planned) = plan(&ablation, arguments)?;
    if arguments.dry_run {
        for Planned { row, called, run, .. } in &planned {
            let variant = &ablation.variants[*row];
            let called = Some(called).filter(|called| !called.is_empty());
            let own = called.into_iter().chain(&variant.recipe).chain(&variant.settings).map(String::as_str);
            answer_line(format_args!("{}: {}", run.display(), own.collect::<Vec<_>>().join(" ")))?;
        }
        return Ok(());
    }
    let random = Variant { name: "random weights".into(), ..Variant::default() };
    let mut rows = Vec::new();
    if let (Some(first), false) = (planned.first(), arguments.probe.is_empty()) {
        let architecture = [format!("encoder.architecture={}", first.trained.architecture().key())];
        let mut row = Row::of(&random);
        for seed in first.seed..first.seed + arguments.seeds {
            row.outcomes.push((seed, Ok(probed("random", arguments, &architecture, seed)?)));
        }
        rows.push(row);
    }
    let before = rows.len();
    rows.extend(ablation.variants.iter().map(Row::of));
    let mut curves = Vec::new();
    for Planned { row, called, seed, run, trained } in planned {
        let Row { variant, outcomes } = &mut rows[before + row];
        let name = format!("{}, seed {seed}", variant.name);
        say(format_args!("\n{name}{}{called}", if called.is_empty() { "" } else { ", " }));
        let mut outcome = outcome(&trained, &run, arguments.overwrite)?;
        if let (Ok(figures), false) = (&mut outcome, arguments.probe.is_empty()) {
            figures.extend(probed(&run.display().to_string(), arguments, &[], seed)?);
        }
        let named = |figure: String| if called.is_empty() { figure } else { format!("{called} {figure}") };
        let named =
            |figures: Figures| figures.into_iter().map(|(figure, value)| (named(figure), value)).collect();
        let of_one = |why: String| if called.is_empty() { why } else { format!("{called}: {why}") };
        outcomes.push((seed, outcome.map(named).map_err(of_one)));
        curves.push((called.clone(), trained.curve(&run, name)?));
        write_bytes(&folder.join("ablation.md"), markdown(&ablation, &rows).as_bytes())?;
        write_bytes(&folder.join("ablation.html"), page(&ablation, &rows, &curves).as_bytes())?;
    }
    let table = if arguments.json {
        format!("{:#}\n", as_json(&ablation, &rows))
    } else {
        markdown(&ablation, &rows)
    };
    answer(table)
}

/// Refuses arguments that the list has no use for.
fn check(ablation: &Ablation, arguments: &AblateArguments) -> Result<(), Error> {
    let own = ablation.variants.iter().find(|variant| variant.recipe.is_some());
    let complaint = match (&arguments.recipe, own) {
        (Some(_), Some(variant)) => {
            format!(
                "--recipe replaces the list's recipe, and {:?} has one of its own; copy the list",
                variant.name
            )
        }
        (Some(_), _) if !ablation.transfers.is_empty() => {
            "--recipe replaces the list's recipe, and this list has several; copy the list".into()
        }
        _ if ablation.task != Task::Transfer && !arguments.encoder.is_empty() => {
            "--encoder is for a list of transfers; others begin with encoder.weights=RUN".into()
        }
        _ if ablation.task == Task::Transfer && !arguments.probe.is_empty() => {
            "--probe is for encoders that the list trains; `densesiam probe` takes encoders that are there"
                .into()
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(complaint))
}

/// The folder of the list, and its trainings seed by seed, so that a first table is complete early. Every variant is checked before
/// the first is run.
fn plan(ablation: &Ablation, arguments: &AblateArguments) -> Result<(PathBuf, Vec<Planned>), Error> {
    let recipes = ablation.recipes();
    let replaced = |recipe| arguments.recipe.as_deref().unwrap_or(recipe);
    let trained = || ablation.variants.iter().enumerate().filter(|(_, variant)| ablation.trains(variant));
    let Some((_, first)) = trained().next() else {
        let message = "no row has an encoder; give one, as --encoder DenseSiam=runs/folder_r18";
        return Err(Error::Usage(message.into()));
    };
    let settings = |called: &str, variant: &Variant| {
        let all: Vec<String> = arguments.settings.iter().chain(&variant.settings).cloned().collect();
        ablation.settings_of(called, &all)
    };
    let (called, recipe) = recipes[0];
    let mut plain = Trained::find(ablation.task, first.recipe(replaced(recipe)), &settings(called, first))?;
    let common = plain.common();
    let (folder, seed) = (Path::new(&common.run.dir).join(&ablation.name), common.run.seed);
    let mut planned = Vec::new();
    for seed in seed..seed + arguments.seeds {
        for (row, variant) in trained() {
            for &(called, recipe) in &recipes {
                let parts = [variant.folder(), called.to_owned(), format!("s{seed}")];
                let name =
                    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("_");
                let mut settings = settings(called, variant);
                settings.extend([
                    format!("run.dir={}", folder.display()),
                    format!("run.name={name}"),
                    format!("run.seed={seed}"),
                ]);
                let trained = Trained::find(ablation.task, variant.recipe(replaced(recipe)), &settings)?;
                let run = folder.join(name);
                planned.push(Planned { row, called: called.to_owned(), seed, run, trained });
            }
        }
    }
    // Another seed cannot make a recipe invalid.
    let mut of_first = planned.iter().filter(|planned| planned.seed == seed && !arguments.dry_run);
    of_first.try_for_each(|planned| planned.trained.clone().check())?;
    Ok((folder, planned))
}

fn outcome(trained: &Trained, run: &Path, overwrite: bool) -> Result<Outcome, Error> {
    let start = match run.exists() {
        false => Start::New,
        true if overwrite => Start::Overwrite,
        true => Start::Resume,
    };
    match trained.clone().train(start) {
        Ok(()) => Ok(Ok(trained.figures(run)?)),
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
    let Some(figure) = figures.first() else { return Ok(Figures::new()) };
    let percent = |score: Option<f64>| 100.0 * score.unwrap_or_default();
    let overall = &figure.scores.overall;
    let scores = [("probe mIoU", percent(overall.miou)), ("probe aAcc", percent(overall.aacc))];
    let absent = number(&figure.absent).map(|count| ("probe absent classes", count));
    Ok(scores.into_iter().chain(absent).map(|(name, value)| (name.to_owned(), value)).collect())
}
