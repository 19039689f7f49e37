//! The run directory of a training: its numbers, messages, pictures and checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use densesiam_engine::checkpoint::{CheckpointFolder, tensors_to_safetensors};
use densesiam_engine::environment::Environment;
use densesiam_engine::log::{EventFile, MetricsLog, Png, Progress, ProgressLine, Voice};
use densesiam_engine::memory;
use densesiam_engine::run_dir::{RunDirectory, RunLayout};
use image::RgbImage;

use super::State;
use super::contents::{Best, Contents, encoder_tensors};
use super::numbers::{Pending, Row};
use super::resume::Origin;
use super::setup::Run;
use super::table::Table;
use super::trouble::Trouble;
use crate::error::{Error, Stop};
use crate::file::write_bytes;
use densesiam_report::page::{Picture, Sheets};
use densesiam_report::pictures;

/// Writes a run directory.
pub(crate) struct Journal<'p> {
    run: &'p Run,
    layout: RunLayout,
    /// `None` in a process that writes nothing, because another one writes.
    files: Option<Files>,
    best: Option<Best>,
    progress: Progress,
    pending: Vec<Pending>,
    warnings: BTreeMap<&'static str, String>,
    bad_files: Vec<(u64, String)>,
}

/// The files that a training keeps open.
struct Files {
    /// Locked as long as this exists.
    directory: RunDirectory,
    checkpoints: CheckpointFolder,
    metrics: MetricsLog,
    evaluations: MetricsLog,
    events: EventFile,
}

