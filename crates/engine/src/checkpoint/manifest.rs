//! The manifest of a checkpoint, which lists the files beside it, so that damage is noticed before training continues
//! from it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use densesiam_text::content;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CheckpointError;

/// The manifest's name within a checkpoint's folder.
pub(super) const MANIFEST: &str = "manifest.json";
/// The checkpoint format of this program.
pub(super) const FORMAT: u64 = 1;

/// The size and checksum of a file as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32C (Castagnoli) of the contents.
    pub crc32c: u32,
}

impl FileRecord {
    /// Adds the file's next bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }

    /// Fails unless `contents` agree with the record.
    pub(super) fn verify(&self, path: &Path, contents: &[u8]) -> Result<(), CheckpointError> {
        let path = path.to_owned();
        let mut found = Self::default();
        found.extend(contents);
        if found.bytes != self.bytes {
            Err(CheckpointError::Truncated { path, expected: self.bytes, found: found.bytes })
        } else if found.crc32c != self.crc32c {
            Err(CheckpointError::Checksum { path, expected: self.crc32c, found: found.crc32c })
        } else {
            Ok(())
        }
    }
}

/// The description of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format in which it is stored.
    pub format: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// When it was written, in seconds since 1970 (UTC).
    pub created: u64,
    /// The files beside the manifest, by name.
    pub files: BTreeMap<String, FileRecord>,
    /// What else the program needs when it resumes: seed, fingerprint of the data, the recipe's hash.
    pub run: Value,
}

impl Manifest {
    /// Reads the manifest of the checkpoint in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                CheckpointError::NotFound { path: folder.to_owned() }
            }
            _ => CheckpointError::read(&path, source),
        })?;
        Self::parse(&text, &path)
    }

    /// Reads the text of a manifest; `path` is for error messages.
    pub(super) fn parse(text: &[u8], path: &Path) -> Result<Self, CheckpointError> {
        let damaged = |reason: &dyn Display| CheckpointError::Manifest {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let text = content(text).map_err(|reason| damaged(&reason))?;
        // The format is checked first, because a later one may have other fields.
        let value: Value = serde_json::from_slice(text).map_err(|reason| damaged(&reason))?;
        match value.get("format").and_then(Value::as_u64) {
            Some(found) if found != FORMAT => {
                Err(CheckpointError::FormatVersion { path: path.to_owned(), found, supported: FORMAT })
            }
            _ => serde_json::from_value(value).map_err(|reason| damaged(&reason)),
        }
    }
}
