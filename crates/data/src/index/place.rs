//! Where the bytes of a picture or label map are.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, thread};

use densesiam_text::shown;

use super::shards::Member;

/// Most bytes that a picture may have: beyond any camera, and short of what a hollow file can claim.
const LARGEST: u64 = 1 << 30;

/// Pauses before a read that failed is tried again: storage that is busy, or comes back, answers after one of them.
const PAUSES: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(200), Duration::from_secs(1)];

/// Where the bytes of a picture or label map are; shown as messages and lists name it.
#[derive(Debug, PartialEq, Eq, Hash)]
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

    /// Its name with every letter as it is, for JSON, which has escapes of its own; bytes that are not UTF-8 become
    /// replacement characters.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Member(member) => {
                let (shard, name) =
                    (member.shard().to_string_lossy(), String::from_utf8_lossy(member.name()));
                format!("{shard}:{name}")
            }
        }
    }

    /// Reads the picture's bytes into `bytes`, whose memory is used again and whose content is replaced.
    ///
    /// # Errors
    /// What the system says, and has said several times where it may say otherwise soon; or that file or shard are no
    /// longer what was indexed, or of more than a gigabyte.
    pub fn read_into(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::File(path) => read_file(path, bytes),
            Self::Member(member) => {
                bytes.resize(within_limit(member.length())? as usize, 0);
                tried_again(|| member.read_into(bytes))
            }
        }
    }
}

/// Reads a file of its own into `bytes`, whose memory is used again.
///
/// # Errors
/// What the system says, and has said several times where it may say otherwise soon; or that it is no regular file, or one
/// of more than a gigabyte.
fn read_file(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    tried_again(|| read_once(path, bytes))
}

fn read_once(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    // Opening a pipe would wait for someone to write to it.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    within_limit(metadata.len())?;
    bytes.clear();
    File::open(path)?.read_to_end(bytes).map(drop)
}

/// Reads, and where that fails for a reason that may pass, reads again after each of the [`PAUSES`].
fn tried_again(mut read: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for pause in PAUSES {
        match read() {
            Err(error) if may_pass(&error) => thread::sleep(pause),
            result => return result,
        }
    }
    read()
}

/// Whether it is an answer of the system, and not one about the file itself: nothing is there, it may not be read.
fn may_pass(error: &io::Error) -> bool {
    let about_the_file = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    );
    error.raw_os_error().is_some() && !about_the_file
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
            Self::File(path) => shown(path).fmt(formatter),
            Self::Member(member) => member.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads that fail so often before one succeeds; how often it was read, and whether it came to anything.
    fn reads(failures: usize, error: impl Fn() -> io::Error) -> (usize, bool) {
        let mut reads = 0;
        let result = tried_again(|| {
            reads += 1;
            if reads <= failures { Err(error()) } else { Ok(()) }
        });
        (reads, result.is_ok())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_no_more_than_that() {
        // EIO and ESTALE.
        for number in [5, 116] {
            let error = || io::Error::from_raw_os_error(number);
            assert_eq!([0, 1, 3].map(|failures| reads(failures, error)), [(1, true), (2, true), (4, true)]);
        }
        assert_eq!(reads(9, || io::Error::from_raw_os_error(5)), (4, false));
        // ENOENT, EACCES, and what this program says.
        for number in [2, 13] {
            assert_eq!(reads(1, || io::Error::from_raw_os_error(number)), (1, false));
        }
        assert_eq!(reads(1, || io::Error::other("its shard is another")), (1, false));
    }
}
