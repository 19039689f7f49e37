//! `densesiam segment`: finds the recipe and runs it.

use super::{TrainArguments, interrupt, processes};

use super::hours::{Measured, dry_run};
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::tasks::segment::{Plan, segment};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let membership = if arguments.dry_run { None } else { processes::start(&arguments.processes)? };
    let restarted = processes::restarted()?;
    let resume = arguments.resume || restarted;
    let recipe: SegmentRecipe = find(&arguments.recipe, &arguments.settings)?;
    if membership.is_some() {
        processes::refuse_measured(&recipe)?;
    }
    let measured = Measured::not_yet(recipe).in_steps(resume)?;
    let mut plan = Plan::new(measured.recipe.clone())?;
    if arguments.dry_run {
        return dry_run(&measured, &plan, &plan.run);
    }
    plan.run = processes::join(plan.run, membership.as_ref())?;
    let (voice, start) = (processes::voice(), processes::start_of(&plan.run, restarted, arguments.start()));
    voice.say(&plan);
    segment(&plan, start, &voice, &interrupt()?)
}
