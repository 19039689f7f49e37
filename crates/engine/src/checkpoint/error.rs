//! What can be wrong with tensor files and checkpoints, and who is at fault.

use std::io;
use std::path::{Path, PathBuf};

/// A file of tensors that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The system refused to write: no space, a limit on file sizes, no permission.
    #[error("cannot write {}: {source}; free some space or choose another folder", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's contents are not safetensors.
    #[error("{} is no valid safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor's element type is not supported: the program's fault, or a file of another program.
    #[error("tensor {name:?} of {} is of type {kind}; float32, float64, bfloat16 and int64 are supported", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        kind: String,
    },
    /// Two tensors are to be stored under one name: the program's fault.
    #[error("two tensors of {} are called {name:?}", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The shared name.
        name: String,
    },
}

/// A checkpoint that cannot be written, found or trusted.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no checkpoint where one was asked for.
    #[error("no checkpoint at {}; give a folder that holds manifest.json", path.display())]
    NotFound {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused to write: no space, a limit on file sizes, no permission. What was saved before is intact.
    #[error(
        "cannot write the checkpoint {}: {source}; earlier checkpoints are untouched, free some space and resume",
        path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not valid.
    #[error("{} is damaged: {reason}; resume from another checkpoint", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint was written by a program that uses another format.
    #[error("{} is of format {found}; this program reads format {supported}", path.display())]
    FormatVersion {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The one that is supported.
        supported: u64,
    },
    /// A file that the manifest lists is not there.
    #[error("{} is missing; resume from another checkpoint", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is shorter or longer than when it was written.
    #[error("{} has {found} bytes, {expected} were written; resume from another checkpoint", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A file's contents have changed since it was written.
    #[error("{} is damaged (crc32c {found:08x}, written as {expected:08x}); resume from another checkpoint", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum written.
        expected: u32,
        /// The checksum found.
        found: u32,
    },
    /// An error of a tensor file.
    #[error(transparent)]
    Tensors(TensorFileError),
}

impl CheckpointError {
    /// Whether the checkpoint itself is permanently damaged, so that an older one may be used instead.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Manifest { .. } | Self::Missing { .. } => true,
            Self::Truncated { .. } | Self::Checksum { .. } | Self::Tensors(_) => true,
            Self::Write { .. } | Self::Read { .. } | Self::FormatVersion { .. } => false,
        }
    }
}

impl From<TensorFileError> for CheckpointError {
    fn from(error: TensorFileError) -> Self {
        match error {
            TensorFileError::Write { path, source } => Self::Write { path, source },
            TensorFileError::Read { path, source } => Self::Read { path, source },
            other => Self::Tensors(other),
        }
    }
}

impl CheckpointError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}
