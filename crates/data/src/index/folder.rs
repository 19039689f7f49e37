//! Lists the contents of a folder and all its subfolders.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::names::Names;
use super::skipped::Skipped;
use super::{IndexError, formats, members};

/// The files that were found, as paths relative to the folder.
#[derive(Default)]
pub(super) struct Found {
    pub(super) pictures: Names,
    /// In the order of their paths.
    pub(super) shards: Vec<PathBuf>,
    /// The full path of a compressed archive, and the program that unpacks it.
    pub(super) compressed: Option<(PathBuf, &'static str)>,
    pub(super) skipped: Skipped,
}

impl Found {
    /// Searches a folder. Hidden files and folders are left out, symbolic links are followed, and what cannot be read
    /// is noted and skipped.
    ///
    /// # Errors
    /// [`IndexError::Unreadable`] if the folder itself cannot be read.
    pub(super) fn scan(root: &Path) -> Result<Self, IndexError> {
        let visible =
            |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_bytes().starts_with(b".");
        let mut found = Self::default();
        for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => found.take(root, &entry),
                Ok(_) => {}
                Err(error) => found.pass_over(root, error)?,
            }
        }
        found.shards.sort_unstable();
        Ok(found)
    }

    fn take(&mut self, root: &Path, file: &DirEntry) {
        let relative = file.path().strip_prefix(root).unwrap_or(file.path());
        let extension = relative.extension().unwrap_or_default().as_bytes();
        if formats::read(extension).is_some() {
            self.pictures.push(relative.as_os_str().as_bytes());
        } else if members::is_shard(relative) {
            self.shards.push(relative.to_owned());
        } else if let Some(compression) = members::compression_by_name(relative) {
            self.compressed = Some((file.path().to_owned(), compression));
        } else {
            self.skipped.note_extension(extension);
        }
    }

    /// Skips an entry with an error. A link to an enclosing folder is skipped without loss. Broken links and folders
    /// that cannot be read are noted; some folders of a disk can only be read by their owner.
    fn pass_over(&mut self, root: &Path, error: walkdir::Error) -> Result<(), IndexError> {
        let path = error.path().unwrap_or(root).to_owned();
        if error.loop_ancestor().is_some() {
            return Ok(());
        }
        if path == root {
            return Err(IndexError::Unreadable { path, source: error.into() });
        }
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            self.skipped.links += 1;
        } else {
            // The message of walkdir itself would name the folder a second time.
            let why = error.io_error().map_or(error.to_string(), ToString::to_string);
            self.skipped.note_folder(&path, &why);
        }
        Ok(())
    }

    /// The first picture in the order of paths.
    pub(super) fn first_picture(&self) -> PathBuf {
        OsStr::from_bytes(self.pictures.sorted().get(0)).into()
    }
}