impl<'p> Journal<'p> {
    /// Makes the run directory, or continues the one that `state` was restored from.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) fn open(
        run: &'p Run,
        mut origin: Origin,
        state: &State,
        voice: &Voice,
    ) -> Result<Self, Error> {
        let (step, said) = (state.step, std::mem::take(&mut origin.said));
        let voice = if run.writes() { voice } else { &Voice::Nobody };
        let (total, batch_size) = (run.horizon.total_steps, run.horizon.batch_size);
        let progress = Progress::new(voice, run.task.name, step, total, batch_size);
        let Contents { bad_files, best, .. } =
            origin.contents().cloned().unwrap_or_else(|| Contents::of(run));
        let files = run.writes().then(|| Files::open(run, origin, step)).transpose()?;
        memory::begin_peak(run.device);
        let layout = run.layout();
        let (pending, warnings) = (vec![], BTreeMap::new());
        let journal = Self { run, layout, files, best, progress, pending, warnings, bad_files };
        if let Some(why) = journal.files.as_ref().and_then(|files| files.directory.unlocked()) {
            journal.say(&format!(
                "warning: the file system gives no lock for the run directory ({why}): see to it that no other process \
                 writes there"
            ));
        }
        said.iter().for_each(|line| journal.say(line));
        journal.say(&format!(
            "run directory {}, from step {step} of {total}",
            journal.layout().root().display()
        ));
        state.optimizer.summary().iter().for_each(|group| journal.say(&group.to_string()));
        Ok(journal)
    }

    /// Where things lie.
    pub(crate) fn layout(&self) -> &RunLayout {
        &self.layout
    }

    /// Whether this process writes, and another one does not.
    pub(crate) fn writes(&self) -> bool {
        self.files.is_some()
    }

    /// What the monitors have complained of, the first time for each number.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.values().cloned().collect()
    }

    /// The unreadable pictures that this run has met, also before it was resumed.
    pub(crate) fn bad_files(&self) -> &[(u64, String)] {
        &self.bad_files
    }

    /// The numbers of all steps so far.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn metrics(&self) -> Result<Table, Error> {
        Table::read(&self.layout().metrics())
    }

    /// The scores of all evaluations so far.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn evaluations(&self) -> Result<Table, Error> {
        Table::read(&self.layout().evaluations())
    }

    /// Whether the run has a score of this step.
    ///
    /// # Errors
    /// When the evaluations cannot be read.
    pub(crate) fn is_evaluated(&self, step: u64) -> Result<bool, Error> {
        Ok(self.evaluations()?.newest_until(step).is_some_and(|(evaluated, _)| evaluated == step))
    }

    /// Versions and hardware, as JSON; empty where the file is gone.
    pub(crate) fn environment(&self) -> String {
        fs::read_to_string(self.layout().environment()).unwrap_or_default()
    }

    /// The first and the last of the contact sheets so far, and some between, of which each tells as much of the training.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn sheets(&self) -> Result<Vec<Picture>, Error> {
        let folder = self.layout().pictures();
        let entries = fs::read_dir(&folder).map_err(|source| Error::file(&folder, source))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut sheets: Vec<(u64, PathBuf)> =
            paths.filter_map(|path| Some((step_of(&path)?, path))).collect();
        sheets.sort();
        let last = sheets.len().saturating_sub(1);
        let shown = sheets.len().min(Sheets::MOST);
        let chosen = (0..shown).map(|number| (number * last).div_ceil((shown - 1).max(1)));
        let picture = |(step, path): (u64, PathBuf)| {
            let png = fs::read(&path).map_err(|source| Error::file(&path, source))?;
            let caption =
                if step == 0 { "before training".to_owned() } else { format!("after {step} steps") };
            Ok(Picture { caption, png })
        };
        chosen.map(|number| picture(sheets[number].clone())).collect()
    }

    /// Records an evaluation after `step` steps. The best `score` is remembered, and its checkpoint is kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn evaluated(
        &mut self,
        step: u64,
        score: f64,
        scores: &serde_json::Value,
    ) -> Result<(), Error> {
        if let Some(files) = &mut self.files {
            files.evaluations.append(scores)?;
            files.events.scalars(step, &[("evaluation/score", score)])?;
        }
        if self.best.is_none_or(|best| score > best.score) {
            self.best = Some(Best { step, score });
        }
        Ok(())
    }

    /// Prints a line beside the progress bar.
    pub(crate) fn say(&self, line: &str) {
        self.progress.println(line);
    }

    /// Keeps the numbers of a step until they are written; returns whether so many are kept that they have to be, so that
    /// memory stays bounded where logs are far apart.
    pub(crate) fn keep(&mut self, pending: Pending) -> bool {
        self.progress.advance(pending.step);
        self.pending.push(pending);
        self.pending.len() >= MOST_PENDING
    }

    /// Reads and writes the numbers of all steps since the last time, and judges them.
    ///
    /// # Errors
    /// When a log cannot be written.
    pub(crate) fn write(&mut self) -> Result<Option<Trouble>, Error> {
        let (mut last, mut seconds, mut not_finite, mut collapsed) = (None, 0.0, None, None);
        let steps = std::mem::take(&mut self.pending);
        let mut rows = Pending::read_all(&steps);
        let peak = memory::peak_device_megabytes(self.run.device).or_else(memory::peak_megabytes);
        if let (Some(row), Some(peak)) = (rows.last_mut(), peak) {
            row.values.push(("peak_memory_megabytes", peak.round()));
        }
        for (row, pending) in rows.into_iter().zip(steps) {
            if let Some(files) = &mut self.files {
                files.write(&row)?;
            }
            if !row.is_finite() {
                not_finite.get_or_insert(Trouble::NotFinite { step: row.step, samples: pending.samples });
            }
            if let Some(why) = self.complain(&row).filter(|_| self.run.common.monitor.stop_on_collapse) {
                collapsed.get_or_insert(Trouble::Collapsed { step: row.step, why });
            }
            seconds += row.seconds();
            last = Some(row);
        }
        if let Some(row) = &last {
            let named = self.run.task.shown.iter().filter_map(|(name, label)| Some((*label, row.get(name)?)));
            self.progress.report(&ProgressLine {
                step: row.step,
                seconds,
                values: &named.collect::<Vec<_>>(),
            });
        }
        // A state that is not finite must never be saved as a good one, whatever else is wrong.
        Ok(not_finite.or(collapsed))
    }

    /// The warnings of the monitors, printed once for each number.
    fn complain(&mut self, row: &Row) -> Option<String> {
        let complaints = row.complaints(&self.run.common.monitor);
        for (name, why) in &complaints {
            if !self.warnings.contains_key(name) {
                self.say(&format!("WARNING at step {}: {why}", row.step));
                self.say(
                    "  a lower optimizer.base_learning_rate, larger batches or a longer warm-up may help",
                );
                self.warnings.insert(name, format!("step {}: {why}", row.step));
            }
        }
        complaints.into_iter().next().map(|(_, why)| why)
    }

    /// Lists the unreadable pictures if they have changed: others were found, or some can be read again.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub(crate) fn list_bad_files(&mut self, bad_files: Vec<(u64, String)>) -> Result<(), Error> {
        if bad_files == self.bad_files {
            return Ok(());
        }
        let again =
            self.bad_files.iter().filter(|(sample, _)| !bad_files.iter().any(|(bad, _)| bad == sample));
        let again = again.count();
        if again > 0 {
            self.say(&format!("{again} pictures that could not be read can be read now, and are used again"));
        }
        self.bad_files = bad_files;
        let line =
            |(sample, why): &(u64, String)| format!("{}\t{why}\n", self.run.index.place(*sample as usize));
        let text: String = self.bad_files.iter().map(line).collect();
        let count = self.bad_files.len();
        self.say(&format!("warning: {count} unreadable pictures so far, listed in bad_files.txt"));
        if !self.writes() {
            return Ok(());
        }
        write_bytes(&self.layout().root().join("bad_files.txt"), text.as_bytes())
    }

    /// Saves a picture of a step as `pictures/NAME-STEP.png` and for TensorBoard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn picture(&mut self, name: &str, step: u64, picture: &RgbImage) -> Result<(), Error> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let bytes = pictures::png(picture).map_err(|error| Error::Internal(error.to_string()))?;
        write_bytes(&self.layout.pictures().join(format!("{name}-{step:09}.png")), &bytes)?;
        let png = Png { width: picture.width(), height: picture.height(), bytes: &bytes };
        Ok(files.events.image(step, name, png)?)
    }

    /// Writes a checkpoint of the state, and deletes old checkpoints beyond the number to keep.
    ///
    /// # Errors
    /// When it cannot be written; then those before are as they were.
    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        let Some(Files { checkpoints, .. }) = &self.files else { return Ok(()) };
        self.save_into(checkpoints, state)?;
        let best = self.best.iter().map(|best| best.step).collect();
        checkpoints.rotate(self.run.common.train.keep_last, &best)?;
        Ok(())
    }

    fn save_into(&self, folder: &CheckpointFolder, state: &State) -> Result<(), Error> {
        let contents =
            Contents { bad_files: self.bad_files.clone(), best: self.best, ..Contents::of(self.run) };
        let manifest = serde_json::to_value(contents).map_err(|error| Error::Internal(error.to_string()))?;
        folder.save(state.step, &state.store.state(), &state.optimizer.state(), manifest)?;
        Ok(())
    }

    /// Saves the state according to the trouble, and returns the error to end with. A state that is not finite is saved
    /// in a separate folder, with the names of the pictures of its batch; one that processes do not agree on is not saved.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save_for(&self, trouble: Trouble, state: &State) -> Result<Error, Error> {
        if !matches!(trouble, Trouble::NotFinite { .. } | Trouble::Apart { .. }) && state.step > 0 {
            self.save(state)?;
            self.export(state)?;
        }
        match trouble {
            Trouble::NotFinite { step, .. } if !self.writes() => {
                Ok(Error::NotFinite { step, state: self.layout.nonfinite() })
            }
            Trouble::NotFinite { step, samples } => {
                let folder = self.layout().nonfinite();
                self.save_into(&CheckpointFolder::open(&folder)?, state)?;
                let name = |&sample: &u64| self.run.index.place(sample as usize).to_string() + "\n";
                let names = samples.iter().map(name).collect::<String>();
                write_bytes(&folder.join("pictures.txt"), names.as_bytes())?;
                Ok(Error::NotFinite { step, state: folder })
            }
            Trouble::Collapsed { step, why } => Ok(Error::Collapsed { step, why }),
            Trouble::Apart { step, processes } => {
                Ok(Error::Apart { step, processes, checkpoints: self.layout().checkpoints() })
            }
            Trouble::NoPictures(error) => Ok(error.into()),
            Trouble::NoClusters(error) => Ok(error.into()),
            Trouble::Elsewhere(why) => Ok(Error::Elsewhere(why)),
            Trouble::Signal(signal) => {
                let layout = self.layout();
                Ok(Error::Interrupted(Box::new(Stop {
                    signal,
                    step: state.step,
                    encoder: (state.step > 0).then(|| layout.encoder()),
                    report: layout.report(),
                    task: self.run.task.name,
                    run: layout.root().to_owned(),
                })))
            }
        }
    }

    /// Writes the encoder under torchvision's names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn export(&self, state: &State) -> Result<(), Error> {
        if !self.writes() {
            return Ok(());
        }
        let architecture = self.run.architecture.key();
        let metadata =
            [("architecture".to_owned(), architecture), ("step".to_owned(), state.step.to_string())];
        let tensors = encoder_tensors(self.run.task.encoder, &state.store.state());
        tensors_to_safetensors(&self.layout().encoder(), &tensors, &metadata.into())?;
        Ok(())
    }

    /// Writes the report, which `render` makes where it is wanted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn report(&self, render: impl FnOnce(&Self) -> Result<String, Error>) -> Result<(), Error> {
        if self.writes() { write_bytes(&self.layout().report(), render(self)?.as_bytes()) } else { Ok(()) }
    }

    /// The run is over.
    pub(crate) fn finish(self) {
        let layout = self.layout();
        let encoder = layout.encoder();
        self.say(&format!("encoder: {}\nreport:  {}", encoder.display(), layout.report().display()));
        self.progress.finish();
    }
}

