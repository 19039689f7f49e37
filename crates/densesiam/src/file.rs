//! Writes files so that each is either complete or absent.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::Error;

/// Lets `content` write to a temporary name beside `path`, then renames it, so that a full disk leaves the earlier file
/// intact. Unlike checkpoints, these files are not synced, because they can be made again.
///
/// # Errors
/// The error of `content`, or an error of the system; no part of the new file is left.
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
        // The caller needs the first failure; a leftover file is only untidy.
        let _ = fs::remove_file(&partial);
    })
}

/// As [`write_whole`], for bytes in memory.
///
/// # Errors
/// When the system refuses.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(bytes).map_err(|source| Error::file(path, source)))
}
