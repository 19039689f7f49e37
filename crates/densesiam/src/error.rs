//! Everything that can end a task early: what went wrong, where, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use densesiam_data::pack::PackError;
use densesiam_engine::checkpoint::{CheckpointError, TensorFileError};
use densesiam_engine::device::DeviceError;
use densesiam_engine::interrupt::Signal;
use densesiam_engine::log::LogError;
use densesiam_engine::run_dir::RunDirectoryError;
use densesiam_text::{NotText, ReadError, shown};

use crate::home::HomeError;
use crate::run::numbered;
use densesiam_settings::keys::RecipeError;

/// Why a task ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A `~` cannot be expanded.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] densesiam_settings::SettingError),
    /// Anything else about the recipe or the command line.
    #[error("{0}")]
    Usage(String),
    /// The pictures cannot be found.
    #[error(transparent)]
    Index(#[from] densesiam_data::index::IndexError),
    /// Regions of pictures cannot be found, written or read.
    #[error(transparent)]
    Regions(#[from] densesiam_data::regions::RegionError),
    /// The labelled pictures cannot be found.
    #[error(transparent)]
    DataSet(#[from] densesiam_data::labelled::DataSetError),
    /// The pictures with objects cannot be found.
    #[error(transparent)]
    Objects(#[from] densesiam_data::detection::DetectionError),
    /// Detections in files cannot be scored.
    #[error(transparent)]
    Score(#[from] densesiam_data::detection::ScoreError),
    /// Detections cannot be written as COCO's results.
    #[error(transparent)]
    CocoResults(#[from] densesiam_data::detection::CocoError),
    /// Detections in VOC's files cannot be read or written.
    #[error(transparent)]
    VocResults(#[from] densesiam_data::detection::VocResultError),
    /// A labelled picture cannot be read.
    #[error(transparent)]
    Reading(#[from] densesiam_data::labelled::ReadingError),
    /// The features of the pictures cannot be clustered.
    #[error(transparent)]
    NoClusters(#[from] densesiam_nn::segment::ClusterError),
    /// The pictures cannot be read.
    #[error(transparent)]
    Load(#[from] densesiam_data::loader::LoadError),
    /// None of the examined pictures can be read.
    #[error("{}: no readable picture among the {looked_at} files looked at; the first: {first}", shown(root))]
    NothingReadable {
        /// The folder.
        root: PathBuf,
        /// How many files were examined.
        looked_at: usize,
        /// What is wrong with the first.
        first: String,
    },
    /// A check found something wrong with annotated pictures.
    #[error(
        "{}: faults found: {faults}; they are counted by kind in the answer, and `densesiam data check --json` names them all",
        shown(root)
    )]
    Faulty {
        /// The folder, or the file of annotations.
        root: PathBuf,
        /// How many faults.
        faults: usize,
    },
    /// The shards cannot be written.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The made-up pictures cannot be written.
    #[error(transparent)]
    Demo(#[from] densesiam_data::demo::DemoError),
    /// One picture cannot be read.
    #[error("cannot read {}: {reason}", shown(path))]
    Picture {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A weights file cannot be read, or is of another model.
    #[error("cannot take the weights of {}: {reason}", shown(path))]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of tensors cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// A log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A checkpoint is of another run, model or data set.
    #[error("{0}")]
    CannotResume(String),
    /// Standard output cannot be written to.
    #[error("cannot write the answer: {0}; free some space, or send it elsewhere")]
    Answer(io::Error),
    /// A file cannot be read or written.
    #[error("cannot access {}: {source}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that should be text is not text.
    #[error("{} is not {what}: {reason}", shown(path))]
    NotText {
        /// The file.
        path: PathBuf,
        /// What the file should be, with an article.
        what: &'static str,
        /// What the file seems to be instead.
        reason: NotText,
    },
    /// The device is not available.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A loss is not finite.
    #[error(
        "the loss is not finite at step {step}; the state is in {}, the pictures of the batch in its pictures.txt; \
         start a new run with a lower optimizer.base_learning_rate or a longer optimizer.schedule.warmup",
        shown(state)
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Where the state was saved.
        state: PathBuf,
    },
    /// The monitors report a collapse, and the recipe says to stop in that case.
    #[error(
        "stopped at step {step}: {why}; the state is saved, and monitor.stop_on_collapse=false would go on"
    )]
    Collapsed {
        /// The step.
        step: u64,
        /// What the monitors report.
        why: String,
    },
    /// Another process of the training has ended, or does not answer.
    #[error(
        "another process of this training is lost ({why}); go on from its last checkpoint, in {}, with --resume",
        shown(checkpoints)
    )]
    Lost {
        /// What that process said, or what the connection to it says.
        why: String,
        /// The folder of the checkpoints.
        checkpoints: PathBuf,
    },
    /// Processes that compute the same have come to other parameters than the first one.
    #[error(
        "after step {step} the parameters of process {} are not those of process 0: memory or arithmetic of a machine may be at \
         fault, or their processors or libraries differ; go on from the last checkpoint, in {}, where all were equal, with --resume, \
         and without that machine if it comes again",
        numbered(processes),
        shown(checkpoints)
    )]
    Apart {
        /// The step.
        step: u64,
        /// The processes.
        processes: Vec<usize>,
        /// The folder of the checkpoints.
        checkpoints: PathBuf,
    },
    /// Another process of the training could not go on; all is saved.
    #[error("another process of this training cannot go on: {0}")]
    Elsewhere(String),
    /// A signal asked the run to stop; all is saved.
    #[error("{0}")]
    Interrupted(Box<Stop>),
    /// A signal asked a prediction to stop.
    #[error(
        "stopped by {signal}; the files in {} are whole, and the same command with --overwrite begins again",
        shown(out)
    )]
    Stopped {
        /// The signal.
        signal: Signal,
        /// Where its files are.
        out: PathBuf,
    },
    /// A signal asked for the end of what writes a file only when it is complete.
    #[error("stopped by {signal}; the file that was being made is not there")]
    Unfinished {
        /// The signal.
        signal: Signal,
    },
    /// A signal asked the search for regions to stop.
    #[error("{reason}")]
    RegionsStopped {
        /// The signal.
        signal: Signal,
        /// What is written.
        reason: densesiam_data::regions::RegionError,
    },
    /// A measurement in a separate process ended early.
    #[error(
        "the measurement of {what} ended early ({status}); if memory was short use a smaller train.batch_size"
    )]
    Measurement {
        /// What was measured.
        what: String,
        /// How the process ended.
        status: std::process::ExitStatus,
    },
    /// A fault of the program.
    #[error("{0}; this is a fault of the program, please report it")]
    Internal(String),
}

