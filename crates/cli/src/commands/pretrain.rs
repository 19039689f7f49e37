//! `densesiam pretrain`: finds the recipe and runs it.

use std::path::Path;

use densesiam_data::index::names_shards;

use super::hours::{Measured, dry_run};
use super::{TrainArguments, folder, interrupt, processes};
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::tasks::pretrain::{Plan, pretrain};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let membership = if arguments.dry_run { None } else { processes::start(&arguments.processes)? };
    let restarted = processes::restarted()?;
    let resume = arguments.resume || restarted;
    let measured = load(&arguments.recipe, &arguments.settings, resume, membership.is_some())?;
    if membership.is_some() {
        processes::refuse_measured(&measured.recipe)?;
    }
    let measured = measured.in_steps(resume)?;
    let mut plan = Plan::new(measured.recipe.clone())?;
    if arguments.dry_run {
        return dry_run(&measured, &plan, &plan.run);
    }
    plan.run = processes::join(plan.run, membership.as_ref())?;
    let (voice, start) = (processes::voice(), processes::start_of(&plan.run, restarted, arguments.start()));
    voice.say(&plan);
    pretrain(&plan, start, &voice, &interrupt()?)
}

/// A recipe, or the folder recipe for a folder of pictures or tar shards, with the settings of the command line
/// applied. One of several processes measures nothing.
fn load(
    recipe: &str,
    settings: &[String],
    resume: bool,
    several: bool,
) -> Result<Measured<PretrainRecipe>, Error> {
    let path = Path::new(recipe);
    let pictures = path.is_dir() || names_shards(path);
    if !pictures || path.join("recipe.toml").is_file() {
        return find(recipe, settings).map(Measured::not_yet);
    }
    // The values that were chosen when the run began stay valid, also on another machine.
    let run = folder::run_directory(recipe, settings)?;
    let begun = resume && run.join("recipe.toml").is_file();
    match begun {
        true => find(&run.display().to_string(), settings).map(Measured::not_yet),
        false => folder::recipe(recipe, settings, several),
    }
}
