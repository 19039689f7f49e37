//! Why a run ends early.

use densesiam_data::loader::LoadError;
use densesiam_engine::interrupt::Signal;
use densesiam_nn::segment::ClusterError;
use densesiam_report::page::Status;

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
    /// The monitors report a collapse, and the recipe says to stop in that case.
    #[error("{why}")]
    Collapsed {
        /// The step.
        step: u64,
        /// What the monitors report.
        why: String,
    },
    /// The loader could not deliver the next batch.
    #[error(transparent)]
    NoPictures(LoadError),
    /// The features of the pictures cannot be clustered.
    #[error(transparent)]
    NoClusters(ClusterError),
    /// Another process could not go on, and said why.
    #[error("another process cannot go on: {0}")]
    Elsewhere(String),
    /// The parameters of these processes are not the first one's any more.
    #[error("after step {step} the parameters of process {} are not those of process 0", numbered(processes))]
    Apart {
        /// The step.
        step: u64,
        /// The processes.
        processes: Vec<usize>,
    },
    /// A signal asked the run to stop.
    #[error("stopped by {0}")]
    Signal(Signal),
}

/// Numbers of processes, in words.
pub(crate) fn numbered(processes: &[usize]) -> String {
    processes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

impl Trouble {
    /// The status in the report of a run that ended this way.
    pub fn status(&self) -> Status {
        match self {
            Self::Signal(_) => Status::Interrupted,
            other => Status::Failed(other.to_string()),
        }
    }
}
