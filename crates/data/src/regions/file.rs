//! Region files: one for a data set and a kind of regions, written once and read while a model trains.
//!
//! A region file is a zip archive whose entries are not compressed, so that every program opens it and a picture's
//! regions are read at their position by any number of threads. `regions.json` says what it is. Each picture has an entry
//! named after its key: a grey PNG of segment numbers or saliency, a JSON file of boxes, or, of a picture that could not
//! be read, a text that says why.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zip::read::{ArchiveOffset, Config, ZipArchiveMetadata};
use zip::{CompressionMethod, ZipArchive};

use super::entry::{FORMAT, MANIFEST, Manifest, entry_name, most_bytes, reason_name};
use super::error::RegionError;
use super::method::{RegionKind, RegionSettings, Regions};
use super::raster::Fault;
use crate::index::ImageIndex;
use crate::pack::keys;

/// Most bytes of a manifest.
const LARGEST_MANIFEST: u64 = 1 << 20;
/// What an entry begins with, and the bytes of that before its name.
const SIGNATURE: &[u8] = b"PK\x03\x04";
const HEADER: usize = 30;

/// An open region file of a data set.
#[derive(Debug)]
pub struct RegionFile {
    path: PathBuf,
    file: File,
    settings: RegionSettings,
    /// Of each picture of the index.
    entries: Vec<Entry>,
}

/// Where the regions of a picture are.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the entry's header begins.
    header: u64,
    /// Bytes of its content.
    length: u64,
    /// Their CRC-32.
    checksum: u32,
    /// Whether there are regions; else the content says why there are none.
    regions: bool,
}

impl RegionFile {
    /// Opens a file and finds the regions of every picture of the index in it.
    ///
    /// # Errors
    /// A [`RegionError`] if it cannot be read, is damaged, or lacks a picture.
    pub fn open(path: &Path, index: &ImageIndex) -> Result<Self, RegionError> {
        let unreadable = |source| RegionError::Unreadable { path: path.into(), source };
        let damaged = |reason: String| RegionError::Damaged { path: path.into(), reason };
        // Opening a pipe would block until another program writes to it.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "no regular file")));
        }
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut archive = ZipArchive::with_config(from_the_start(), BufReader::new(&file))
            .map_err(|error| damaged(error.to_string()))?;
        let manifest = read_manifest(&mut archive).map_err(damaged)?;
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| {
            format_of(&manifest, path).unwrap_or_else(|| damaged(format!("{MANIFEST}: {error}")))
        })?;
        if manifest.format != FORMAT || manifest.kind != manifest.settings.kind() {
            return Err(RegionError::OtherFormat {
                path: path.into(),
                found: manifest.format,
                known: FORMAT,
            });
        }
        let entries = entries(&archive, index, &manifest, path, length)?;
        drop(archive);
        Ok(Self { path: path.into(), file, settings: manifest.settings, entries })
    }

    /// What the file holds.
    pub fn kind(&self) -> RegionKind {
        self.settings.kind()
    }

    /// How the regions were found.
    pub fn settings(&self) -> &RegionSettings {
        &self.settings
    }

    /// A checksum of the regions of all pictures, in the order of the index.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.entries.iter().for_each(|entry| hasher.update(&entry.checksum.to_le_bytes()));
        hasher.finalize()
    }

    /// Pictures that could not be read when the file was written.
    pub fn unreadable(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.regions).count()
    }

    /// The regions of picture `sample` of the index (below its length), which has this width and height. Threads do not
    /// wait for each other.
    ///
    /// # Errors
    /// A [`RegionError`] if the file is damaged there, or holds a picture of another size.
    pub fn read(&self, sample: usize, size: [u32; 2]) -> Result<Regions, RegionError> {
        let entry = self.entries[sample];
        let (name, content) = self.content(&entry, most_bytes(size))?;
        let path = || self.path.clone();
        if !entry.regions {
            let reason = String::from_utf8_lossy(&content).into_owned();
            return Err(RegionError::WasUnreadable { path: path(), name, reason });
        }
        Regions::from_bytes(&content, self.kind(), size).map_err(|fault| match fault {
            Fault::OtherSize(found) => RegionError::OtherSize { path: path(), name, found, picture: size },
            Fault::Damaged(reason) => RegionError::DamagedEntry { path: path(), name, reason },
        })
    }

    /// The name of an entry and its bytes, `most` at most.
    fn content(&self, entry: &Entry, most: u64) -> Result<(String, Vec<u8>), RegionError> {
        let unreadable = |source| RegionError::Unreadable { path: self.path.clone(), source };
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, entry.header).map_err(unreadable)?;
        let length = |low: usize| usize::from(u16::from_le_bytes([header[low], header[low + 1]]));
        let (name_length, extra_length) = (length(26), length(28));
        let mut name = vec![0; name_length];
        let after_header = entry.header + HEADER as u64;
        self.file.read_exact_at(&mut name, after_header).map_err(unreadable)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let damaged = |reason: String| {
            let (path, name) = (self.path.clone(), name.clone());
            RegionError::DamagedEntry { path, name, reason }
        };
        if !header.starts_with(SIGNATURE) {
            return Err(damaged("no entry begins where the directory says".into()));
        }
        if entry.length > most {
            return Err(damaged(format!("{} bytes, more than a picture of its size takes", entry.length)));
        }
        let mut content = vec![0; entry.length as usize];
        let start = after_header + (name_length + extra_length) as u64;
        self.file.read_exact_at(&mut content, start).map_err(unreadable)?;
        if crc32fast::hash(&content) != entry.checksum {
            return Err(damaged("its checksum is not that of its bytes".into()));
        }
        Ok((name, content))
    }
}

