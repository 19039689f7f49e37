//! Writing pictures into tar shards that this program and every reader of WebDataset reads.
//!
//! The same pictures in the same order give the same bytes: no times, owners or machine's names are written. All shards
//! appear at once, under their names, when all are complete and on disk.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::path::Component::Normal;
use std::path::{Path, PathBuf};

use densesiam_text::shown;

use crate::index::{EXTENSIONS, ImageIndex, Place, formats, is_metadata};

/// What a tar archive is made of: headers are as long, contents filled up to a multiple.
const BLOCK: u64 = 512;
/// Bytes at the end of every archive.
const END: u64 = 2 * BLOCK;
/// From this length on, names are written before their header.
const LONG_NAME: usize = 100;

/// When the next shard is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardLimit {
    /// Where a picture would make the file larger than so many bytes; a picture larger than that has its own shard.
    Bytes(u64),
    /// After so many pictures, at least 1.
    Pictures(u64),
}

/// Where shards are written and when the next is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackSettings {
    /// The folder, made where it is missing.
    pub folder: PathBuf,
    /// What the shards are called: `NAME-000000.tar` and on.
    pub name: String,
    /// When the next shard is begun.
    pub limit: ShardLimit,
    /// Whether shards of that name are replaced, all of them.
    pub overwrite: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The shards in their order.
    pub shards: Vec<PathBuf>,
    /// Pictures in them.
    pub pictures: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Why shards could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The name cannot be one of shards.
    #[error("{name:?} cannot be the name of shards; use letters, digits, - and _")]
    Name {
        /// The name.
        name: String,
    },
    /// Shards of that name are there.
    #[error(
        "{} exists; replace all shards of that name with --overwrite, or say another --name or --out",
        shown(path)
    )]
    Exists {
        /// The first of them.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}: {source}; check that there is room and that you may write there", shown(path))]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There was no picture.
    #[error("no picture was written, so that there is no shard")]
    Nothing,
}

/// The key of each picture: its relative path (in shards, its name) without its extension, in which `_` stands for every
/// dot, since readers end a key at the first dot of its base name. Keys are unique: `a.png` beside `a.jpg` becomes
/// `a_2`, for two pictures of one key would be one sample.
pub fn keys(index: &ImageIndex) -> Vec<String> {
    // Hashes in place of the keys, each with the last number that it was given. Where two keys share one, the second gets
    // a number it did not need.
    let mut taken = HashMap::new();
    let mut key = |number: usize| {
        let plain = match index.place(number) {
            Place::File(_) => key_of(&index.relative_path(number)),
            Place::Member(member) => key_of(Path::new(OsStr::from_bytes(member.name()))),
        };
        let (hash, mut key) = (densesiam_random::hash(plain.as_bytes()), plain.clone());
        while taken.contains_key(&densesiam_random::hash(key.as_bytes())) {
            let copies = taken.entry(hash).or_insert(1);
            *copies += 1;
            key = format!("{plain}_{copies}");
        }
        taken.insert(densesiam_random::hash(key.as_bytes()), 1);
        key
    };
    (0..index.len()).map(&mut key).collect()
}

fn key_of(relative: &Path) -> String {
    let stem =
        if known_extension(relative).is_some() { relative.with_extension("") } else { relative.into() };
    let parts = stem.components().filter_map(|part| match part {
        Normal(part) => Some(part.to_string_lossy().replace(['.', '\0', '\n'], "_")),
        _ => None,
    });
    let key = parts.collect::<Vec<_>>().join("/");
    // Readers pass over folders called `__NAME__`, and names need a letter.
    if key.is_empty() || is_metadata(key.as_bytes()) { format!("x{key}") } else { key }
}

/// The extension that a picture is written under: its own, in lower case, or where only some programs know that (`.jfif`),
/// the common one of its format; where it is none of a picture, the one of the format that its bytes begin like. `None`
/// where neither says that it is a picture.
pub fn extension(relative: &Path, bytes: &[u8]) -> Option<&'static str> {
    let by_content = || {
        let known = image::guess_format(bytes).ok()?.extensions_str();
        EXTENSIONS.into_iter().find(|extension| known.contains(extension))
    };
    known_extension(relative).map(formats::common).or_else(by_content)
}

fn known_extension(path: &Path) -> Option<&'static str> {
    formats::read(path.extension()?.as_bytes())
}

/// Shards in the making. Dropped before [`ShardWriter::finish`], it leaves nothing behind.
pub struct ShardWriter {
    settings: PackSettings,
    current: Option<Shard>,
    /// Complete shards under the names that they have until all are complete.
    partial: Vec<PathBuf>,
    pictures: u64,
    bytes: u64,
}

struct Shard {
    archive: tar::Builder<BufWriter<File>>,
    path: PathBuf,
    pictures: u64,
    bytes: u64,
}

impl ShardWriter {
    /// Prepares the folder.
    ///
    /// # Errors
    /// A [`PackError`] where shards of the name are there that may not be replaced, or the folder cannot be written.
    pub fn new(settings: PackSettings) -> Result<Self, PackError> {
        let allowed = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
        if settings.name.is_empty() || !settings.name.chars().all(allowed) {
            return Err(PackError::Name { name: settings.name });
        }
        let folder = &settings.folder;
        fs::create_dir_all(folder).map_err(|source| PackError::Write { path: folder.clone(), source })?;
        let (shards, partial) = shards_there(&settings)?;
        if let (Some(path), false) = (shards.into_iter().next(), settings.overwrite) {
            return Err(PackError::Exists { path });
        }
        // What an interrupted pack has left.
        for path in partial {
            fs::remove_file(&path).map_err(|source| PackError::Write { path, source })?;
        }
        Ok(Self { settings, current: None, partial: vec![], pictures: 0, bytes: 0 })
    }

