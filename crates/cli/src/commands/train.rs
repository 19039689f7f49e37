//! What the commands that train have in common: they find the other processes, the recipe and its length, and where to begin.

use std::fmt::Display;

use densesiam::error::Error;
use densesiam::run::Run;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;

use super::hours::{Measured, Timed, dry_run};
use super::processes::{self, GoingOn, Processes};
use super::{TrainArguments, interrupt};

/// Finds a recipe, plans with it, and trains as planned. `find` is told which run would go on, and of the other
/// processes; `run_of` is the plan's run.
pub(super) fn run<R: Timed, P: Display>(
    arguments: &TrainArguments,
    find: impl FnOnce(&GoingOn, Option<&Processes>) -> Result<Measured<R>, Error>,
    plan: impl FnOnce(R) -> Result<P, Error>,
    run_of: impl FnOnce(&mut P) -> &mut Run,
    train: impl FnOnce(&P, Start, &Voice, &Interrupt) -> Result<(), Error>,
) -> Result<(), Error> {
    let processes = if arguments.dry_run { None } else { processes::start(&arguments.processes)? };
    let (processes, going_on) = (processes.as_ref(), GoingOn::of(arguments.resume)?);
    let measured = find(&going_on, processes)?.in_steps(&going_on, processes)?;
    let mut plan = plan(measured.recipe.clone())?;
    if arguments.dry_run {
        return dry_run(&measured, plan, run_of);
    }
    let run = run_of(&mut plan);
    processes::join(run, processes, "training")?;
    let voice = processes::voice();
    let start = going_on.start(&run.layout(), arguments.start(), &voice);
    voice.say(&plan);
    train(&plan, start, &voice, &interrupt()?)
}
