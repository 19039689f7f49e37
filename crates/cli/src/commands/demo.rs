//! `densesiam demo`: the program from end to end on pictures that it generates itself.

use std::path::Path;

use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_engine::log::{Voice, say};
use densesiam_engine::run_dir::{RunLayout, Start};

use super::interrupt;
use crate::answer::answer_line;
use densesiam::error::Error;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{builtin, load};
use densesiam::run::Table;
use densesiam::tasks::{pretrain, segment};

/// Writes the pictures beside the runs, pre-trains on them, and segments them from that encoder. An earlier
/// demonstration is replaced; a run with another name is not.
pub(super) fn run(settings: &[String]) -> Result<(), Error> {
    let mut recipe: PretrainRecipe = load(builtin::find("demo").unwrap_or_default(), "demo", settings)?;
    let made_up = recipe.common.data.root.is_empty();
    let root = Path::new(&recipe.common.run.dir).join("demo-pictures");
    if made_up {
        let pictures =
            DemoSettings { train: 512, val: 64, width: 160, height: 120, seed: recipe.common.run.seed };
        write_demo(&root, &pictures)?;
        recipe.common.data.root = root.join("train/images").display().to_string();
        say(format_args!("made-up pictures to look at: {}", root.join("train/images").display()));
    }
    let start = if recipe.common.run.name == "demo" { Start::Overwrite } else { Start::New };
    let plan = pretrain::Plan::new(recipe)?;
    say(&plan);
    let report =
        RunLayout::new(Path::new(&plan.recipe.common.run.dir).join(&plan.recipe.common.run.name)).report();
    say(format_args!("open {} in a browser: every epoch brings it up to date", report.display()));
    pretrain::pretrain(&plan, start, &Voice::Terminal, &interrupt()?)?;
    // Pictures of one's own have no labels to say how good a segmentation of them is.
    if made_up { segment_them(&root, &plan.recipe, settings, start) } else { Ok(()) }
}

/// `settings` of the tables `[run]` and `[train]` override this recipe too.
fn segment_them(
    root: &Path,
    pretrained: &PretrainRecipe,
    settings: &[String],
    start: Start,
) -> Result<(), Error> {
    let run = |name: &str| RunLayout::new(Path::new(&pretrained.common.run.dir).join(name));
    let shared = |setting: &&String| setting.starts_with("run.") || setting.starts_with("train.");
    let mut all: Vec<String> = settings.iter().filter(shared).cloned().collect();
    let name = format!("{}-segmentation", pretrained.common.run.name);
    let encoder = run(&pretrained.common.run.name).encoder();
    all.extend([
        format!("run.name={name}"),
        format!("data.root={}", root.display()),
        format!("encoder.weights={}", encoder.display()),
    ]);
    let text = builtin::find("demo_segment").unwrap_or_default();
    let recipe: SegmentRecipe = load(text, "demo_segment", &all)?;
    let plan = segment::Plan::new(recipe)?;
    say(format_args!("\n{plan}"));
    segment::segment(&plan, start, &Voice::Terminal, &interrupt()?)?;
    let evaluations = Table::read(&run(&name).evaluations())?;
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
    answer_line(format_args!(
        "unsupervised segmentation of the made-up pictures: mIoU {}, before training {}",
        percent(evaluations.last("mIoU")),
        percent(evaluations.values("mIoU").next())
    ))?;
    say(format_args!(
        "look at {} and {}\n\n{}",
        run(&pretrained.common.run.name).report().display(),
        run(&name).report().display(),
        next_commands()
    ));
    Ok(())
}

/// The commands that a user would type next, with the name by which the program was called.
fn next_commands() -> String {
    let program = std::env::args().next().unwrap_or_else(|| "densesiam".to_owned());
    format!(
        "with pictures of your own:\n  \
         {program} doctor MY_PICTURES                                        what this machine can do with them\n  \
         {program} pretrain MY_PICTURES encoder.weights=resnet18.pth         an encoder, from given weights\n  \
         {program} segment folder data.root=MY_PICTURES labels.categories=20 a segmentation, without a label"
    )
}
