//! `densesiam segment`: which recipe is meant, and what it comes to.

use super::TrainArguments;
use densesiam_engine::log::{Voice, say};

use super::hours::{Timed, time_line};
use crate::answer::answer;
use densesiam::error::Error;
use densesiam::import::check_encoder;
use densesiam::recipe::find;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::tasks::segment::{Plan, segment};
use densesiam_settings::keys;

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let recipe: SegmentRecipe = find(&arguments.recipe, &arguments.settings)?;
    let plan = Plan::new(recipe.in_steps(arguments.resume)?)?;
    if arguments.dry_run {
        let encoder = &plan.recipe.encoder;
        check_encoder(encoder.settings.architecture, &encoder.weights)?;
        answer(keys::dump(&plan.recipe))?;
        let horizon = &plan.setup.horizon;
        let time = time_line(horizon.total_steps * horizon.batch_size, plan.recipe.rate()?);
        say(format_args!("\n{plan}{time}"));
        return Ok(());
    }
    say(&plan);
    segment(&plan, arguments.mode(), &Voice::Terminal)
}
