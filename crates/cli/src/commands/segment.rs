//! `densesiam segment`: finds the recipe and runs it.

use super::hours::Measured;
use super::{TrainArguments, train};
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::tasks::segment::{Plan, segment};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let found = |_: &_, _: Option<&_>| find(&arguments.recipe, &arguments.settings).map(Measured::not_yet);
    train::run(arguments, found, Plan::new, |plan| &mut plan.run, segment)
}
