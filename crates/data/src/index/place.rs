//! Where the bytes of a picture or label map are.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, thread};

use densesiam_text::shown;

use super::shards::Member;

/// The most bytes of a picture: more than any camera produces, and less than a sparse file can claim.
const LARGEST: u64 = 1 << 30;

/// Pauses before a failed read is tried again; storage that is busy or recovering usually answers after one of them.
const PAUSES: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(200), Duration::from_secs(1)];

/// Where the bytes of a picture or label map are; displayed as messages and lists name it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Place<'i> {
    /// In a separate file.
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

    /// Its name with every character unchanged, for JSON, which has its own escapes; bytes that are not UTF-8 become
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

    /// Reads the picture's bytes into `bytes`, whose memory is reused and whose content is replaced.
    ///
    /// # Errors
    /// The error of the system, after several tries if the error may be temporary; or that the file or shard has
    /// changed since it was indexed, or has more than a gigabyte.
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

/// Reads a separate file into `bytes`, whose memory is reused.
///
/// # Errors
/// The error of the system, after several tries if the error may be temporary; or that the file is not a regular file,
/// or has more than a gigabyte.
fn read_file(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    tried_again(|| read_once(path, bytes))
}

fn read_once(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    // Opening a pipe would block until another program writes to it.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    within_limit(metadata.len())?;
    bytes.clear();
    File::open(path)?.read_to_end(bytes).map(drop)
}

/// Reads; if that fails for a temporary reason, reads again after each of the [`PAUSES`].
fn tried_again(mut read: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for pause in PAUSES {
        match read() {
            Err(error) if may_pass(&error) => thread::sleep(pause),
            result => return result,
        }
    }
    read()
}

/// Whether the error may be temporary: an error of the system, and not one about the file itself (it does not exist, or
/// it must not be read).
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

    /// Simulates reads of which the first `failures` fail; returns how often it was read, and whether a read succeeded.
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
        // ENOENT, EACCES, and an error of this program.
        for number in [2, 13] {
            assert_eq!(reads(1, || io::Error::from_raw_os_error(number)), (1, false));
        }
        assert_eq!(reads(1, || io::Error::other("its shard is another")), (1, false));
    }
}
