//! Batches of views, prepared in advance by worker threads.
//!
//! A batch depends only on the settings and its step, not on the number of workers or on earlier batches. A run can
//! therefore resume in the middle of an epoch by starting at a step, with the unreadable files met so far. An
//! unreadable file is replaced by another sample that its key determines, counted, and listed; if too much of the data
//! set is unreadable, that is an error.

mod bad;
mod batch;
pub(crate) mod each;
pub(crate) mod prefetch;
mod production;
mod sample;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use densesiam_settings::{SettingError, require};
use densesiam_text::shown;

use crate::decode::DecodeLimits;
use crate::index::ImageIndex;
use crate::order::{Part, Schedule};
use crate::views::Augmentation;
use bad::BadFiles;
use prefetch::{Failure, Prefetch};
use production::{BatchMaker, Draft};

pub use batch::Batch;
pub use sample::{SampleError, SampleScratch, SampleSource, load_sample};

/// The most unreadable files that an error message lists.
const LISTED: usize = 5;

/// The default time to wait for a batch: longer than any disk needs, shorter than a night.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// How batches are made, of views that `A` draws.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderSettings<A> {
    /// How views are drawn.
    pub augmentation: A,
    /// Samples in a batch, at least 1.
    pub batch_size: usize,
    /// How samples become batches.
    pub schedule: Schedule,
    /// The part of each batch that is made here; other processes make the others.
    pub part: Part,
    /// Seed of the run.
    pub seed: u64,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches that are prepared in advance, at least 1; the loader needs memory for them and for one picture per
    /// worker.
    pub prefetch_batches: usize,
    /// Share of the data set that may be unreadable before loading fails, within 0 and 1.
    pub max_bad_share: f64,
    /// Shortest accepted side of a picture in pixels; smaller ones count as unreadable.
    pub min_side: u32,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// The longest time to wait for a batch.
    pub patience: Duration,
    /// The first step, counted from 0 over the whole run.
    pub start_step: u64,
    /// The step before which the run ends.
    pub total_steps: u64,
    /// The unreadable files that an earlier part of the run has met, as [`Loader::bad_files`] returned them. They are
    /// tried again when the loader starts ([`Loader::recovered`]); those that are still unreadable count from the
    /// start, so that a resumed run fails where an uninterrupted one does. Numbers beyond the index are ignored.
    pub known_bad: Vec<(u64, String)>,
}

impl<A: Default> Default for LoaderSettings<A> {
    /// Batches of 64 without end, one worker.
    fn default() -> Self {
        Self {
            augmentation: A::default(),
            batch_size: 64,
            schedule: Schedule::default(),
            part: Part::WHOLE,
            seed: 0,
            workers: 1,
            prefetch_batches: 2,
            max_bad_share: 0.1,
            min_side: 1,
            limits: DecodeLimits::default(),
            patience: PATIENCE,
            start_step: 0,
            total_steps: u64::MAX,
            known_bad: Vec::new(),
        }
    }
}

/// Why the next batch cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setting is outside its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The data set does not fill one batch.
    #[error(
        "{} holds {pictures} pictures, fewer than one batch of {batch_size}; add pictures or lower train.batch_size",
        shown(root)
    )]
    SmallerThanBatch {
        /// The data set.
        root: PathBuf,
        /// Pictures in it.
        pictures: usize,
        /// Samples in a batch.
        batch_size: usize,
    },
    /// The schedule was made for another data set: a bug.
    #[error(
        "the schedule knows the groups of {groups} pictures, and there are {pictures}; please report this as a bug"
    )]
    OtherGroups {
        /// Pictures whose group is known.
        groups: usize,
        /// Pictures in the data set.
        pictures: usize,
    },
    /// Too much of the data set is unreadable.
    #[error(
        "{count} of {pictures} pictures ({:.1} %) are unreadable, more than the {:.1} % allowed; \
         repair them and go on, or raise data.max_bad_share (a set without them is another one, for a new run); the first \
         are:{}",
        *count as f64 * 100.0 / *pictures as f64, max_bad_share * 100.0, listed(first)
    )]
    TooManyBad {
        /// Distinct unreadable files so far.
        count: usize,
        /// Pictures in the data set.
        pictures: usize,
        /// The share that is allowed.
        max_bad_share: f64,
        /// The names of the first few, in the order of the index, and the reason for each.
        first: Vec<(String, String)>,
    },
    /// Many draws in a row found no readable picture.
    #[error(
        "found no readable picture in {count} tries; are these pictures at all? the first are:{}",
        listed(first)
    )]
    NothingReadable {
        /// Distinct unreadable files so far.
        count: usize,
        /// The names of the first few, in the order of the index, and the reason for each.
        first: Vec<(String, String)>,
    },
    /// A worker thread could not be started.
    #[error("cannot start a worker thread: {0}; lower data.workers")]
    Thread(#[from] io::Error),
    /// A worker thread panicked: a bug in this program.
    #[error("a worker thread stopped unexpectedly ({message}); please report this as a bug")]
    WorkerPanicked {
        /// What the panic said.
        message: String,
    },
    /// The storage does not answer.
    #[error(
        "no batch of pictures came for {seconds} s; still being read: {}; check the storage, or raise data.patience",
        reading.join(", ")
    )]
    Stalled {
        /// How long the program waited.
        seconds: u64,
        /// The pictures that were being read.
        reading: Vec<String>,
    },
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Panicked(message) => Self::WorkerPanicked { message },
            Failure::Stalled(seconds, reading) => Self::Stalled { seconds, reading },
        }
    }
}

