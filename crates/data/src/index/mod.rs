//! The pictures of a data set, and where the bytes of each are. The index is built once, and kept in a few buffers.
//!
//! Pictures are separate files, or members of tar shards as WebDataset writes them. ImageNet has 1.3 million; as
//! separate strings their names would take several times the memory. Contents are not read here: the loader finds,
//! counts and replaces pictures that cannot be decoded.

mod error;
mod folder;
pub(crate) mod formats;
mod members;
mod names;
mod pattern;
mod place;
mod samples;
mod shards;
mod skipped;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use densesiam_text::{ReadError, content, read_bytes};

use folder::Found;
use names::Names;
use shards::Shards;

pub use error::IndexError;
pub use formats::EXTENSIONS;
pub use place::Place;
pub(crate) use samples::is_metadata;
#[cfg(test)]
pub(crate) use samples::is_picture_member;
pub use shards::Member;
pub use skipped::Skipped;

/// The most bytes in a path on Linux.
const LONGEST_PATH: usize = 4096;

/// The pictures of a data set, by number from 0: files in the order of their paths' bytes, members of shards in the
/// order of the shards and of the members in each.
#[derive(Debug)]
pub struct ImageIndex {
    root: PathBuf,
    /// Paths relative to the root, or names within the shards.
    names: Names,
    /// `None` if the pictures are separate files.
    shards: Option<Shards>,
    /// What else the folder holds.
    skipped: Skipped,
}

