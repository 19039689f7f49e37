//! `densesiam segment`: finds the recipe and runs it.

use super::{TrainArguments, interrupt};
use densesiam_engine::log::{Voice, say};

use super::hours::{Measured, time_line};
use crate::answer::answer;
use densesiam::error::Error;
use densesiam::import::check_encoder;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{Recipe, find};
use densesiam::tasks::segment::{Plan, segment};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let recipe: SegmentRecipe = find(&arguments.recipe, &arguments.settings)?;
    let measured = Measured::not_yet(recipe).in_steps(arguments.resume)?;
    let plan = Plan::new(measured.recipe.clone())?;
    if arguments.dry_run {
        check_encoder(&plan.recipe)?;
        answer(plan.recipe.to_toml())?;
        let horizon = &plan.run.horizon;
        let time = time_line(horizon.total_steps * horizon.batch_size, measured.rate()?);
        say(format_args!("\n{plan}{time}"));
        return Ok(());
    }
    say(&plan);
    segment(&plan, arguments.start(), &Voice::Terminal, &interrupt()?)
}