fn listed(files: &[(String, String)]) -> String {
    files.iter().map(|(name, reason)| format!("\n  {name}: {reason}")).collect()
}

/// The running loader of views that `A` draws. Dropping it ends its threads.
pub struct Loader<A: Augmentation> {
    prefetch: Prefetch<BatchMaker<A>>,
    bad: BadFiles,
}

impl<A: Augmentation> Loader<A> {
    /// Tries the known unreadable files again, and starts the workers on the batches from `start_step` on.
    ///
    /// # Errors
    /// A [`LoadError`] if a setting is outside its range, or if the data set is smaller than a batch.
    pub fn new(index: Arc<ImageIndex>, mut settings: LoaderSettings<A>) -> Result<Self, LoadError> {
        check(&index, &settings)?;
        let known_bad = std::mem::take(&mut settings.known_bad);
        let (workers, prefetch) = (settings.workers, settings.prefetch_batches);
        let steps = settings.start_step..settings.total_steps;
        let maker = BatchMaker::new(index, settings);
        let bad = BadFiles::known(&maker, known_bad);
        Ok(Self { prefetch: Prefetch::start(maker, steps, workers, prefetch)?, bad })
    }

    /// Waits at most a second for the batch of the next step. Returns whether the batch is ready, or all batches are
    /// done.
    ///
    /// # Errors
    /// A [`LoadError`] if the storage does not answer, or a worker panicked.
    pub fn ready(&mut self) -> Result<bool, LoadError> {
        Ok(self.prefetch.ready()?)
    }

    /// Waits for the batch of the next step; `None` after the last.
    ///
    /// # Errors
    /// A [`LoadError`] if too much of the data set is unreadable, the storage does not answer, or a worker panicked.
    #[allow(
        clippy::should_implement_trait,
        reason = "a lending iterator: batches are given back by `recycle`"
    )]
    pub fn next(&mut self) -> Result<Option<Batch<A::Drawn>>, LoadError> {
        let Some(mut draft) = self.prefetch.next()? else {
            return Ok(None);
        };
        // Counted on delivery, not when a worker finds them, so that the failing step does not depend on the workers.
        let used = if draft.exhausted { &[][..] } else { &draft.samples };
        self.bad.met(std::mem::take(&mut draft.bad), used);
        if draft.exhausted {
            return Err(LoadError::NothingReadable { count: self.bad.len(), first: self.first_bad() });
        }
        self.check_bad()?;
        Ok(Some(draft.finish()))
    }

    /// Adds the unreadable files that other processes have met, and takes out those that one has used again.
    ///
    /// # Errors
    /// [`LoadError::TooManyBad`] if too much of the data set is unreadable.
    pub fn met_elsewhere(&mut self, bad: Vec<(u64, String)>, used: &[u64]) -> Result<(), LoadError> {
        self.bad.met(bad, used);
        self.check_bad()
    }

    fn check_bad(&self) -> Result<(), LoadError> {
        let BatchMaker { index, settings, .. } = self.prefetch.production();
        if self.bad.len() as f64 > settings.max_bad_share * index.len() as f64 {
            return Err(LoadError::TooManyBad {
                count: self.bad.len(),
                pictures: index.len(),
                max_bad_share: settings.max_bad_share,
                first: self.first_bad(),
            });
        }
        Ok(())
    }

    /// Returns the memory of a batch, so that the next batch does not need to allocate.
    pub fn recycle(&mut self, batch: Batch<A::Drawn>) {
        self.prefetch.recycle(Draft::recycled(batch.views));
    }

    /// The unreadable files met so far, including those known from before, in the order of the index: sample and
    /// reason, each once. A file that was read later is no longer among them.
    pub fn bad_files(&self) -> Vec<(u64, String)> {
        self.bad.all()
    }

    /// The files that were known as unreadable and could be read when the loader started, with what was wrong with
    /// each. They are used from then on.
    pub fn recovered(&self) -> &[(u64, String)] {
        self.bad.recovered()
    }

    fn first_bad(&self) -> Vec<(String, String)> {
        self.bad.first(LISTED, &self.prefetch.production().index)
    }
}

fn check<A: Augmentation>(index: &ImageIndex, settings: &LoaderSettings<A>) -> Result<(), LoadError> {
    settings.augmentation.validate()?;
    let share = settings.max_bad_share;
    require((0.0..=1.0).contains(&share), "data.max_bad_share", &share, "a share, 0 to 1")?;
    require(settings.batch_size >= 1, "train.batch_size", &settings.batch_size, "at least 1")?;
    if let Schedule::Grouped(groups) = &settings.schedule
        && groups.len() != index.len()
    {
        return Err(LoadError::OtherGroups { groups: groups.len(), pictures: index.len() });
    }
    if index.len() < settings.batch_size {
        let (pictures, batch_size) = (index.len(), settings.batch_size);
        return Err(LoadError::SmallerThanBatch { root: index.root().into(), pictures, batch_size });
    }
    Ok(())
}
