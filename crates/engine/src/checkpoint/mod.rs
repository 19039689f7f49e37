//! Checkpoints that survive a kill at any moment: each is a folder for one step, which is written under a temporary
//! name, synced, then renamed, and is read back only if sizes and checksums agree.
//!
//! `<folder>/000012000/{model.safetensors, optimizer.safetensors, manifest.json}`. Names that start with a dot are
//! temporary: `.writing-*` and `.deleting-*` are leftovers of a killed process, `.replaced-*` is a checkpoint that was
//! about to be replaced by another of the same step.

mod error;
mod manifest;
mod tensors;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tch::Tensor;

pub use self::error::{CheckpointError, TensorFileError};
pub use self::manifest::{FileRecord, Manifest};
pub use self::tensors::{read_safetensors, tensors_to_safetensors};

use self::manifest::{FORMAT, MANIFEST};

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const WRITING: &str = ".writing-";
const DELETING: &str = ".deleting-";
const REPLACED: &str = ".replaced-";

/// A checkpoint that was read; all tensors are on the processor.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Its description.
    pub manifest: Manifest,
    /// The model's tensors, sorted by name.
    pub model: Vec<(String, Tensor)>,
    /// The optimizer's tensors, sorted by name.
    pub optimizer: Vec<(String, Tensor)>,
}

/// The outcome of a search for the newest checkpoint.
#[derive(Debug)]
pub struct Latest {
    /// The newest complete checkpoint, if any.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that are damaged, newest first, and what is wrong with each.
    pub rejected: Vec<(PathBuf, CheckpointError)>,
}

/// The checkpoints of one run. One process at a time may write to it (see [`crate::run_dir::RunDirectory`]).
#[derive(Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
}

impl CheckpointFolder {
    /// Opens the folder for writing, creates it if it does not exist, and cleans up after a killed process.
    ///
    /// # Errors
    /// [`CheckpointError::Write`] when the system refuses.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(path).map_err(|source| CheckpointError::write(path, source))?;
        tidy(path).map_err(|source| CheckpointError::write(path, source))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes the checkpoint of `step`, and replaces an existing one of that step. `run` is stored in the manifest
    /// unchanged. Returns the checkpoint's folder.
    ///
    /// # Errors
    /// [`CheckpointError`] when the system refuses or a tensor cannot be stored; then nothing has changed.
    pub fn save(
        &self,
        step: u64,
        model: &[(String, Tensor)],
        optimizer: &[(String, Tensor)],
        run: Value,
    ) -> Result<PathBuf, CheckpointError> {
        let name = folder_name(step);
        let (temporary, target) = (self.path.join(format!("{WRITING}{name}")), self.path.join(&name));
        let written = write_checkpoint(&temporary, step, model, optimizer, run).and_then(|()| {
            self.put(&temporary, &target).map_err(|source| CheckpointError::write(&target, source))
        });
        if written.is_err() {
            // The caller needs the first failure; a leftover is removed at the next start.
            let _ = fs::remove_dir_all(&temporary);
        }
        written.map(|()| target)
    }

    /// Reads the newest complete checkpoint, and skips damaged ones.
    ///
    /// # Errors
    /// As of the function [`latest`]. Damaged checkpoints are not an error: see [`Latest::rejected`].
    pub fn latest(&self) -> Result<Latest, CheckpointError> {
        latest(&self.path)
    }

    /// Deletes all but the newest `keep_last` checkpoints (at least one) and those of the steps in `keep`; returns the
    /// steps deleted. Damaged checkpoints do not count, and are kept for a person to examine.
    ///
    /// # Errors
    /// [`CheckpointError`] when the system refuses.
    pub fn rotate(&self, keep_last: usize, keep: &BTreeSet<u64>) -> Result<Vec<u64>, CheckpointError> {
        let mut whole: Vec<u64> = steps(&self.path)?;
        whole.retain(|&step| seems_whole(&self.path.join(folder_name(step))));
        whole.truncate(whole.len().saturating_sub(keep_last.max(1)));
        whole.retain(|step| !keep.contains(step));
        for &step in &whole {
            let path = self.path.join(folder_name(step));
            self.delete(&path).map_err(|source| CheckpointError::write(&path, source))?;
        }
        Ok(whole)
    }

    /// Renames the finished folder into place. An existing folder is moved aside first, so that a kill between the two
    /// renames loses neither.
    fn put(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        let aside = sibling(target, REPLACED);
        if target.exists() {
            fs::rename(target, &aside)?;
        }
        let put = fs::rename(temporary, target).and_then(|()| sync_folder(&self.path));
        // A folder that cannot be put back or deleted now is dealt with at the next start.
        let _ = if put.is_ok() { fs::remove_dir_all(&aside) } else { fs::rename(&aside, target) };
        put
    }

