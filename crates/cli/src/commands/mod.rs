//! The commands of the program, one file for each.

mod ablate;
mod bench;
mod command_line;
mod data;
mod demo;
mod doctor;
mod embed;
mod evaluate;
mod explore;
mod folder;
mod hours;
mod inspect;
mod keys;
mod knn;
mod predict;
mod pretrain;
mod probe;
mod processes;
mod report;
mod segment;
mod train;
mod transfer;
mod views;

use std::path::Path;

use clap::CommandFactory;
use densesiam::error::Error;
use densesiam::export::export;
use densesiam::recipe::builtin;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::waiting::bound_spinning;
use densesiam_text::shown;

pub(crate) use command_line::{Command, command_line};
pub(crate) use processes::{name, speaks};

use crate::answer::{answer, answer_line};
use command_line::{
    CommandLine, EvaluateArguments, PredictArguments, TrainArguments, ViewsArguments, path, takes_settings,
};

/// Does what the command line says.
///
/// # Errors
/// Any error that ended the command early.
pub(crate) fn run(command: Command) -> Result<(), Error> {
    if command.computes() {
        bound_spinning();
    }
    match command {
        Command::Pretrain(arguments) => pretrain::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Probe { arguments, seeds, json } => probe::run(&arguments, seeds, json),
        Command::Knn { arguments, json } => knn::run(&arguments, json),
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Explore(arguments) => explore::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Segment(arguments) => segment::run(&arguments),
        Command::Transfer(arguments) => transfer::run(&arguments),
        Command::Ablate(arguments) => ablate::run(&arguments),
        Command::Views(arguments) => views::run(&arguments),
        Command::Export { checkpoint, format, out, overwrite } => {
            let out = out.unwrap_or_else(|| format.default_path());
            refuse_existing(&out, overwrite)?;
            answer_line(export(&checkpoint, format, &out)?)
        }
        Command::Inspect { path, json } => inspect::run(&path, json),
        Command::Report { runs, out, overwrite } => report::run(&runs, &out, overwrite),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "densesiam", &mut script);
            answer(String::from_utf8_lossy(&script))
        }
        Command::Man { out } => {
            std::fs::create_dir_all(&out).map_err(|error| Error::file(&out, error))?;
            clap_mangen::generate_to(CommandLine::command(), &out).map_err(|error| Error::file(&out, error))
        }
        Command::Data(command) => data::run(&command),
        Command::Demo { settings } => demo::run(&settings),
        Command::Recipes { name } => recipes(name.as_deref()),
        Command::Keys { task, pattern } => keys::run(task.as_deref(), pattern.as_deref()),
        Command::Bench(bench) => bench::run(&bench),
        Command::Doctor { pictures, json, processes } => doctor::run(pictures.as_deref(), json, &processes),
    }
}

/// The signals by which a user asks to stop. A launcher may hand on a Ctrl-C that the terminal has sent to its processes already: it
/// is one request, and the launcher ends those that do not follow it.
fn interrupt() -> Result<Interrupt, Error> {
    Interrupt::install(!processes::by_launcher()).map_err(|error| Error::Internal(error.to_string()))
}

/// Errs where a file would be replaced without having been asked to.
fn refuse_existing(out: &Path, overwrite: bool) -> Result<(), Error> {
    if out.exists() && !overwrite {
        let message = format!("{} exists; replace it with --overwrite or name another --out", shown(out));
        return Err(Error::Usage(message));
    }
    Ok(())
}

fn recipes(name: Option<&str>) -> Result<(), Error> {
    let Some(name) = name else {
        let all = builtin::RECIPES.iter().chain(&builtin::ABLATIONS);
        return answer(all.map(|(name, _)| format!("{name}\n")).collect::<String>());
    };
    let unknown = || {
        let all = [&builtin::RECIPES[..], &builtin::ABLATIONS].concat();
        Error::Usage(format!("there is no recipe {name:?}; {}", builtin::names_like(&all, name)))
    };
    answer(builtin::find(name).or_else(|| builtin::find_ablation(name)).ok_or_else(unknown)?)
}
