//! `densesiam pretrain`: finds the recipe and runs it.

use std::path::Path;

use densesiam_data::index::names_shards;
use densesiam_engine::run_dir::RunLayout;

use super::hours::Measured;
use super::processes::{GoingOn, Processes, found_by_first};
use super::{TrainArguments, folder, train};
use densesiam::error::Error;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::{Recipe, find, load};
use densesiam::tasks::pretrain::{Plan, pretrain};

/// Finds, resolves and runs the recipe.
pub(super) fn run(arguments: &TrainArguments) -> Result<(), Error> {
    let TrainArguments { recipe, settings, .. } = arguments;
    let found = |going_on: &_, processes: Option<&_>| find_recipe(recipe, settings, going_on, processes);
    train::run(arguments, found, Plan::new, |plan| &mut plan.run, pretrain)
}

/// A recipe, or the folder recipe for a folder of pictures or tar shards, with the settings of the command line
/// applied.
fn find_recipe(
    recipe: &str,
    settings: &[String],
    going_on: &GoingOn,
    processes: Option<&Processes>,
) -> Result<Measured<PretrainRecipe>, Error> {
    let path = Path::new(recipe);
    let pictures = path.is_dir() || names_shards(path);
    if !pictures || path.join("recipe.toml").is_file() {
        return find(recipe, settings).map(Measured::not_yet);
    }
    if going_on.is_possible() {
        // The values that were chosen when the run began stay valid, also on another machine.
        let mut plain = folder::plain(recipe, settings)?;
        let run = plain.run().clone();
        let directory = Path::new(&run.dir).join(&run.name);
        let begun: Option<String> = found_by_first(processes, ("recipe", &run), || {
            let goes_on = going_on.is_meant(&RunLayout::new(&directory));
            let found = goes_on.then(|| find::<PretrainRecipe>(&directory.display().to_string(), settings));
            Ok(found.transpose()?.map(|recipe| recipe.to_toml()))
        })?;
        if let Some(begun) = begun {
            let mut here = vec![format!("data.root={recipe}")];
            here.extend_from_slice(settings);
            return load(&begun, &directory.display().to_string(), &here).map(Measured::not_yet);
        }
    }
    folder::recipe(recipe, settings, processes)
}
