//! The three places where a run says how it goes: a file of JSON lines, TensorBoard's event file, and the terminal.

mod jsonl;
mod progress;
mod tensorboard;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use self::jsonl::MetricsLog;
pub use self::progress::{Progress, Report, spoken};
pub use self::tensorboard::{EventFile, Png};

/// Says a line, or lines, to whoever watches: on standard error, ended by a line feed. That nobody listens any more, for a
/// terminal was closed or the program that the lines went to has ended, is no reason to end a training.
pub fn say(lines: impl Display) {
    let mut lines = lines.to_string();
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// A log that cannot be kept.
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
