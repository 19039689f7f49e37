//! Where a training begins: with its first step, or with the newest complete checkpoint of its run directory; and the
//! conditions for resuming. What is initialised depends on what was restored, not on the command line, because a run
//! may have been stopped before its first checkpoint.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use super::State;
use super::contents::{Contents, fingerprint};
use super::processes::exchange;
use super::setup::Run;
use crate::error::Error;
use crate::recipe::RunSettings;
use densesiam_engine::checkpoint::{Checkpoint, CheckpointFolder, Latest};
use densesiam_engine::run_dir::{RunDirectory, RunLayout, Start};
use densesiam_nn::Group;
use densesiam_settings::tables::differences;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a training begins.
pub(crate) struct Origin {
    start: Start,
    /// The directory of a run to be resumed, locked.
    directory: Option<RunDirectory>,
    restored: Option<Contents>,
    /// Messages for the user about the resumed run.
    pub(super) said: Vec<String>,
}

/// Keys that may differ between a run and its resumption besides [`MAY_DIFFER`]: they change only how it is watched, and what
/// it writes. Another device or number of threads changes the last bits of what it computes, and nothing else.
const MAY_CHANGE: [&str; 8] = [
    "data.max_bad_share",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_last",
    "train.pictures_every",
    "train.pictures",
    "predict",
    "monitor",
];

impl Origin {
    /// Where the run begins. With [`Start::Resume`] the newest complete checkpoint is loaded into `state`; a run that
    /// was stopped before its first checkpoint begins with its first step. With any other start nothing is read or
    /// written.
    ///
    /// # Errors
    /// When the run directory cannot be used, or holds another run than the recipe says, or one whose checkpoints are
    /// damaged or gone: to start it over would destroy it.
    pub(crate) fn find(run: &Run, start: Start, state: &mut State) -> Result<Self, Error> {
        let mut origin = Self { start, directory: None, restored: None, said: Vec::new() };
        // The other processes are told what is found, because they need not see the same files.
        if start != Start::Resume || !run.writes() {
            return Ok(origin);
        }
        let directory = RunDirectory::create(Path::new(&run.common.run.dir), &run.common.run.name, start)?;
        let layout = directory.layout();
        if layout.recipe().is_file() {
            same_recipe(&layout.recipe(), run)?;
        }
        let Latest { checkpoint, rejected } = CheckpointFolder::open(&layout.checkpoints())?.latest()?;
        let damaged = rejected.iter().map(|(path, why)| {
            format!("warning: the checkpoint {} is damaged and not used: {why}", path.display())
        });
        origin.said.extend(damaged);
        match checkpoint {
            Some(checkpoint) => origin.restored = Some(restore(&checkpoint, run, state)?),
            None => {
                refuse_to_lose(layout, &origin.said)?;
                origin.said.push("the run was stopped before its first step: it begins there".into());
            }
        }
        origin.directory = Some(directory);
        Ok(origin)
    }

    /// The origin and the state that the first process has found, in every process.
    ///
    /// # Errors
    /// When the first process does not say.
    pub(crate) fn shared(mut self, group: &Group, state: &mut State) -> Result<Self, Error> {
        if group.is_alone() {
            return Ok(self);
        }
        let found =
            exchange(group, "origin", &self.restored.as_ref().map(|contents| (state.step, contents.clone())));
        let first = found.map_err(Error::Elsewhere)?.into_iter().next().flatten();
        (state.step, self.restored) = first.map_or((0, None), |(step, contents)| (step, Some(contents)));
        let tensors = state.store.state().into_iter().chain(state.optimizer.state());
        tensors.for_each(|(_, tensor)| group.broadcast(&tensor));
        Ok(self)
    }

    /// Whether model and optimizer came from a checkpoint. Otherwise they have to be initialised.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored.is_some()
    }

    /// What the checkpoint records that was restored.
    pub(super) fn contents(&self) -> Option<&Contents> {
        self.restored.as_ref()
    }

    /// The run directory, which is created unless the run is resumed.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn take(self, run: &RunSettings) -> Result<RunDirectory, Error> {
        match self.directory {
            Some(directory) => Ok(directory),
            None => Ok(RunDirectory::create(Path::new(&run.dir), &run.name, self.start)?),
        }
    }
}

/// Fails if a run without a usable checkpoint has already done steps. Every run writes a checkpoint before its first
/// step, so a run that has logged steps has lost its checkpoints.
fn refuse_to_lose(layout: &RunLayout, damaged: &[String]) -> Result<(), Error> {
    let run = layout.root().display();
    if !damaged.is_empty() {
        let advice = "no checkpoint can be used; move them away, or start a new run with another run.name";
        return Err(Error::CannotResume(format!("{}\n{advice}", damaged.join("\n"))));
    }
    let holds = |path: PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    if holds(layout.metrics()) || holds(layout.encoder()) {
        return Err(Error::CannotResume(format!(
            "{run} holds the results of a run, but no checkpoint to go on from; put the folder checkpoints back, or start \
             the run over with --overwrite"
        )));
    }
    Ok(())
}

