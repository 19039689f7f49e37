//! Pre-trains an encoder on a folder of pictures:
//!
//!     cargo run --release -p densesiam --example pretrain -- MY_PICTURES "train.duration=20 epochs"

use std::error::Error;
use std::path::PathBuf;

use densesiam::recipe::find;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::tasks::pretrain::{Plan, pretrain};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::run_dir::{RunLayout, Start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let pictures = arguments.next().ok_or("name a folder of pictures")?;
    let settings: Vec<String> = arguments.collect();
    let encoder = pretrain_on(&pictures, &settings, &Voice::Terminal)?;
    say(format_args!("any tool that reads torchvision's names can load {}", encoder.display()));
    Ok(())
}

/// Trains by the recipe for folders, under `settings` (`key=value`), and returns where the encoder is.
pub fn pretrain_on(pictures: &str, settings: &[String], voice: &Voice) -> Result<PathBuf, densesiam::Error> {
    let mut all = vec![format!("data.root={pictures}"), "run.name=example".to_owned()];
    all.extend_from_slice(settings);
    let recipe: PretrainRecipe = find("folder_r18", &all)?;
    // A plan is a recipe that can begin: settings, pictures and device are checked, and nothing is written yet.
    let plan = Plan::new(recipe)?;
    voice.say(&plan);
    pretrain(&plan, Start::New, voice, &Interrupt::never())?;
    let run = &plan.run.common.run;
    Ok(RunLayout::new(PathBuf::from(&run.dir).join(&run.name)).encoder())
}