/// The start of the archive is known; searching for it could take bytes of a picture for it.
pub(super) fn from_the_start() -> Config {
    Config { archive_offset: ArchiveOffset::Known(0) }
}

/// The bytes of the manifest.
pub(super) fn read_manifest<R: io::Read + io::Seek>(archive: &mut ZipArchive<R>) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(MANIFEST).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let mut bytes = Vec::new();
    let read = entry.take(LARGEST_MANIFEST).read_to_end(&mut bytes);
    read.map_err(|error| format!("{MANIFEST}: {error}"))?;
    Ok(bytes)
}

/// The error that a manifest is of another format, if it says so. Its other keys may be unknown.
fn format_of(manifest: &[u8], path: &Path) -> Option<RegionError> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let found = u32::try_from(manifest.get("format")?.as_u64()?).ok()?;
    (found != FORMAT).then(|| RegionError::OtherFormat { path: path.into(), found, known: FORMAT })
}

/// The entries of all pictures of the index.
fn entries<R>(
    archive: &ZipArchive<R>,
    index: &ImageIndex,
    manifest: &Manifest,
    path: &Path,
    length: u64,
) -> Result<Vec<Entry>, RegionError>
where
    R: io::Read + io::Seek,
{
    let directory = archive.metadata();
    let (mut entries, mut missing) = (Vec::with_capacity(index.len()), Vec::new());
    for (sample, key) in keys(index).iter().enumerate() {
        let named = |name: &str| archive.index_for_name(name);
        let regions = named(&entry_name(key, manifest.kind));
        match regions.or_else(|| named(&reason_name(key))) {
            Some(number) => {
                let entry = entry(&directory, number, regions.is_some(), length);
                entries.push(entry.map_err(|reason| RegionError::Damaged { path: path.into(), reason })?);
            }
            None => missing.push(sample),
        }
    }
    let Some(&first) = missing.first() else { return Ok(entries) };
    let (first, missing) = (index.place(first).to_string(), missing.len());
    Err(RegionError::Missing { path: path.into(), first, missing, pictures: index.len() })
}

fn entry(
    directory: &ZipArchiveMetadata,
    number: usize,
    regions: bool,
    file_length: u64,
) -> Result<Entry, String> {
    let entry = directory.entry(number).map_err(|error| error.to_string())?;
    let (header, length, checksum) = (entry.header_start(), entry.size(), entry.crc32());
    let end = header.checked_add(HEADER as u64).and_then(|start| start.checked_add(length));
    let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Err(format!("{name} is compressed or encrypted"));
    }
    if length != entry.compressed_size() || end.is_none_or(|end| end > file_length) {
        return Err(format!("{name} does not lie in the file"));
    }
    Ok(Entry { header, length, checksum, regions })
}