/// A run that was asked to stop, and what it left.
#[derive(Debug)]
pub struct Stop {
    /// The signal.
    pub signal: Signal,
    /// The step.
    pub step: u64,
    /// The encoder exported at that step; `None` before the first step.
    pub encoder: Option<PathBuf>,
    /// The report.
    pub report: PathBuf,
    /// The command.
    pub task: &'static str,
    /// The run directory.
    pub run: PathBuf,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "stopped by {} at step {}; all is saved", self.signal, self.step)?;
        if let Some(encoder) = &self.encoder {
            writeln!(formatter, "encoder: {}", shown(encoder))?;
        }
        writeln!(formatter, "report:  {}", shown(&self.report))?;
        write!(formatter, "go on with: densesiam {} {} --resume", self.task, shown(&self.run))
    }
}

impl Error {
    /// A file that cannot be read or written.
    pub fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// A text file that cannot be read; `what` says what the file should be.
    pub fn text(path: &Path, what: &'static str, error: ReadError) -> Self {
        match error {
            ReadError::System(source) => Self::file(path, source),
            ReadError::NotText(reason) => Self::NotText { path: path.into(), what, reason },
        }
    }

    /// Whether the command ended because a signal asked it to, which is not a fault.
    pub fn was_asked_for(&self) -> bool {
        matches!(
            self,
            Self::Interrupted(_)
                | Self::Stopped { .. }
                | Self::Unfinished { .. }
                | Self::RegionsStopped { .. }
        )
    }
}