/// Restores a checkpoint if it belongs to these pictures, and returns what else it records.
fn restore(checkpoint: &Checkpoint, run: &Run, state: &mut State) -> Result<Contents, Error> {
    let mismatch =
        |error: &dyn Display| Error::CannotResume(format!("{}: {error}", checkpoint.path.display()));
    let contents = Contents::read(checkpoint).map_err(|error| Error::CannotResume(error.to_string()))?;
    if contents.data_fingerprint != fingerprint(&run.index) {
        return Err(Error::CannotResume(format!(
            "{} was trained on other pictures than {} now holds ({} then, {} now); restore them, or start a new run",
            checkpoint.path.display(),
            run.common.data.root,
            contents.pictures,
            run.index.len()
        )));
    }
    // Checkpoints of earlier versions did not say.
    if contents.annotations.is_some() && contents.annotations != run.annotations {
        return Err(Error::CannotResume(format!(
            "{} was trained on other regions, labels or objects of these pictures; restore them, or start a new run",
            checkpoint.path.display()
        )));
    }
    state.store.load(&checkpoint.model).map_err(|error| mismatch(&error))?;
    state.optimizer.load_state(&checkpoint.optimizer).map_err(|error| mismatch(&error))?;
    state.step = checkpoint.manifest.step;
    Ok(contents)
}

/// Fails if the recipe of the run and the recipe of the resumption compute different things. A key that did not exist
/// when the run began counts as having its default.
fn same_recipe(path: &Path, run: &Run) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::file(path, source))?;
    let changed = differences(&(run.complete)(&text)?, &run.recipe)?;
    let fixed: Vec<_> = changed
        .into_iter()
        .filter(|key| !is_among(key, &MAY_DIFFER) && !is_among(key, &MAY_CHANGE))
        .collect();
    if fixed.is_empty() {
        return Ok(());
    }
    Err(Error::CannotResume(format!(
        "the recipe differs from that of the run in {}; resume with the same recipe, or start a new run with another \
         run.name",
        fixed.join(", ")
    )))
}

impl Run {
    /// Fails if another process has another training than the first one: other settings, pictures or program.
    ///
    /// # Errors
    /// What differs, in the process where it does.
    pub(super) fn same_everywhere(&self) -> Result<(), Error> {
        let pictures = (fingerprint(&self.index), self.annotations);
        let own = (env!("CARGO_PKG_VERSION").to_owned(), pictures, self.recipe.clone());
        let all = exchange(&self.group, "training", &own).map_err(Error::Elsewhere)?;
        let Some((version, pictures, recipe)) = all.into_iter().next() else { return Ok(()) };
        let mut differ = differences(&recipe, &self.recipe)?;
        differ.retain(|key| !is_among(key, &MAY_DIFFER));
        if version != own.0 {
            differ.push(format!("the program ({version} and {})", own.0));
        }
        if pictures != own.1 {
            differ.push(format!("the pictures below {}, or what is known of them", self.common.data.root));
        }
        if differ.is_empty() { Ok(()) } else { Err(self.differs(&differ.join(", "))) }
    }

    /// Fails if another process sees something else than the first one.
    ///
    /// # Errors
    /// That it differs, in the process where it does.
    pub(crate) fn same<T: Serialize + DeserializeOwned + PartialEq>(
        &self,
        what: &str,
        own: &T,
    ) -> Result<(), Error> {
        if self.group.is_alone() {
            return Ok(());
        }
        let all = exchange(&self.group, what, own).map_err(Error::Elsewhere)?;
        if all.first() == Some(own) { Ok(()) } else { Err(self.differs(what)) }
    }

    fn differs(&self, what: &str) -> Error {
        let rank = self.group.rank();
        Error::Usage(format!(
            "process {rank} differs from process 0 in {what}; give all processes the same training"
        ))
    }
}

/// What may differ between the processes of one training: where each finds things, and how fast it is. Whatever decides what
/// they do together is the same in all.
const MAY_DIFFER: [&str; 10] = [
    "run.name",
    "run.dir",
    "run.device",
    "run.threads",
    "run.timeout",
    "data.root",
    "data.regions",
    "data.workers",
    "data.prefetch",
    "data.patience",
];

/// Whether a key is one of these keys, or in one of these tables.
fn is_among(key: &str, keys: &[&str]) -> bool {
    keys.iter()
        .any(|known| key == *known || key.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
}
