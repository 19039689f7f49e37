//! `densesiam explore`: a page in the browser on which a click asks an encoder where else it sees the same.

mod server;

use std::path::{Path, PathBuf};

use clap::Args;
use densesiam::error::Error;
use densesiam::explore::Explorer;
use densesiam::recipe::embed::EmbedRecipe;
use densesiam::recipe::{Training, find, load, pretrain::PretrainRecipe, segment::SegmentRecipe};
use densesiam::run::{Contents, locate};
use densesiam::tasks::probe::{NamedEncoder, Source, encoders_and_settings};
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
    /// The pictures: a folder or tar shards; else those that the run was trained on. Settings as key=value after it
    /// (embed.size=320 embed.stage=c4); `densesiam keys embed` explains them
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
    let (pictures, settings) = pictures_and_settings(&arguments.settings);
    let recipe: EmbedRecipe = load("", "the defaults", &settings)?;
    let named = std::iter::once(&arguments.encoder).chain(&arguments.beside).cloned().collect::<Vec<_>>();
    let (encoders, _) = encoders_and_settings(&named)?;
    let pictures = match pictures {
        Some(pictures) => pictures,
        None => trained_on(&encoders[0])?,
    };
    let folder = arguments.index.clone().unwrap_or_else(|| Path::new(&recipe.run.dir).join("explore"));
    let (server, interrupt) = (Server::bind(arguments.port)?, interrupt()?);
    let explorer = Explorer::open(&recipe, &encoders, (&pictures, &folder), (&Voice::Terminal, &interrupt))?;
    answer_line(format_args!("http://127.0.0.1:{}/", server.port()))?;
    server.serve(&explorer, &interrupt)
}

/// The first argument that is no setting names the pictures.
fn pictures_and_settings(arguments: &[String]) -> (Option<PathBuf>, Vec<String>) {
    let is_setting = |argument: &String| {
        argument.split_once('=').is_some_and(|(key, _)| key.contains('.') && !key.contains('/'))
    };
    let (settings, mut others): (Vec<_>, Vec<_>) = arguments.iter().cloned().partition(is_setting);
    let pictures = (!others.is_empty()).then(|| PathBuf::from(others.remove(0)));
    // What is left is refused as a setting, with advice.
    (pictures, settings.into_iter().chain(others).collect())
}

/// The pictures of a run.
fn trained_on(encoder: &NamedEncoder) -> Result<PathBuf, Error> {
    let unnamed = || Error::Usage("name the pictures too: densesiam explore ENCODER PICTURES".into());
    let Source::Checkpoint(path) = &encoder.source else { return Err(unnamed()) };
    let (run, checkpoint) = locate(path)?;
    let run = run.display().to_string();
    let root = match Contents::read(&checkpoint)?.task.as_str() {
        "pretrain" => find::<PretrainRecipe>(&run, &[])?.common().data.root.clone(),
        "segment" => find::<SegmentRecipe>(&run, &[])?.common().data.root.clone(),
        _ => return Err(unnamed()),
    };
    Ok(root.into())
}
