//! The run directory, which holds all files of one run, and the rule that no run destroys or shares the directory of
//! another.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";
const RECIPE: &str = "recipe.toml";
/// The recipe while it is being written.
const PARTIAL_RECIPE: &str = "recipe.toml.partial";

/// What to do if a directory of that name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Fail: there must be no such directory.
    New,
    /// Continue the run in it.
    Resume,
    /// Delete its contents, if it is the directory of a run.
    Overwrite,
}

/// A run directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// The name cannot be the name of a folder: the recipe's fault.
    #[error(
        "run.name is {name:?}; allowed: a folder's name, without path separators and not starting with a dot"
    )]
    Name {
        /// The name found.
        name: String,
    },
    /// The directory already exists.
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
    /// It is not the directory of a run, so it is neither continued nor deleted.
    #[error(
        "{} holds files but no {RECIPE}, so it is not the directory of a run, and is left as it is; delete it yourself or \
         choose another run.name",
        path.display()
    )]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// Another process uses it.
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

/// The paths in a run directory, whether or not the files exist yet.
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

    /// One JSON object in each line.
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

    /// The folder for the state after a non-finite loss.
    pub fn nonfinite(&self) -> PathBuf {
        self.root.join("nonfinite")
    }
}

/// A run directory that this process alone writes to, for as long as this value lives.
#[derive(Debug)]
pub struct RunDirectory {
    layout: RunLayout,
    lock: Lock,
}

/// The advisory lock of a run directory. The system releases it, however the process ends.
#[derive(Debug)]
struct Lock {
    _file: File,
    /// Why the file system gives no lock.
    unavailable: Option<io::Error>,
}

impl RunDirectory {
    /// Creates or takes over `<parent>/<name>` as `start` says, and locks it. If a process was killed before it wrote
    /// its recipe, its run never began, and any start may take over the folder. On file systems without locks the
    /// directory is used unlocked: see [`RunDirectory::unlocked`].
    ///
    /// # Errors
    /// [`RunDirectoryError`] when the directory exists and should not, or the reverse, when another process uses it, or
    /// when the system refuses.
    pub fn create(parent: &Path, name: &str, start: Start) -> Result<Self, RunDirectoryError> {
        let usual = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if !usual {
            return Err(RunDirectoryError::Name { name: name.to_owned() });
        }
        let path = parent.join(name);
        if start == Start::Resume && !path.is_dir() {
            return Err(RunDirectoryError::NothingToResume { path });
        }
        let is_new = create_folder(parent, &path)?;
        if start == Start::New && !is_new && !never_began(&path) {
            return Err(RunDirectoryError::Exists { path });
        }
        let is_a_run = is_new || path.join(RECIPE).is_file() || never_began(&path);
        if !is_a_run {
            return Err(RunDirectoryError::NotARun { path });
        }
        let directory = Self { lock: lock(&path)?, layout: RunLayout::new(path) };
        // Another process may have begun its run before this process had the lock.
        let root = directory.layout.root();
        if start == Start::New && !never_began(root) {
            return Err(RunDirectoryError::Exists { path: root.to_owned() });
        }
        if start == Start::Overwrite {
            empty(root).map_err(|source| RunDirectoryError::Write { path: root.to_owned(), source })?;
        }
        Ok(directory)
    }

    /// The paths in the directory.
    pub fn layout(&self) -> &RunLayout {
        &self.layout
    }

    /// Why the directory is not locked, if the file system gives no locks: then nothing keeps two processes from
    /// writing to it.
    pub fn unlocked(&self) -> Option<&io::Error> {
        self.lock.unavailable.as_ref()
    }
}

/// Creates `parent` and then `path`; returns whether `path` was new. This is found out by creating it, so that two
/// processes cannot both have created it.
fn create_folder(parent: &Path, path: &Path) -> Result<bool, RunDirectoryError> {
    let refused = |path: &Path, source| RunDirectoryError::Write { path: path.to_owned(), source };
    fs::create_dir_all(parent).map_err(|source| refused(parent, source))?;
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(source) => Err(refused(path, source)),
    }
}

fn lock(folder: &Path) -> Result<Lock, RunDirectoryError> {
    let path = folder.join(LOCK);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|source| RunDirectoryError::Write { path, source })?;
    let unavailable = unavailable(file.try_lock(), folder)?;
    Ok(Lock { _file: file, unavailable })
}

/// Why a lock is not available at all. Network file systems answer with errors of many kinds (`ENOLCK`, `ENOSYS`,
/// `EOPNOTSUPP`, `EINVAL`) if they have no locks; only one answer means that another process holds the lock.
fn unavailable(
    answer: Result<(), TryLockError>,
    folder: &Path,
) -> Result<Option<io::Error>, RunDirectoryError> {
    match answer {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(RunDirectoryError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Ok(Some(error)),
    }
}

/// Whether `folder` holds only what a process leaves if it is killed before it writes the recipe: the lock, and empty
/// logs and folders.
fn never_began(folder: &Path) -> bool {
    const EMPTY: [&str; 4] = ["checkpoints", "pictures", "metrics.jsonl", "evaluations.jsonl"];
    let is_left = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let is_empty = |path: &Path| match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0),
        };
        name == LOCK
            || name == PARTIAL_RECIPE
            || name.to_string_lossy().starts_with("events.out.tfevents.")
            || EMPTY.iter().any(|known| name == *known) && is_empty(&entry.path())
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_left)))
}

