//! `densesiam transfer`: finds the recipe and trains its network.

use super::hours::Measured;
use super::{TrainArguments, train};
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::recipe::transfer::Model;
use densesiam::tasks::transfer::{detection, segmentation};

/// Finds, resolves and runs the recipe, which names its model.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let TrainArguments { recipe, settings, .. } = arguments;
    match Model::of(recipe, settings)? {
        Model::Fcn => {
            let found = |_: &_, _: Option<&_>| find(recipe, settings).map(Measured::not_yet);
            train::run(
                arguments,
                found,
                segmentation::Plan::new,
                |plan| &mut plan.run,
                segmentation::transfer,
            )
        }
        Model::Detector => {
            let found = |_: &_, _: Option<&_>| find(recipe, settings).map(Measured::not_yet);
            train::run(arguments, found, detection::Plan::new, |plan| &mut plan.run, detection::transfer)
        }
    }
}
