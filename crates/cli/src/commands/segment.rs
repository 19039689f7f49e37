//! `densesiam segment`: finds the recipe and runs it.

use super::{TrainArguments, interrupt};
use densesiam_engine::log::{Voice, say};

use super::hours::{Measured, dry_run};
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::tasks::segment::{Plan, segment};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let recipe: SegmentRecipe = find(&arguments.recipe, &arguments.settings)?;
    let measured = Measured::not_yet(recipe).in_steps(arguments.resume)?;
    let plan = Plan::new(measured.recipe.clone())?;
    if arguments.dry_run {
        return dry_run(&measured, &plan, &plan.run);
    }
    say(&plan);
    segment(&plan, arguments.start(), &Voice::Terminal, &interrupt()?)
}
