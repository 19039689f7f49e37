//! PyTorch's zip format: `NAME/data.pkl`, and each storage as `NAME/data/KEY`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::{FORMAT, Storage};
use crate::budget::Budget;
use crate::collect::{Collected, Storages, collect};
use crate::error::readable;
use crate::pickle::read_pickle;
use crate::{Limits, WeightsError};

/// Reads a file that `torch.save` writes since PyTorch 1.6.
pub(crate) fn read_zip(
    bytes: &[u8],
    limits: &Limits,
    budget: &mut Budget,
) -> Result<Collected, WeightsError> {
    // The start of the archive is known. Searching for it would misplace the directory of PyTorch's archives whose
    // first name has 30 bytes (`checkpoint_epoch_0100/data.pkl`), because more records than usual follow that
    // directory.
    let from_the_start = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipArchive::with_config(from_the_start, Cursor::new(bytes));
    let archive = archive.map_err(|error| damaged(&error))?;
    let folder = folder(&archive)?;
    let mut records = Records { archive, folder };
    if records.size_of("constants.pkl").is_some() {
        let reason = "it is a TorchScript program; save its state_dict() instead";
        return Err(WeightsError::unsupported(FORMAT, reason));
    }
    if records.size_of("byteorder").is_some() && records.read("byteorder", budget)? != b"little" {
        let reason = "its numbers are not little-endian; save it anew on an ordinary machine";
        return Err(WeightsError::unsupported(FORMAT, reason));
    }
    let pickle = records.read("data.pkl", budget)?;
    let pickle = read_pickle(&pickle, limits.max_instructions)?;
    let mut storages = ZipStorages { records, read: HashMap::new() };
    collect(&pickle, &mut storages, budget)
}

/// The path before `data.pkl`, including its slash.
fn folder(archive: &ZipArchive<Cursor<&[u8]>>) -> Result<String, WeightsError> {
    let names = archive.file_names().filter_map(Result::ok);
    let mut folders = names.filter_map(|name| Some(name.strip_suffix("data.pkl")?.to_owned()));
    folders.find(|folder| folder.ends_with('/')).ok_or_else(|| {
        WeightsError::unsupported("zip", "it has no data.pkl, so that it was not written by torch.save")
    })
}

/// The entries of the archive below its folder.
struct Records<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
}

impl Records<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    /// The size in bytes of an entry, from the directory of the archive.
    fn size_of(&mut self, name: &str) -> Option<usize> {
        let path = self.path(name);
        let entry = self.archive.by_name(&path).ok()?;
        usize::try_from(entry.size()).ok()
    }

    /// A whole entry; the archive's reader compares its checksum.
    fn read(&mut self, name: &str, budget: &mut Budget) -> Result<Vec<u8>, WeightsError> {
        let path = self.path(name);
        let mut entry = self.archive.by_name(&path).map_err(|error| damaged(&error))?;
        let size = entry.size();
        let damaged_entry =
            |reason: &str| WeightsError::damaged(FORMAT, format!("{}: {reason}", readable(name.as_bytes())));
        let lies = || damaged_entry("its size is not that of its data");
        budget.charge(usize::try_from(size).map_err(|_| lies())?)?;
        let mut data = Vec::new();
        let read = entry.by_ref().take(size.saturating_add(1)).read_to_end(&mut data);
        read.map_err(|error| damaged_entry(&error.to_string()))?;
        if data.len() as u64 == size { Ok(data) } else { Err(lies()) }
    }
}

fn damaged(error: &ZipError) -> WeightsError {
    WeightsError::damaged(FORMAT, error.to_string())
}

/// Storages of the archive; each is read once, even if many tensors share it.
struct ZipStorages<'a> {
    records: Records<'a>,
    read: HashMap<String, Vec<u8>>,
}

impl Storages for ZipStorages<'_> {
    fn bytes(&mut self, storage: &Storage, budget: &mut Budget) -> Result<&[u8], WeightsError> {
        let name = format!("data/{}", storage.key);
        let shown = readable(name.as_bytes());
        let data = match self.read.entry(storage.key.to_owned()) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(self.records.read(&name, budget)?),
        };
        if storage.size() != Some(data.len()) {
            let reason = format!(
                "{shown} holds {} bytes and should hold {} elements of {}",
                data.len(),
                storage.elements,
                storage.dtype
            );
            return Err(WeightsError::damaged(FORMAT, reason));
        }
        Ok(data)
    }
}
