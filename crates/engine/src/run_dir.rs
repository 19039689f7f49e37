//! The run directory: where everything of one run lies, and the rule that no run destroys or shares another's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";
const RECIPE: &str = "recipe.toml";

/// What to do about a directory of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// There must be none.
    New,
    /// Continue the run in it.
    Resume,
    /// Delete what is in it, if it is a run's.
    Overwrite,
}

/// A run directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// The name is no name of a folder: the recipe's fault.
    #[error(
        "run.name is {name:?}; allowed: a folder's name, without path separators and not starting with a dot"
    )]
    Name {
        /// The name found.
        name: String,
    },
    /// There is one already.
    #[error(
        "{} exists; continue it with --resume, replace it with --overwrite, or choose another run.name",
        path.display()
    )]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to resume.
    #[error("{} does not exist, so there is nothing to resume; start without --resume", path.display())]
    NothingToResume {
        /// The directory.
        path: PathBuf,
    },
    /// It is not the directory of a run, and is not deleted.
    #[error(
        "{} holds no {RECIPE}, so it is not taken for a run and not overwritten; delete it yourself or choose another run.name",
        path.display()
    )]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("another process is writing to {}; wait for it, or choose another run.name", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write to {}: {source}; set run.dir to a folder that you may write to", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where things lie in a run directory, whether or not they are there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLayout {
    root: PathBuf,
}

impl RunLayout {
    /// The layout of the run directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved, complete recipe.
    pub fn recipe(&self) -> PathBuf {
        self.root.join(RECIPE)
    }

    /// Versions and hardware.
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// One JSON object a line.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// One JSON object for each evaluation.
    pub fn evaluations(&self) -> PathBuf {
        self.root.join("evaluations.jsonl")
    }

