//! Writing a region file: pictures are read and searched by worker threads, and written in their order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::entry::{FORMAT, MANIFEST, Manifest, entry_name, reason_name};
use super::error::RegionError;
use super::file::{from_the_start, read_manifest};
use super::method::{RegionFault, RegionSettings};
use crate::decode::{DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::index::ImageIndex;
use crate::loader::each::{Each, Work};
use crate::loader::prefetch::Prefetch;
use crate::loader::{LoadError, SampleError};
use crate::pack::keys;

/// Bytes of entries that may wait for those before them.
const WAITING_BYTES: usize = 64 << 20;

/// How a region file is written.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionWriteSettings {
    /// The file.
    pub path: PathBuf,
    /// What is searched for, and how.
    pub regions: RegionSettings,
    /// Whether a file of that name is replaced.
    pub overwrite: bool,
    /// Worker threads, at least 1. Each takes up to about 100 bytes for a pixel of the picture that it searches.
    pub workers: usize,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// The longest time to wait for a picture.
    pub patience: Duration,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRegions {
    /// Pictures of the data set.
    pub pictures: usize,
    /// Of these, how many an earlier call had written that was stopped.
    pub resumed: usize,
    /// The pictures without regions: the number of each in the index, and why.
    pub unreadable: Vec<(usize, String)>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes the regions of all pictures of the index. The file appears when it is complete; until then it is called
/// `PATH.partial`, and where an earlier call with the same settings was interrupted, that is continued. `progress` is told
/// the pictures that are done and their total, and when `interrupted` says so, the writing ends.
///
/// # Errors
/// A [`RegionError`] if a setting is outside its range, the file is there, the file system refuses, or the writing is
/// interrupted. A picture that cannot be read is none: it is counted, and its entry says why.
pub fn write_regions(
    index: &Arc<ImageIndex>,
    settings: &RegionWriteSettings,
    progress: &mut dyn FnMut(usize, usize),
    interrupted: &dyn Fn() -> bool,
) -> Result<WrittenRegions, RegionError> {
    settings.regions.validate()?;
    if settings.path.exists() && !settings.overwrite {
        return Err(RegionError::Exists { path: settings.path.clone() });
    }
    let mut writer = Writer::open(index, settings)?;
    let total = index.len();
    let making = Each(Making { index: Arc::clone(index), settings: settings.clone() });
    let (first, ahead) = (writer.done as u64, 2 * settings.workers.max(1));
    let mut prefetch =
        Prefetch::start(making, first..total as u64, settings.workers, ahead).map_err(LoadError::from)?;
    progress(writer.done, total);
    while writer.done < total {
        while !prefetch.ready().map_err(LoadError::from)? && !interrupted() {}
        if interrupted() {
            let (path, done) = (writer.partial.clone(), writer.done);
            writer.close()?;
            return Err(RegionError::Interrupted { path, done, total });
        }
        let Some(draft) = prefetch.next().map_err(LoadError::from)? else { break };
        writer.add(draft.made)?;
        progress(writer.done, total);
    }
    writer.finish(&settings.path)
}

/// A region file in the making.
struct Writer {
    archive: ZipWriter<File>,
    partial: PathBuf,
    settings: RegionSettings,
    keys: Vec<String>,
    done: usize,
    resumed: usize,
    unreadable: Vec<(usize, String)>,
}

impl Writer {
    fn open(index: &ImageIndex, settings: &RegionWriteSettings) -> Result<Self, RegionError> {
        let mut partial = settings.path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |source: io::Error| RegionError::Write { path: partial.clone(), source };
        let regions = settings.regions.clone();
        let manifest =
            Manifest { format: FORMAT, kind: regions.kind(), settings: regions, pictures: index.len() };
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
        let (settings, keys) = (manifest.settings.clone(), keys(index));
        if let Some(Earlier { archive, done, unreadable }) = Earlier::open(&partial, &bytes, &manifest, &keys)
        {
            return Ok(Self { archive, partial, settings, keys, done, resumed: done, unreadable });
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&partial);
        let mut archive = ZipWriter::new(options.map_err(failed)?);
        add(&mut archive, MANIFEST.into(), &bytes).map_err(failed)?;
        Ok(Self { archive, partial, settings, keys, done: 0, resumed: 0, unreadable: Vec::new() })
    }

    /// Adds the next picture.
    fn add(&mut self, entry: Result<Vec<u8>, String>) -> Result<(), RegionError> {
        let key = &self.keys[self.done];
        let (name, bytes) = match entry {
            Ok(bytes) => (entry_name(key, self.settings.kind()), bytes),
            Err(reason) => {
                self.unreadable.push((self.done, reason.clone()));
                (reason_name(key), reason.into_bytes())
            }
        };
        let written = add(&mut self.archive, name, &bytes);
        written.map_err(|source| RegionError::Write { path: self.partial.clone(), source })?;
        self.done += 1;
        Ok(())
    }

    /// Ends the archive, so that it can be opened and continued. Returns its bytes.
    fn close(self) -> Result<u64, RegionError> {
        let failed = |source: io::Error| RegionError::Write { path: self.partial.clone(), source };
        let file = self.archive.finish().map_err(|error| failed(error.into()))?;
        file.sync_all().map_err(failed)?;
        Ok(file.metadata().map_err(failed)?.len())
    }

    /// Gives the complete file its name.
    fn finish(mut self, path: &Path) -> Result<WrittenRegions, RegionError> {
        let failed = |source| RegionError::Write { path: path.into(), source };
        let (pictures, resumed) = (self.done, self.resumed);
        let (unreadable, partial) = (std::mem::take(&mut self.unreadable), self.partial.clone());
        let bytes = self.close()?;
        fs::rename(partial, path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(WrittenRegions { pictures, resumed, unreadable, bytes })
    }
}

fn add(archive: &mut ZipWriter<File>, name: String, bytes: &[u8]) -> io::Result<()> {
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    archive.start_file(name, stored)?;
    archive.write_all(bytes)
}

/// What an earlier call wrote that was stopped.
struct Earlier {
    archive: ZipWriter<File>,
    /// Pictures in it, and those of them without regions.
    done: usize,
    unreadable: Vec<(usize, String)>,
}

impl Earlier {
    /// `None` if there is nothing, or it is damaged, or of another manifest or other pictures.
    fn open(partial: &Path, bytes: &[u8], manifest: &Manifest, keys: &[String]) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(partial).ok()?;
        let mut archive = ZipArchive::with_config(from_the_start(), BufReader::new(&file)).ok()?;
        let done = archive.len().checked_sub(1).filter(|&done| done <= keys.len())?;
        if read_manifest(&mut archive).ok()? != bytes {
            return None;
        }
        let mut unreadable = Vec::new();
        for (sample, key) in keys.iter().enumerate().take(done) {
            let mut entry = archive.by_index(sample + 1).ok()?;
            if entry.name().ok()? == reason_name(key) {
                let mut reason = String::new();
                entry.read_to_string(&mut reason).ok()?;
                unreadable.push((sample, reason));
            } else if entry.name().ok()? != entry_name(key, manifest.kind) {
                return None;
            }
        }
        drop(archive);
        let archive = ZipWriter::new_append_with_config(from_the_start(), file).ok()?;
        Some(Self { archive, done, unreadable })
    }
}

/// The work of the worker threads.
struct Making {
    index: Arc<ImageIndex>,
    settings: RegionWriteSettings,
}

/// Memory of a worker.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    image: RgbImage,
}

impl Work for Making {
    /// The bytes of its entry, or why there is none.
    type Made = Result<Vec<u8>, String>;
    type Scratch = Scratch;

    fn index(&self) -> &Arc<ImageIndex> {
        &self.index
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }

    fn not_made() -> Self::Made {
        Err("it was not read".into())
    }

    fn make(&self, sample: usize, Scratch { bytes, image }: &mut Scratch) -> Self::Made {
        let limits = &self.settings.limits;
        let read = self.index.place(sample).read_into(bytes).map_err(SampleError::from);
        let decoded = read.and_then(|()| Ok(decode_into(bytes, limits, image)?));
        let found = decoded
            .map_err(RegionFault::from)
            .and_then(|()| self.settings.regions.regions(image, &self.index.relative_path(sample), limits));
        found.map_err(|fault| fault.to_string())?.to_bytes([image.width, image.height])
    }

    fn held(made: &Self::Made) -> usize {
        made.as_ref().map_or(0, Vec::len)
    }

    fn room(&self) -> usize {
        WAITING_BYTES
    }
}
