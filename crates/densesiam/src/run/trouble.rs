//! Why a run ends early, and what it leaves.

use densesiam_data::loader::LoadError;
use densesiam_engine::checkpoint::CheckpointFolder;
use densesiam_engine::interrupt::Signal;
use densesiam_report::page::Status;

use super::State;
use super::journal::Journal;
use crate::error::{Error, Stop};
use crate::file::write_bytes;

/// Why a run has to end early.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The loss or its gradient was not finite after this step, made of these samples.
    #[error("the loss was not finite at step {step}")]
    NotFinite {
        /// The step.
        step: u64,
        /// Its samples.
        samples: Vec<u64>,
    },
    /// The monitors say collapse, and the recipe says to stop then.
    #[error("{why}")]
    Collapsed {
        /// The step.
        step: u64,
        /// What they say.
        why: String,
    },
    /// There is no next batch to be had.
    #[error(transparent)]
    NoPictures(LoadError),
    /// A signal asks for it.
    #[error("stopped by {0}")]
    Signal(Signal),
}

impl Trouble {
    /// What the report says of a run that ended so.
    pub fn status(&self) -> Status {
        match self {
            Self::Signal(_) => Status::Interrupted,
            other => Status::Failed(other.to_string()),
        }
    }
}

impl Journal<'_> {
    /// Saves the state as fits the trouble, and returns the error to end with. A state that is not finite goes to a
    /// folder apart from the good ones, with the names of its batch's pictures.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_for(&self, trouble: Trouble, state: &State) -> Result<Error, Error> {
        if !matches!(trouble, Trouble::NotFinite { .. }) && state.step > 0 {
            self.save(state)?;
            self.export(state)?;
        }
        match trouble {
            Trouble::NotFinite { step, samples } => {
                let folder = self.layout().nonfinite();
                self.save_into(&CheckpointFolder::open(&folder)?, state)?;
                let name = |&sample: &u64| self.run.index.place(sample as usize).to_string() + "\n";
                let names = samples.iter().map(name).collect::<String>();
                write_bytes(&folder.join("pictures.txt"), names.as_bytes())?;
                Ok(Error::NotFinite { step, state: folder })
            }
            Trouble::Collapsed { step, why } => Ok(Error::Collapsed { step, why }),
            Trouble::NoPictures(error) => Ok(error.into()),
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
}