impl ImageIndex {
    /// Finds the pictures of a data set: of a folder and all its subfolders (hidden ones left out, symbolic links
    /// followed), which hold either pictures or tar shards; or those that a list file names; or those of one tar
    /// shard, or of the shards that a pattern names ([`names_shards`]).
    ///
    /// # Errors
    /// An [`IndexError`] if the path does not exist, if there is no picture, if a shard cannot be used, or if the file
    /// system refuses.
    pub fn scan(path: &Path) -> Result<Self, IndexError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Self::scan_folder(path),
            Ok(_) if is_picture(path) => Err(IndexError::OnePicture { path: path.into() }),
            Ok(_) if is_archive(path) => {
                Self::of_shards(parent(path).into(), path.file_name().map(PathBuf::from))
            }
            Ok(_) => match read_bytes(path) {
                Ok(bytes) => Self::from_list(&bytes, path),
                Err(ReadError::System(source)) => Err(IndexError::Unreadable { path: path.into(), source }),
                Err(ReadError::NotText(reason)) => Err(IndexError::NotAList { path: path.into(), reason }),
            },
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(IndexError::Unreadable { path: path.into(), source })
            }
            Err(_) if names_shards(path) => Self::of_pattern(path),
            Err(_) => Err(IndexError::Missing { path: path.into() }),
        }
    }

    /// The index of the pictures that a list file names, from its bytes: one path a line, relative to the folder of
    /// `list`. Whether they exist is not checked.
    ///
    /// # Errors
    /// An [`IndexError`] if the list is empty, or is clearly not a list.
    pub fn from_list(bytes: &[u8], list: &Path) -> Result<Self, IndexError> {
        let path = || list.to_owned();
        let content = content(bytes).map_err(|reason| IndexError::NotAList { path: path(), reason })?;
        let mut found = Names::default();
        for (number, line) in content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate() {
            if line.len() > LONGEST_PATH {
                return Err(IndexError::LongLine { path: path(), line: number + 1, length: line.len() });
            }
            if !line.is_empty() {
                found.push(line);
            }
        }
        Self::of_files(parent(list), &found).ok_or_else(|| IndexError::EmptyList { path: path() })
    }

    /// The index of the pictures at a path: of a folder, tar shards or a list file, as [`Self::scan`] finds them, or of one picture,
    /// as [`Self::single`] does.
    ///
    /// # Errors
    /// An [`IndexError`] if there are none.
    pub fn at(path: &Path) -> Result<Self, IndexError> {
        if !path.is_dir() && !path.is_file() && !names_shards(path) {
            return Self::single(path);
        }
        match Self::scan(path) {
            Err(IndexError::OnePicture { .. } | IndexError::NotAList { .. }) => Self::single(path),
            index => index,
        }
    }

    /// The index of one picture: a file, whatever its name, or a member of a shard as logs name it, `SHARD.tar:NAME`
    /// (the first of that name).
    ///
    /// # Errors
    /// An [`IndexError`] if there is no such file or member, or it is a folder or a shard of many.
    pub fn single(path: &Path) -> Result<Self, IndexError> {
        let many = |what, between| IndexError::NotOnePicture { path: path.into(), what, between };
        if path.is_dir() {
            return Err(many("a folder", '/'));
        }
        if path.is_file() && is_archive(path) {
            return Err(many("a tar shard", ':'));
        }
        if path.is_file() {
            return Self::from_names(parent(path), path.file_name());
        }
        let missing = || IndexError::MissingPicture { path: path.into() };
        let (shard, name) = path.to_str().and_then(|text| text.split_once(".tar:")).ok_or_else(missing)?;
        let Self { root, names, shards, skipped } = Self::scan(Path::new(&format!("{shard}.tar")))?;
        let index =
            (0..names.len()).find(|&index| names.get(index) == name.as_bytes()).ok_or_else(missing)?;
        let mut only = Names::default();
        only.push(name.as_bytes());
        Ok(Self { root, names: only, shards: shards.map(|shards| shards.only(index)), skipped })
    }

    /// The index of pictures with these names: paths relative to `root`. Whether they exist is not checked.
    ///
    /// # Errors
    /// An [`IndexError`] if there is no name.
    pub fn from_names(
        root: &Path,
        names: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, IndexError> {
        let mut found = Names::default();
        names.into_iter().for_each(|name| found.push(name.as_ref().as_bytes()));
        Self::of_files(root, &found).ok_or_else(|| no_picture(root, Skipped::default()))
    }

    fn scan_folder(root: &Path) -> Result<Self, IndexError> {
        let found = Found::scan(root)?;
        match (found.shards.first(), &found.compressed) {
            (Some(shard), _) if found.pictures.len() > 0 => Err(IndexError::PicturesAndShards {
                root: root.into(),
                picture: found.first_picture(),
                shard: shard.clone(),
            }),
            // Next to pictures an archive is taken for a copy; next to shards, or alone, it is taken for a shard.
            (_, Some((path, compression))) if found.pictures.len() == 0 => {
                Err(IndexError::CompressedShard { path: path.clone(), compression })
            }
            (Some(_), _) => {
                Ok(Self { skipped: found.skipped, ..Self::of_shards(root.into(), found.shards)? })
            }
            (None, _) => match Self::of_files(root, &found.pictures) {
                Some(index) => Ok(Self { skipped: found.skipped, ..index }),
                None => Err(no_picture(root, found.skipped)),
            },
        }
    }

    /// `None` if there is no picture.
    fn of_files(root: &Path, found: &Names) -> Option<Self> {
        let skipped = Skipped::default();
        (found.len() > 0).then(|| Self { root: root.into(), names: found.sorted(), shards: None, skipped })
    }

    fn of_pattern(pattern: &Path) -> Result<Self, IndexError> {
        let wide = || IndexError::WidePattern { pattern: pattern.into(), limit: pattern::LIMIT };
        // A path that is not valid text cannot contain a pattern.
        let text = pattern.to_str().ok_or_else(|| IndexError::Missing { path: pattern.into() })?;
        let paths: Vec<PathBuf> =
            pattern::expand(text).ok_or_else(wide)?.into_iter().map(PathBuf::from).collect();
        if let [path] = &*paths {
            return Err(IndexError::Missing { path: path.clone() });
        }
        if let Some(path) = paths.iter().find(|path| !path.exists()) {
            return Err(IndexError::MissingShard { path: path.clone(), pattern: pattern.into() });
        }
        // The folder that the pattern begins with, up to its first braces.
        let plain = Path::new(text.split('{').next().unwrap_or_default());
        let root = if plain.as_os_str().as_bytes().ends_with(b"/") { plain } else { parent(plain) };
        let names: Vec<PathBuf> =
            paths.iter().map(|path| path.strip_prefix(root).unwrap_or(path).to_owned()).collect();
        Self::of_shards(root.into(), names)
    }

    fn of_shards(root: PathBuf, shards: impl IntoIterator<Item = PathBuf>) -> Result<Self, IndexError> {
        let (names, shards) = Shards::scan(&root, shards)?;
        Ok(Self { root, names, shards: Some(shards), skipped: Skipped::default() })
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never true: an index without pictures is an error of [`ImageIndex::scan`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder that paths are relative to; for pictures in shards, the paths of the shards.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Number of tar shards that hold the pictures; 0 if the pictures are separate files.
    pub fn shards(&self) -> usize {
        self.shards.as_ref().map_or(0, Shards::len)
    }

    /// The folders that the shards lie in.
    pub fn shard_folders(&self) -> BTreeSet<&Path> {
        self.shards.iter().flat_map(Shards::paths).map(parent).collect()
    }

    /// The files among the pictures that are not read.
    pub fn skipped(&self) -> Skipped {
        let mut skipped = self.skipped.clone();
        skipped.add(self.shards.as_ref().map(|shards| shards.skipped.clone()).unwrap_or_default());
        skipped
    }

    /// Where the bytes of picture `index` are.
    pub fn place(&self, index: usize) -> Place<'_> {
        let name = self.names.get(index);
        match &self.shards {
            None => Place::File(self.root.join(OsStr::from_bytes(name))),
            Some(shards) => Place::Member(shards.member(index, name)),
        }
    }

    /// The path of picture `index` relative to the root; in shards, `SHARD/NAME` without the parts of the member's name
    /// that lead out of the folder. Members of one shard may share it.
    pub fn relative_path(&self, index: usize) -> Cow<'_, Path> {
        let name = self.names.get(index);
        match &self.shards {
            None => Path::new(OsStr::from_bytes(name)).into(),
            Some(shards) => shards.member(index, name).relative_path().into(),
        }
    }

    /// A hash of all relative paths (for shards, also of the names in them): the same files under another root have the
    /// same fingerprint.
    pub fn fingerprint(&self) -> u64 {
        let names = self.names.hash();
        self.shards.as_ref().map_or(names, |shards| shards.fingerprint(names))
    }
}

/// Whether a path names tar shards rather than a list file: a file with the ending `.tar` or that of a compressed
/// archive or, with braces such as `coco-{000000..000127}.tar`, many such files.
pub fn names_shards(path: &Path) -> bool {
    is_archive(path) || path.to_str().and_then(pattern::expand).is_some_and(|paths| paths.len() > 1)
}

fn is_archive(path: &Path) -> bool {
    members::is_shard(path) || members::compression_by_name(path).is_some()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn no_picture(root: &Path, skipped: Skipped) -> IndexError {
    IndexError::NoPicture { path: root.into(), skipped: Box::new(skipped) }
}

fn is_picture(path: &Path) -> bool {
    formats::read(path.extension().unwrap_or_default().as_bytes()).is_some()
}
