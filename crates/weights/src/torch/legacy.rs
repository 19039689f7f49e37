//! PyTorch's format before 1.6: five pickles (magic number, version, machine, the object, the keys of its storages),
//! then each storage as its number of elements in eight bytes, and the elements.

use std::collections::HashMap;

use super::{FORMAT, Storage, storage_described};
use crate::budget::Budget;
use crate::collect::{Collected, Storages, collect};
use crate::error::readable;
use crate::pickle::object::{Object, Objects};
use crate::pickle::{Pickle, read_pickle};
use crate::{Limits, WeightsError};

/// `0x1950a86a20f9469cfc6c`, the value of the first pickle.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// Whether the first pickle of a file says that the file has this format.
pub(crate) fn is_legacy_magic(first: &Pickle) -> bool {
    matches!(*first.objects.get(first.root), Object::Long(number) if number == MAGIC)
}

/// Reads the part of the file after the pickle with the magic number.
pub(crate) fn read_legacy(
    after_magic: &[u8],
    limits: &Limits,
    budget: &mut Budget,
) -> Result<Collected, WeightsError> {
    let mut rest = after_magic;
    let mut next = || -> Result<Pickle<'_>, WeightsError> {
        let pickle = read_pickle(rest, limits.max_instructions)?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let version = next()?;
    if version.objects.int(version.root) != Some(VERSION) {
        return Err(WeightsError::unsupported(FORMAT, "its version is not 1001"));
    }
    check_byte_order(&next()?)?;
    let (object, keys) = (next()?, next()?);
    let mut storages = LegacyStorages { data: storage_data(&object.objects, &keys, rest)? };
    collect(&object, &mut storages, budget)
}

fn check_byte_order(machine: &Pickle) -> Result<(), WeightsError> {
    let objects = &machine.objects;
    let entries = objects.entries(machine.root).unwrap_or_default();
    let order = entries.iter().find(|(key, _)| objects.text(*key) == Some("little_endian"));
    match order.map(|(_, order)| objects.get(*order)) {
        Some(Object::Bool(true)) => Ok(()),
        Some(Object::Bool(false)) => {
            let reason = "its numbers are not little-endian; save it anew on an ordinary machine";
            Err(WeightsError::unsupported(FORMAT, reason))
        }
        _ => Err(damaged("it does not say the order of its bytes")),
    }
}

/// The bytes of each storage. Only the object knows how large their elements are.
fn storage_data<'a>(
    objects: &Objects<'a>,
    keys: &Pickle<'a>,
    mut rest: &'a [u8],
) -> Result<HashMap<&'a str, &'a [u8]>, WeightsError> {
    let described = described_storages(objects)?;
    let mut data = HashMap::new();
    for &key in keys.objects.sequence(keys.root).unwrap_or_default() {
        let key = keys.objects.text(key).ok_or_else(|| damaged("the key of a storage is no text"))?;
        let unknown = || damaged(&format!("nothing is known of the storage {}", readable(key.as_bytes())));
        let storage = described.get(key).ok_or_else(unknown)?;
        let (count, elements) = rest.split_first_chunk().ok_or(WeightsError::Truncated { format: FORMAT })?;
        if usize::try_from(u64::from_le_bytes(*count)) != Ok(storage.elements) {
            return Err(damaged("the size of a storage is not what its tensors say"));
        }
        let split = storage.size().and_then(|size| elements.split_at_checked(size));
        let (bytes, following) = split.ok_or(WeightsError::Truncated { format: FORMAT })?;
        data.insert(key, bytes);
        rest = following;
    }
    Ok(data)
}

fn described_storages<'a>(objects: &Objects<'a>) -> Result<HashMap<&'a str, Storage<'a>>, WeightsError> {
    let mut storages: HashMap<&str, Storage> = HashMap::new();
    for object in objects.all() {
        let &Object::Persistent(description) = object else { continue };
        let storage = storage_described(objects, description).map_err(|reason| damaged(&reason))?;
        if storages.insert(storage.key, storage).is_some_and(|before| before != storage) {
            return Err(damaged("a storage is described in two ways"));
        }
    }
    Ok(storages)
}

fn damaged(reason: &str) -> WeightsError {
    WeightsError::damaged(FORMAT, reason)
}

struct LegacyStorages<'a> {
    data: HashMap<&'a str, &'a [u8]>,
}

impl Storages for LegacyStorages<'_> {
    fn bytes(&mut self, storage: &Storage, _: &mut Budget) -> Result<&[u8], WeightsError> {
        let missing = || damaged(&format!("the storage {} is missing", readable(storage.key.as_bytes())));
        self.data.get(storage.key).copied().ok_or_else(missing)
    }
}
