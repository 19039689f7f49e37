//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::Error;

/// Lets `content` write to another name beside `path`, and renames it: a full disk leaves the file of before. Not synced as
/// checkpoints are: what is written here can be made again.
///
/// # Errors
/// What `content` fails with, or when the system refuses; no part of the file is left.
pub fn write_whole(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut partial = path.file_name().unwrap_or_default().to_owned();
    partial.push(".partial");
    let partial = path.with_file_name(partial);
    let system = |source: io::Error| Error::file(path, source);
    let write = || {
        let mut out = BufWriter::new(File::create(&partial).map_err(system)?);
        content(&mut out)?;
        out.flush().map_err(system)?;
        fs::rename(&partial, path).map_err(system)
    };
    write().inspect_err(|_| {
        // The failure is what matters to the caller; a leftover is only untidy.
        let _ = fs::remove_file(&partial);
    })
}

/// As [`write_whole`], of bytes that are there.
///
/// # Errors
/// When the system refuses.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(bytes).map_err(|source| Error::file(path, source)))
}