    /// The encoder under torchvision's names.
    pub fn encoder(&self) -> PathBuf {
        self.root.join("encoder.safetensors")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The folder of pictures.
    pub fn pictures(&self) -> PathBuf {
        self.root.join("pictures")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// The folder in which a non-finite loss leaves its state.
    pub fn nonfinite(&self) -> PathBuf {
        self.root.join("nonfinite")
    }
}

/// A run directory that this process alone writes to, for as long as this value lives.
#[derive(Debug)]
pub struct RunDirectory {
    layout: RunLayout,
    /// Held for its advisory lock, which the system releases however the process ends.
    _lock: File,
}

impl RunDirectory {
    /// Makes or takes over `<parent>/<name>` as `mode` says, and locks it. On file systems without locks the
    /// directory is used unlocked.
    ///
    /// # Errors
    /// [`RunDirectoryError`] when the directory is there and should not be or the reverse, is another process's, or
    /// the system refuses.
    pub fn create(parent: &Path, name: &str, mode: Mode) -> Result<Self, RunDirectoryError> {
        let usual = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if !usual {
            return Err(RunDirectoryError::Name { name: name.to_owned() });
        }
        let path = parent.join(name);
        let exists = path.is_dir();
        match mode {
            Mode::Resume if !exists => return Err(RunDirectoryError::NothingToResume { path }),
            Mode::Overwrite if exists => return Self::overwrite(path),
            Mode::New | Mode::Overwrite => create_folder(parent, &path)?,
            Mode::Resume => {}
        }
        Self::locked(path)
    }

    /// Where things lie.
    pub fn layout(&self) -> &RunLayout {
        &self.layout
    }

    fn locked(path: PathBuf) -> Result<Self, RunDirectoryError> {
        let lock = lock(&path)?;
        Ok(Self { layout: RunLayout::new(path), _lock: lock })
    }

    fn overwrite(path: PathBuf) -> Result<Self, RunDirectoryError> {
        // The lock alone is what a run leaves that was killed before it wrote its recipe.
        if !path.join(RECIPE).is_file() && !only_a_lock(&path) {
            return Err(RunDirectoryError::NotARun { path });
        }
        let directory = Self::locked(path)?;
        let root = directory.layout.root();
        empty(root).map_err(|source| RunDirectoryError::Write { path: root.to_owned(), source })?;
        Ok(directory)
    }
}

/// Makes `path`, and `parent` before it. That `path` is there is found by making it, so two processes cannot both.
fn create_folder(parent: &Path, path: &Path) -> Result<(), RunDirectoryError> {
    let refused = |path: &Path, source| RunDirectoryError::Write { path: path.to_owned(), source };
    fs::create_dir_all(parent).map_err(|source| refused(parent, source))?;
    fs::create_dir(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RunDirectoryError::Exists { path: path.to_owned() },
        _ => refused(path, source),
    })
}

fn lock(folder: &Path) -> Result<File, RunDirectoryError> {
    let path = folder.join(LOCK);
    let refused = |source| RunDirectoryError::Write { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunDirectoryError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

fn only_a_lock(folder: &Path) -> bool {
    fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
}

/// Deletes all in `folder` but the lock, which is held. The recipe goes last: what a kill leaves is still a run.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == LOCK || entry.file_name() == RECIPE {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_file(folder.join(RECIPE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(parent: &Path, mode: Mode) -> Result<RunDirectory, RunDirectoryError> {
        RunDirectory::create(parent, "first", mode)
    }

    #[test]
    fn an_existing_directory_is_refused_with_the_two_ways_on() {
        let home = tempfile::tempdir().unwrap();
        let parent = home.path().join("runs");
        drop(create(&parent, Mode::New).unwrap());
        let message = create(&parent, Mode::New).unwrap_err().to_string();
        assert!(
            message.contains("--resume") && message.contains("--overwrite") && message.contains("runs/first")
        );
    }

    #[test]
    fn resume_keeps_and_overwrite_empties() {
        let home = tempfile::tempdir().unwrap();
        let run = create(home.path(), Mode::Overwrite).unwrap();
        fs::write(run.layout().recipe(), "").unwrap();
        fs::create_dir(run.layout().checkpoints()).unwrap();
        drop(run);
        let run = create(home.path(), Mode::Resume).unwrap();
        assert!(run.layout().checkpoints().is_dir());
        drop(run);
        let run = create(home.path(), Mode::Overwrite).unwrap();
        assert!(!run.layout().checkpoints().exists() && !run.layout().recipe().exists());
        drop(run);
        create(home.path(), Mode::Overwrite).unwrap();
    }

    #[test]
    fn what_is_no_run_is_never_deleted() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("first")).unwrap();
        fs::write(home.path().join("first/thesis.tex"), "").unwrap();
        assert!(matches!(create(home.path(), Mode::Overwrite), Err(RunDirectoryError::NotARun { .. })));
        assert!(home.path().join("first/thesis.tex").exists());
    }

    #[test]
    fn two_runs_cannot_share_a_directory() {
        let home = tempfile::tempdir().unwrap();
        let run = create(home.path(), Mode::New).unwrap();
        assert!(matches!(create(home.path(), Mode::Resume), Err(RunDirectoryError::InUse { .. })));
        assert!(matches!(create(home.path(), Mode::Overwrite), Err(RunDirectoryError::InUse { .. })));
        drop(run);
        create(home.path(), Mode::Resume).unwrap();
    }

    #[test]
    fn there_must_be_something_to_resume() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(create(home.path(), Mode::Resume), Err(RunDirectoryError::NothingToResume { .. })));
    }

    #[test]
    fn a_parent_that_cannot_be_written_to_is_named() {
        // Permissions do not stop the superuser, under whom tests may run; a file in the way stops everyone.
        let home = tempfile::tempdir().unwrap();
        let parent = home.path().join("runs");
        fs::write(&parent, "").unwrap();
        let message = create(&parent, Mode::New).unwrap_err().to_string();
        assert!(message.contains("run.dir") && message.contains("runs"), "{message}");
    }

    #[test]
    fn names_stay_within_the_parent() {
        for name in ["", ".", "..", "a/b", "../up", ".hidden"] {
            let made = RunDirectory::create(Path::new("runs"), name, Mode::New);
            assert!(matches!(made, Err(RunDirectoryError::Name { .. })), "{name:?}");
        }
    }
}
