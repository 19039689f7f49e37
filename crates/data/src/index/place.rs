//! Where the bytes of a picture are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::shards::Member;

/// Most bytes that a picture may have: beyond any camera, and short of what a hollow file can claim.
const LARGEST: u64 = 1 << 30;

/// Where the bytes of a picture are; shown as logs and errors name it.
#[derive(Debug)]
pub enum Place<'i> {
    /// In a file of its own.
    File(PathBuf),
    /// In a tar shard.
    Member(Member<'i>),
}

impl Place<'_> {
    /// The picture's own file, if it has one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Member(_) => None,
        }
    }

    /// Reads the picture's bytes into `bytes`, whose memory is used again and whose content is replaced.
    ///
    /// # Errors
    /// What the system says; or that file or shard are no longer what was indexed, or of more than a gigabyte.
    pub fn read_into(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::File(path) => read_file(path, bytes),
            Self::Member(member) => {
                bytes.resize(within_limit(member.length())? as usize, 0);
                member.read_into(bytes)
            }
        }
    }
}

/// Reads a picture or label map that is a file of its own into `bytes`, whose memory is used again.
///
/// # Errors
/// What the system says; or that it is no regular file, or one of more than a gigabyte.
pub(crate) fn read_file(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    // Opening a pipe would wait for someone to write to it.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    within_limit(metadata.len())?;
    bytes.clear();
    File::open(path)?.read_to_end(bytes).map(drop)
}

fn within_limit(length: u64) -> io::Result<u64> {
    if length > LARGEST {
        let message = format!("{length} bytes, more than the {LARGEST} that a file may have");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(length)
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Member(member) => member.fmt(formatter),
        }
    }
}
