//! `densesiam demo`: the program from end to end on pictures that it makes up itself.

use std::path::Path;

use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_engine::run_dir::Mode;

use crate::error::Error;
use crate::recipe::pretrain::PretrainRecipe;
use crate::recipe::{builtin, keys};
use crate::tasks::pretrain::{Plan, pretrain};

/// Writes the pictures beside the run and trains on them. A demonstration of before is replaced; a run of another name
/// is not.
pub(super) fn run(settings: &[String]) -> Result<(), Error> {
    let text = builtin::find("demo").unwrap_or_default();
    let mut recipe: PretrainRecipe = keys::load(text, "demo", settings)?;
    if recipe.data.root.is_empty() {
        let root = Path::new(&recipe.run.dir).join("demo-pictures");
        let pictures = DemoSettings { train: 512, val: 64, width: 160, height: 120, seed: recipe.run.seed };
        write_demo(&root, &pictures)?;
        recipe.data.root = root.join("train/images").display().to_string();
    }
    let mode = if recipe.run.name == "demo" { Mode::Overwrite } else { Mode::New };
    let plan = Plan::new(recipe)?;
    eprint!("{plan}");
    pretrain(&plan, mode)
}
