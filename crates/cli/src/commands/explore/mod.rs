//! `densesiam explore`: a page in the browser on which a click asks an encoder where else it sees the same.

mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use densesiam::error::Error;
use densesiam::explore::Explorer;
use densesiam::home::expand;
use densesiam::recipe::embed::EmbedRecipe;
use densesiam::recipe::{Training, find, load, pretrain::PretrainRecipe, segment::SegmentRecipe};
use densesiam::run::{Contents, locate};
use densesiam::tasks::probe::{NamedEncoder, Source, encoders_and_settings};
use densesiam_data::index::ImageIndex;
use densesiam_data::labelled::training_pictures;
use densesiam_engine::log::Voice;

use super::command_line::path;
use super::interrupt;
use crate::answer::answer_line;
use server::Server;

/// `densesiam explore`
#[derive(Debug, Args)]
pub(crate) struct ExploreArguments {
    /// A run directory, a checkpoint's folder or a file of weights
    pub encoder: String,
    /// The pictures: a folder, a list file or tar shards; else those that the run was trained on. Settings as key=value after it
    /// (embed.size=320 embed.stage=c4); `densesiam keys` explains them
    #[arg(value_name = "PICTURES")]
    pub settings: Vec<String>,
    /// Another encoder to show beside it, as [NAME=]ENCODER; `random` for random weights. May be given several times
    #[arg(long, value_name = "ENCODER")]
    pub beside: Vec<String>,
    /// Where the features of the pictures are kept for the next time; else the folder `explore` in run.dir
    #[arg(long, value_parser = path())]
    pub index: Option<PathBuf>,
    /// The port of this machine on which the page is served; 0 for any that is free
    #[arg(long, default_value_t = 8090)]
    pub port: u16,
}

/// Serves the page until Ctrl-C.
pub(super) fn run(arguments: &ExploreArguments) -> Result<(), Error> {
    let (pictures, settings) = pictures_and_settings(&arguments.settings)?;
    let recipe: EmbedRecipe = load("", "the defaults", &settings)?;
    let named = std::iter::once(&arguments.encoder).chain(&arguments.beside).cloned().collect::<Vec<_>>();
    let (encoders, misplaced) = encoders_and_settings(&named)?;
    if let Some(setting) = misplaced.first() {
        let message =
            format!("{setting} is a setting, and an encoder is meant; settings stand after ENCODER");
        return Err(Error::Usage(message));
    }
    let index = Arc::new(match pictures {
        Some(pictures) => ImageIndex::at(&pictures)?,
        None => trained_on(&encoders[0])?,
    });
    let folder = arguments.index.clone().unwrap_or_else(|| Path::new(&recipe.run.dir).join("explore"));
    let (server, interrupt) = (Server::bind(arguments.port)?, interrupt()?);
    let explorer = Explorer::open(&recipe, &encoders, (&index, &folder), (&Voice::Terminal, &interrupt))?;
    answer_line(format_args!("http://127.0.0.1:{}/", server.port()))?;
    server.serve(&explorer, &interrupt)
}

/// The first argument without a `=` names the pictures; the others are settings.
fn pictures_and_settings(arguments: &[String]) -> Result<(Option<PathBuf>, Vec<String>), Error> {
    match arguments.split_first() {
        Some((pictures, settings)) if is_path(pictures) => {
            Ok((Some(expand(Path::new(pictures))?), settings.to_vec()))
        }
        _ => Ok((None, arguments.to_vec())),
    }
}

/// Whether an argument is no `key=value`. A path may hold a `=` too: `./run=1`.
fn is_path(argument: &str) -> bool {
    argument.split_once('=').is_none_or(|(key, _)| key.contains('/'))
}

/// The pictures that a run was trained on.
fn trained_on(encoder: &NamedEncoder) -> Result<ImageIndex, Error> {
    let unnamed = || Error::Usage("name the pictures too: densesiam explore ENCODER PICTURES".into());
    let Source::Checkpoint(path) = &encoder.source else { return Err(unnamed()) };
    let (run, checkpoint) = locate(path)?;
    let run = run.display().to_string();
    match Contents::read(&checkpoint)?.task.as_str() {
        "pretrain" => Ok(ImageIndex::at(Path::new(&find::<PretrainRecipe>(&run, &[])?.common().data.root))?),
        "segment" => {
            let mut recipe = find::<SegmentRecipe>(&run, &[])?;
            let (root, layout) = (recipe.common().data.root.clone(), recipe.labels.layout()?);
            Ok(training_pictures(Path::new(&root), layout, &recipe.labels.train)?)
        }
        _ => Err(unnamed()),
    }
}