impl Files {
    /// Makes the run directory, or continues the one of `origin`.
    fn open(run: &Run, origin: Origin, step: u64) -> Result<Self, Error> {
        let resumed = origin.is_restored();
        let directory = origin.take(&run.common.run)?;
        let layout = directory.layout();
        // The recipe is written first: a folder without a recipe belongs to a run that has not begun.
        write_bytes(&layout.recipe(), run.recipe.as_bytes())?;
        let checkpoints = CheckpointFolder::open(&layout.checkpoints())?;
        let log = |path: &Path| {
            if resumed { MetricsLog::resume(path, step) } else { MetricsLog::create(path) }
        };
        let metrics = log(&layout.metrics())?;
        let evaluations = log(&layout.evaluations())?;
        let root = layout.root();
        let events = if resumed { EventFile::resume(root, step)? } else { EventFile::create(root)? };
        let environment =
            Environment::collect(env!("CARGO_PKG_VERSION"), run.device, run.precision, run.threads);
        let environment = serde_json::to_string_pretty(&environment).unwrap_or_default();
        write_bytes(&layout.environment(), environment.as_bytes())?;
        let pictures = layout.pictures();
        fs::create_dir_all(&pictures).map_err(|source| Error::file(pictures, source))?;
        Ok(Self { directory, checkpoints, metrics, evaluations, events })
    }

    fn write(&mut self, row: &Row) -> Result<(), Error> {
        self.metrics.append(&row.to_json())?;
        let tagged = row.tagged();
        let tagged: Vec<_> = tagged.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        Ok(self.events.scalars(row.step, &tagged)?)
    }
}

/// The most steps whose numbers are kept before they are written.
const MOST_PENDING: usize = 1000;

/// The step of a file `NAME-STEP.png`.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".png")?.rsplit_once('-')?.1.parse().ok()
}