/// Deletes everything in `folder` except the lock, which is held. The recipe is deleted last, so that the folder is
/// still a run's after a kill.
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

    fn create(parent: &Path, start: Start) -> Result<RunDirectory, RunDirectoryError> {
        RunDirectory::create(parent, "first", start)
    }

    #[test]
    fn an_existing_directory_is_refused_with_the_two_ways_on() {
        let home = tempfile::tempdir().unwrap();
        let parent = home.path().join("runs");
        let run = create(&parent, Start::New).unwrap();
        fs::write(run.layout().recipe(), "").unwrap();
        drop(run);
        let message = create(&parent, Start::New).unwrap_err().to_string();
        assert!(
            message.contains("--resume") && message.contains("--overwrite") && message.contains("runs/first")
        );
    }

    #[test]
    fn resume_keeps_and_overwrite_empties() {
        let home = tempfile::tempdir().unwrap();
        let run = create(home.path(), Start::Overwrite).unwrap();
        fs::write(run.layout().recipe(), "").unwrap();
        fs::create_dir(run.layout().checkpoints()).unwrap();
        drop(run);
        let run = create(home.path(), Start::Resume).unwrap();
        assert!(run.layout().checkpoints().is_dir());
        drop(run);
        let run = create(home.path(), Start::Overwrite).unwrap();
        assert!(!run.layout().checkpoints().exists() && !run.layout().recipe().exists());
        drop(run);
        create(home.path(), Start::Overwrite).unwrap();
    }

    #[test]
    fn what_is_no_run_is_never_deleted() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("first")).unwrap();
        fs::write(home.path().join("first/thesis.tex"), "").unwrap();
        assert!(matches!(create(home.path(), Start::Overwrite), Err(RunDirectoryError::NotARun { .. })));
        assert!(home.path().join("first/thesis.tex").exists());
    }

    #[test]
    fn a_run_that_was_killed_before_it_wrote_its_recipe_can_be_begun_in_every_way() {
        for start in [Start::New, Start::Resume, Start::Overwrite] {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("first");
            fs::create_dir_all(folder.join("checkpoints")).unwrap();
            for file in [".lock", "recipe.toml.partial", "metrics.jsonl", "events.out.tfevents.1.densesiam"] {
                fs::write(folder.join(file), "").unwrap();
            }
            create(home.path(), start).unwrap();
            fs::write(folder.join("metrics.jsonl"), "{}").unwrap();
            assert!(create(home.path(), start).is_err(), "{start:?} takes what holds results");
        }
    }

    #[test]
    fn a_file_system_without_locks_is_used_unlocked() {
        let (folder, no_locks) = (Path::new("runs/first"), io::Error::from_raw_os_error(37));
        assert!(matches!(unavailable(Ok(()), folder), Ok(None)));
        assert!(matches!(unavailable(Err(TryLockError::Error(no_locks)), folder), Ok(Some(_))));
        assert!(matches!(
            unavailable(Err(TryLockError::WouldBlock), folder),
            Err(RunDirectoryError::InUse { .. })
        ));
    }

    #[test]
    fn two_runs_cannot_share_a_directory() {
        let home = tempfile::tempdir().unwrap();
        let run = create(home.path(), Start::New).unwrap();
        assert!(matches!(create(home.path(), Start::Resume), Err(RunDirectoryError::InUse { .. })));
        assert!(matches!(create(home.path(), Start::Overwrite), Err(RunDirectoryError::InUse { .. })));
        drop(run);
        create(home.path(), Start::Resume).unwrap();
    }

    #[test]
    fn there_must_be_something_to_resume() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(create(home.path(), Start::Resume), Err(RunDirectoryError::NothingToResume { .. })));
    }

    #[test]
    fn a_parent_that_cannot_be_written_to_is_named() {
        // Permissions do not stop the superuser, who may run the tests; a file in the way stops every user.
        let home = tempfile::tempdir().unwrap();
        let parent = home.path().join("runs");
        fs::write(&parent, "").unwrap();
        let message = create(&parent, Start::New).unwrap_err().to_string();
        assert!(message.contains("run.dir") && message.contains("runs"), "{message}");
    }

    #[test]
    fn names_stay_within_the_parent() {
        for name in ["", ".", "..", "a/b", "../up", ".hidden"] {
            let made = RunDirectory::create(Path::new("runs"), name, Start::New);
            assert!(matches!(made, Err(RunDirectoryError::Name { .. })), "{name:?}");
        }
    }
}
