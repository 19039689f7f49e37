//! Errors of region files.

use std::io;
use std::path::PathBuf;

use densesiam_settings::SettingError;
use densesiam_text::shown;

use crate::loader::LoadError;
use crate::resize::ResizeError;

/// Why a region file cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A setting is outside its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A worker thread could not be started or panicked, or the storage does not answer.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file of that name is there.
    #[error("{} exists; replace it with --overwrite, or name another file", shown(path))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}: {source}; check that there is room and that you may write there", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writing was stopped.
    #[error("stopped after {done} of {total} pictures; the same command goes on from {}", shown(path))]
    Interrupted {
        /// What is written so far.
        path: PathBuf,
        /// Pictures in it.
        done: usize,
        /// Pictures of the data set.
        total: usize,
    },
    /// A view of the regions could not be made: a bug of the caller.
    #[error(transparent)]
    View(#[from] ResizeError),
    /// The file system refused to be read.
    #[error("cannot read {}: {source}; write the regions with `densesiam data regions`", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a region file, or is damaged.
    #[error("{} is no whole region file: {reason}; write it anew with `densesiam data regions`", shown(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a program of another format.
    #[error(
        "{} has the format {found}, and this program reads {known}; write it anew with `densesiam data regions`",
        shown(path)
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read.
        known: u32,
    },
    /// Pictures of the data set are not in the file.
    #[error(
        "{} has no regions of {missing} of {pictures} pictures, the first {first}; write them for this data set with \
         `densesiam data regions`",
        shown(path)
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The first picture that is not in it.
        first: String,
        /// How many are not in it.
        missing: usize,
        /// Pictures of the data set.
        pictures: usize,
    },
    /// The picture could not be read when the file was written.
    #[error(
        "{name} could not be read when {} was written ({reason}); write it anew if the picture is whole now",
        shown(path)
    )]
    WasUnreadable {
        /// The file.
        path: PathBuf,
        /// The entry of the picture.
        name: String,
        /// What was wrong with the picture.
        reason: String,
    },
    /// What the file holds of a picture cannot be read.
    #[error("{} holds a damaged {name}: {reason}; write it anew with `densesiam data regions`", shown(path))]
    DamagedEntry {
        /// The file.
        path: PathBuf,
        /// The entry of the picture.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written for another picture of that name.
    #[error(
        "{} holds {name} of {} x {} pixels, and the picture has {} x {}; write it anew for these pictures with \
         `densesiam data regions`",
        shown(path), found[0], found[1], picture[0], picture[1]
    )]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// The entry of the picture.
        name: String,
        /// Width and height in pixels that the file has.
        found: [u32; 2],
        /// The picture's.
        picture: [u32; 2],
    },
}
