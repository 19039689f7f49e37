//! The three places where a run reports its progress: a file of JSON lines, TensorBoard's event file, and the terminal
//! or another listener.

mod jsonl;
mod progress;
mod tensorboard;
mod voice;

use std::io;
use std::path::{Path, PathBuf};

pub use self::jsonl::MetricsLog;
pub use self::progress::{Progress, ProgressLine, spoken};
pub use self::tensorboard::{EventFile, Png};
pub use self::voice::{Voice, say};

/// A log that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused to write: no space, no permission.
    #[error("cannot write to the log {}: {source}; free some space and resume", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to read what an earlier part of the run wrote.
    #[error("cannot read the log {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LogError {
    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
