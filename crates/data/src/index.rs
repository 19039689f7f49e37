//! Which pictures a data set holds: found once, sorted, and kept in one buffer of bytes.
//!
//! ImageNet has 1.3 million files; as separate strings they would take several times the memory of their names.
//! Content is not looked at here: what cannot be decoded is found, counted and replaced by the loader.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// Extensions of the files that count as pictures, compared without regard to case.
pub const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff"];

/// Why there is no data set: the fault of what `data.root` names, or of the file system.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Nothing exists at the path.
    #[error("{} does not exist; data.root must name a folder of pictures or a list file", path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// A single picture was given.
    #[error("{} is one picture; data.root must name the folder it lies in, or a list file", path.display())]
    OnePicture {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds no picture.
    #[error("no picture found in {} or its subfolders; looked for {}", path.display(), EXTENSIONS.map(|e| format!(".{e}")).join(" "))]
    NoPicture {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The list file names no picture.
    #[error("{} names no picture; a list file holds one path a line, relative to its own folder", path.display())]
    EmptyList {
        /// The list file.
        path: PathBuf,
    },
    /// The file system refused to be read.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", path.display())]
    Unreadable {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The pictures of a data set, by number from 0, in the order of their paths' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageIndex {
    root: PathBuf,
    /// Paths relative to the root, each followed by a line feed.
    names: Vec<u8>,
    /// Where each path ends in `names`.
    ends: Vec<u64>,
}

impl ImageIndex {
    /// Finds the pictures of a folder and all its subfolders (hidden ones left out, symbolic links followed), or those
    /// that a list file names.
    ///
    /// # Errors
    /// An [`IndexError`] where nothing is there, nothing is a picture, or the file system refuses.
    pub fn scan(path: &Path) -> Result<Self, IndexError> {
        let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => IndexError::Missing { path: path.into() },
            _ => IndexError::Unreadable { path: path.into(), source },
        })?;
        if metadata.is_dir() {
            Self::scan_folder(path)
        } else if is_picture(path) {
            Err(IndexError::OnePicture { path: path.into() })
        } else {
            let bytes =
                std::fs::read(path).map_err(|source| IndexError::Unreadable { path: path.into(), source })?;
            Self::from_list(&bytes, path)
        }
    }

    /// The index of the pictures that a list file names, from its bytes: one path a line, relative to the folder of
    /// `list`. Whether they exist is not looked at.
    ///
    /// # Errors
    /// An [`IndexError`] where the list is empty.
    pub fn from_list(bytes: &[u8], list: &Path) -> Result<Self, IndexError> {
        let mut found = Names::default();
        let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty()).for_each(|line| found.push(line));
        if found.ends.is_empty() {
            return Err(IndexError::EmptyList { path: list.into() });
        }
        Ok(found.sorted(list.parent().unwrap_or(Path::new("")).into()))
    }

    /// The index of one picture, whatever its name.
    ///
    /// # Errors
    /// An [`IndexError`] where there is no such file.
    pub fn single(path: &Path) -> Result<Self, IndexError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            _ => return Err(IndexError::Missing { path: path.into() }),
        }
        let mut found = Names::default();
        found.push(path.file_name().unwrap_or_default().as_bytes());
        Ok(found.sorted(path.parent().unwrap_or(Path::new("")).into()))
    }

    /// The index of pictures that are known by name: paths relative to `root`. Whether they exist is not looked at.
    ///
    /// # Errors
    /// An [`IndexError`] where there is no name.
    pub fn from_names(
        root: &Path,
        names: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, IndexError> {
        let mut found = Names::default();
        names.into_iter().for_each(|name| found.push(name.as_ref().as_bytes()));
        if found.ends.is_empty() {
            return Err(IndexError::NoPicture { path: root.into() });
        }
        Ok(found.sorted(root.into()))
    }

    fn scan_folder(root: &Path) -> Result<Self, IndexError> {
        let mut found = Names::default();
        let visible =
            |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_bytes().starts_with(b".");
        for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_picture(entry.path()) => {
                    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
                    found.push(relative.as_os_str().as_bytes());
                }
                Ok(_) => {}
                Err(error) => pass_over_link(root, error)?,
            }
        }
        if found.ends.is_empty() {
            return Err(IndexError::NoPicture { path: root.into() });
        }
        Ok(found.sorted(root.into()))
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never true: an index without pictures is an error of [`ImageIndex::scan`].
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The folder that paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where picture `index` lies: the root joined with its relative path.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.relative_path(index))
    }

    /// The path of picture `index` relative to the root.
    pub fn relative_path(&self, index: usize) -> &Path {
        let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous] as usize + 1);
        Path::new(OsStr::from_bytes(&self.names[start..self.ends[index] as usize]))
    }

    /// A hash of all relative paths: the same files under another root have the same fingerprint.
    pub fn fingerprint(&self) -> u64 {
        densesiam_random::hash(&self.names)
    }
}

/// Broken links and links to an enclosing folder are not pictures; anything else that cannot be read is an error.
fn pass_over_link(root: &Path, error: walkdir::Error) -> Result<(), IndexError> {
    let path = error.path().unwrap_or(root).to_owned();
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    if error.loop_ancestor().is_some() || (is_link && path != root) {
        return Ok(());
    }
    Err(IndexError::Unreadable { path, source: error.into() })
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Paths in the order they were found.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u64);
    }

    fn sorted(&self, root: PathBuf) -> ImageIndex {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut slices: Vec<&[u8]> =
            starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start as usize..end as usize]).collect();
        slices.sort_unstable();
        let mut names = Vec::with_capacity(self.bytes.len() + slices.len());
        let mut ends = Vec::with_capacity(slices.len());
        for slice in slices {
            names.extend_from_slice(slice);
            ends.push(names.len() as u64);
            names.push(b'\n');
        }
        ImageIndex { root, names, ends }
    }
}
