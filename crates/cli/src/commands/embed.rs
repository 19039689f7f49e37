//! `densesiam embed`: the features of pictures, or of their patches, as a file for other programs.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use densesiam::embeddings::{Format, Rows, Writer};
use densesiam::error::Error;
use densesiam::recipe::embed::EmbedRecipe;
use densesiam::recipe::load;
use densesiam::tasks::embed::{Plan, embed};
use densesiam::tasks::probe::NamedEncoder;
use densesiam_data::index::ImageIndex;
use densesiam_engine::log::{Voice, say};
use densesiam_text::shown;

use super::command_line::path;
use super::{interrupt, refuse_existing};
use crate::answer::answer_line;

/// `densesiam embed`
#[derive(Debug, Args)]
pub(crate) struct EmbedArguments {
    /// A picture, a folder of pictures, a list file, or tar shards
    #[arg(value_parser = path())]
    pub pictures: PathBuf,
    /// Settings laid over the defaults, as key=value (embed.size=320 embed.stage=c4); `densesiam keys` explains them
    pub settings: Vec<String>,
    /// A run directory, a checkpoint's folder, a file of weights, or `random`
    #[arg(long)]
    pub encoder: String,
    /// The file to write: .safetensors, .npy (with a table of its rows beside it) or .csv
    #[arg(long, value_parser = path())]
    pub out: PathBuf,
    /// A row for each cell of each picture's map, in place of a row for each picture; float16 but in tables of text
    #[arg(long)]
    pub patches: bool,
    /// Replace the file if it is there
    #[arg(long)]
    pub overwrite: bool,
}

/// Writes the file, and prints its name.
pub(super) fn run(arguments: &EmbedArguments) -> Result<(), Error> {
    let out = &arguments.out;
    for file in Format::of(out)?.files(out) {
        refuse_existing(&file, arguments.overwrite)?;
    }
    let recipe: EmbedRecipe = load("", "the defaults", &arguments.settings)?;
    let encoder = NamedEncoder::new("encoder", &arguments.encoder)?;
    let plan = Plan::new(recipe, &encoder, &Arc::new(ImageIndex::at(&arguments.pictures)?))?;
    let rows = if arguments.patches { Rows::Patches } else { Rows::Pictures };
    let (interrupt, mut writer) = (interrupt()?, Writer::new(out, rows)?);
    let each = |seen| writer.push(&seen, plan.names(&seen.samples));
    let unreadable = embed(&plan, each, ("embed", &Voice::Terminal), &interrupt)?;
    let count = writer.finish(&plan.about)?;
    let about = &plan.about;
    say(format_args!(
        "{count} rows of {}, {} of {} at {} px{}",
        shown(out),
        about.stage,
        about.encoder,
        about.size,
        if unreadable > 0 { format!("; {unreadable} pictures could not be read") } else { String::new() }
    ));
    answer_line(out.display())
}