    /// Renames before deleting, so that a kill leaves no half-deleted checkpoint under a proper name.
    fn delete(&self, path: &Path) -> io::Result<()> {
        let aside = sibling(path, DELETING);
        fs::rename(path, &aside)?;
        fs::remove_dir_all(&aside)
    }
}

/// Reads the checkpoint in the folder `path`, after its sizes and checksums agree with its manifest.
///
/// # Errors
/// [`CheckpointError`] when it is not there, damaged, or of another format.
pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let manifest = Manifest::read(path)?;
    let model = load_file(path, &manifest, MODEL)?;
    let optimizer = load_file(path, &manifest, OPTIMIZER)?;
    Ok(Checkpoint { path: path.to_owned(), manifest, model, optimizer })
}

/// As [`CheckpointFolder::latest`], for a folder that is only read; a missing folder holds no checkpoint.
///
/// # Errors
/// [`CheckpointError::Read`] when the system refuses to list or read, [`CheckpointError::FormatVersion`] when the
/// newest has the format of another program, because skipping such checkpoints would lose them.
pub fn latest(folder: &Path) -> Result<Latest, CheckpointError> {
    let mut rejected = Vec::new();
    for step in steps(folder)?.into_iter().rev() {
        let path = folder.join(folder_name(step));
        match load(&path) {
            Ok(checkpoint) => return Ok(Latest { checkpoint: Some(checkpoint), rejected }),
            Err(error) if error.is_damage() => rejected.push((path, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Latest { checkpoint: None, rejected })
}

fn folder_name(step: u64) -> String {
    format!("{step:09}")
}

/// `.prefix-000012000` beside `000012000`.
fn sibling(path: &Path, prefix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{prefix}{name}"))
}

/// The steps of all properly named checkpoints in `folder`, ascending, whole or not.
fn steps(folder: &Path) -> Result<Vec<u64>, CheckpointError> {
    let names = names(folder).map_err(|source| CheckpointError::read(folder, source))?;
    let step = |name: &String| name.parse().ok().filter(|&step| folder_name(step) == *name);
    let mut steps: Vec<u64> = names.iter().filter_map(step).collect();
    steps.sort_unstable();
    Ok(steps)
}

/// The names in `folder`, without those that are not valid text; none if the folder does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().into_string().ok()))
            .filter_map(io::Result::transpose)
            .collect(),
    }
}

/// Removes the leftovers of a killed process, and puts back a checkpoint that it had moved aside and not replaced.
fn tidy(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if let Some(original) = name.strip_prefix(REPLACED)
            && !folder.join(original).exists()
        {
            fs::rename(&path, folder.join(original))?;
        } else if [WRITING, DELETING, REPLACED].iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Whether the manifest and the sizes it lists are there; the contents are not read.
fn seems_whole(path: &Path) -> bool {
    Manifest::read(path).is_ok_and(|manifest| {
        manifest.files.iter().all(|(name, record)| {
            fs::metadata(path.join(name)).is_ok_and(|metadata| metadata.len() == record.bytes)
        })
    })
}

fn write_checkpoint(
    folder: &Path,
    step: u64,
    model: &[(String, Tensor)],
    optimizer: &[(String, Tensor)],
    run: Value,
) -> Result<(), CheckpointError> {
    let refused = |source| CheckpointError::write(folder, source);
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(refused)?;
    }
    fs::create_dir(folder).map_err(refused)?;
    let mut files = BTreeMap::new();
    for (name, tensors) in [(MODEL, model), (OPTIMIZER, optimizer)] {
        let record = tensors_to_safetensors(&folder.join(name), tensors, &BTreeMap::new())?;
        files.insert(name.to_owned(), record);
    }
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let manifest = Manifest { format: FORMAT, step, created, files, run };
    write_manifest(folder, &manifest).and_then(|()| sync_folder(folder)).map_err(refused)
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let file = File::create(folder.join(MANIFEST))?;
    serde_json::to_writer_pretty(&file, manifest)?;
    file.sync_all()
}

/// Makes the names in `folder` last through a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn load_file(
    folder: &Path,
    manifest: &Manifest,
    name: &str,
) -> Result<Vec<(String, Tensor)>, CheckpointError> {
    let path = folder.join(name);
    let record = manifest.files.get(name).ok_or_else(|| CheckpointError::Manifest {
        path: folder.join(MANIFEST),
        reason: format!("{name} is not listed"),
    })?;
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::Missing { path: path.clone() },
        _ => CheckpointError::read(&path, source),
    })?;
    record.verify(&path, &bytes)?;
    Ok(tensors::tensors_of(&path, &bytes)?)
}

#[cfg(test)]
mod tests;