    /// Adds a picture as `KEY.EXTENSION`, its bytes as they are.
    ///
    /// # Errors
    /// A [`PackError`] where the file system refuses.
    pub fn append(&mut self, key: &str, extension: &str, bytes: &[u8]) -> Result<(), PackError> {
        let name = format!("{key}.{extension}");
        let added = member_bytes(&name, bytes);
        let full = |shard: &Shard| match self.settings.limit {
            ShardLimit::Bytes(most) => shard.bytes + added + END > most,
            ShardLimit::Pictures(most) => shard.pictures >= most,
        };
        if self.current.as_ref().is_some_and(full) {
            self.close()?;
        }
        let mut shard = match self.current.take() {
            Some(shard) => shard,
            None => self.open()?,
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let written = shard.archive.append_data(&mut header, &name, bytes);
        written.map_err(|source| PackError::Write { path: shard.path.clone(), source })?;
        shard.pictures += 1;
        shard.bytes += added;
        self.current = Some(shard);
        Ok(())
    }

    /// Completes the last shard and gives all their names, in place of earlier shards of the name.
    ///
    /// # Errors
    /// A [`PackError`] where the file system refuses or nothing was added.
    pub fn finish(mut self) -> Result<Packed, PackError> {
        self.close()?;
        if self.partial.is_empty() {
            return Err(PackError::Nothing);
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PackError::Write { path, source }
        };
        for path in shards_there(&self.settings)?.0 {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        let mut shards = Vec::new();
        for partial in &self.partial {
            let path = partial.with_extension("");
            fs::rename(partial, &path).map_err(failed(&path))?;
            shards.push(path);
        }
        let folder = &self.settings.folder;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
        Ok(Packed { shards, pictures: self.pictures, bytes: self.bytes })
    }

    fn open(&self) -> Result<Shard, PackError> {
        let name = format!("{}-{:06}.tar.partial", self.settings.name, self.partial.len());
        let path = self.settings.folder.join(name);
        let file = File::create(&path).map_err(|source| PackError::Write { path: path.clone(), source })?;
        let archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
        Ok(Shard { archive, path, pictures: 0, bytes: 0 })
    }

    fn close(&mut self) -> Result<(), PackError> {
        let Some(Shard { archive, path, pictures, bytes }) = self.current.take() else { return Ok(()) };
        // Noted before it is complete, so that it is taken away where that fails.
        self.partial.push(path.clone());
        let written = archive.into_inner().and_then(|buffer| buffer.into_inner().map_err(Into::into));
        written.and_then(|file| file.sync_all()).map_err(|source| PackError::Write { path, source })?;
        self.pictures += pictures;
        self.bytes += bytes + END;
        Ok(())
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        let current = self.current.take().map(|shard| shard.path);
        for path in self.partial.drain(..).chain(current) {
            // A leftover is untidy and replaced by the next pack; there is nobody to tell.
            let _ = fs::remove_file(path);
        }
    }
}

/// What a picture takes in an archive.
fn member_bytes(name: &str, bytes: &[u8]) -> u64 {
    let padded = |length: usize| (length as u64).next_multiple_of(BLOCK);
    let long_name = if name.len() > LONG_NAME { BLOCK + padded(name.len() + 1) } else { 0 };
    long_name + BLOCK + padded(bytes.len())
}

/// Shards of the name that are in the folder, in their order, and incomplete ones.
fn shards_there(settings: &PackSettings) -> Result<(Vec<PathBuf>, Vec<PathBuf>), PackError> {
    let failed = |source| PackError::Write { path: settings.folder.clone(), source };
    let (mut shards, mut partial) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&settings.folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rest = name.strip_prefix(&settings.name).and_then(|rest| rest.strip_prefix('-'));
        let end = rest.map(|rest| rest.trim_start_matches(|letter: char| letter.is_ascii_digit()));
        match end {
            Some(".tar") => shards.push(path),
            Some(".tar.partial") => partial.push(path),
            _ => {}
        }
    }
    shards.sort_unstable();
    Ok((shards, partial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::is_picture_member;

    #[test]
    fn keys_are_paths_without_dots_that_readers_take_for_pictures() {
        let keys =
            ["a.jpg", "b.c/d.e.JPEG", "/x/../y.png", "__m__/a.jpg", "photo", "ü ß.png", "a.v2"].map(|path| {
                let key = key_of(Path::new(path));
                assert!(is_picture_member(format!("{key}.jpg").as_bytes()), "{key}");
                key
            });
        assert_eq!(keys, ["a", "b_c/d_e", "x/y", "x__m__/a", "photo", "ü ß", "a_v2"]);
    }

    #[test]
    fn the_extension_is_the_names_or_the_contents() {
        let png = b"\x89PNG\r\n\x1a\n";
        assert_eq!(extension(Path::new("a.JPEG"), png), Some("jpeg"));
        assert_eq!(extension(Path::new("a.JFIF"), b"\xff\xd8\xff\xe0"), Some("jpg"));
        assert_eq!(extension(Path::new("a"), png), Some("png"));
        assert_eq!(extension(Path::new("a.dat"), b"\xff\xd8\xff\xe0"), Some("jpg"));
        assert_eq!(extension(Path::new("a.txt"), b"text"), None);
    }
}
