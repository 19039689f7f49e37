//! Finds names in a data set regardless of their case, because a data set may be packed on a file system that ignores
//! case and unpacked on one that does not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::index::EXTENSIONS;

/// The most names that a message lists.
const LISTED: usize = 3;

/// How names are spelled in folders. Each folder is listed once, when a name is first missed in it.
#[derive(Debug, Default)]
pub(crate) struct Spelling {
    folders: RefCell<HashMap<PathBuf, Names>>,
}

/// The names of a folder, indexed by their lower-case form.
type Names = HashMap<OsString, Vec<OsString>>;

impl Spelling {
    /// A path below `root`, with each part as it is spelled there: unchanged if the name exists, else the name that
    /// differs only by case, else unchanged.
    pub(crate) fn path(&self, root: &Path, below: impl AsRef<Path>) -> PathBuf {
        below.as_ref().iter().fold(root.to_owned(), |folder, part| {
            let asked = folder.join(part);
            if asked.exists() {
                return asked;
            }
            match &*self.alike(&folder, part) {
                [only] => folder.join(only),
                _ => asked,
            }
        })
    }

    /// A file below `root`, whose folders may be spelled in another case, and its extension too; its stem may not,
    /// because it distinguishes pictures. `None` if there is no such file.
    pub(crate) fn file(&self, root: &Path, below: &Path) -> Option<PathBuf> {
        let asked = root.join(below);
        if asked.is_file() {
            return Some(asked);
        }
        let folder = self.path(root, below.parent().unwrap_or(Path::new("")));
        let mut alike = self.alike(&folder, below.file_name()?);
        alike.retain(|name| Path::new(name).file_stem() == below.file_stem());
        alike.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
    }

    /// The picture of this stem in a folder, under any extension of pictures, in any case: its name. `.jpg` if there is
    /// no such picture.
    pub(crate) fn picture(&self, folder: &Path, stem: &str) -> OsString {
        let named = |extension: &str| OsString::from(format!("{stem}.{extension}"));
        let of_stem = |name: &OsString| Path::new(name).file_stem() == Some(OsStr::new(stem));
        let found = EXTENSIONS.iter().find_map(|extension| {
            let alike = self.alike(folder, &named(extension));
            let exact = alike.iter().position(|name| *name == named(extension));
            exact.or_else(|| alike.iter().position(of_stem)).map(|place| alike[place].clone())
        });
        found.unwrap_or_else(|| named("jpg"))
    }

    /// Some names in the folder of a missing file that begin as its stem does, in any case.
    pub(crate) fn near(&self, missing: &Path) -> Vec<PathBuf> {
        let folder = missing.parent().unwrap_or(Path::new(""));
        let stem = missing.file_stem().unwrap_or_default().to_ascii_lowercase();
        self.listed(folder, |names| {
            let begins = |name: &OsStr| name.as_encoded_bytes().starts_with(stem.as_encoded_bytes());
            let alike = names.iter().filter(|(lower, _)| begins(lower)).flat_map(|(_, names)| names);
            let mut near: Vec<_> = alike.map(|name| folder.join(name)).collect();
            near.sort_unstable();
            near.truncate(LISTED);
            near
        })
    }

    /// The names in a folder that differ from `name` only by case.
    fn alike(&self, folder: &Path, name: &OsStr) -> Vec<OsString> {
        self.listed(folder, |names| names.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default())
    }

    /// A folder that cannot be listed counts as empty; the code that opens it reports the error.
    fn listed<T>(&self, folder: &Path, look: impl FnOnce(&Names) -> T) -> T {
        let mut folders = self.folders.borrow_mut();
        look(folders.entry(folder.to_owned()).or_insert_with(|| {
            let mut names = Names::new();
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                names.entry(name.to_ascii_lowercase()).or_default().push(name);
            }
            names
        }))
    }
}
