//! The pictures of an index one after the other, each made by a worker thread: what prediction and the search for regions have
//! in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::prefetch::Production;
use crate::index::ImageIndex;

/// What is made of each picture.
pub(crate) trait Work: Send + Sync + 'static {
    /// What it becomes.
    type Made: Send;
    /// Memory of one worker.
    type Scratch: Default;

    /// The pictures.
    fn index(&self) -> &Arc<ImageIndex>;
    /// The longest time to wait for one.
    fn patience(&self) -> Duration;
    /// What stands for a picture before it is made.
    fn not_made() -> Self::Made;
    /// Makes it of a picture.
    fn make(&self, sample: usize, scratch: &mut Self::Scratch) -> Self::Made;
    /// Bytes that it holds.
    fn held(made: &Self::Made) -> usize;
    /// No further picture is begun while those that wait hold this number of bytes.
    fn room(&self) -> usize;
}

/// The production of such work.
pub(crate) struct Each<W>(pub(crate) W);

/// A picture that is being made: a batch of one.
pub(crate) struct Draft<T> {
    sample: usize,
    /// What it becomes.
    pub(crate) made: T,
}

impl<W: Work> Production for Each<W> {
    type Batch = Draft<W::Made>;
    type Scratch = W::Scratch;

    fn batch_size(&self) -> usize {
        1
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    fn name(&self, _: usize, draft: &Mutex<Self::Batch>) -> String {
        self.0.index().place(lock(draft).sample).to_string()
    }

    fn scratch(&self) -> W::Scratch {
        W::Scratch::default()
    }

    fn open(&self, step: u64, _: Option<Self::Batch>) -> Self::Batch {
        Draft { sample: step as usize, made: W::not_made() }
    }

    fn produce(&self, _: usize, scratch: &mut W::Scratch, draft: &Mutex<Self::Batch>) {
        let sample = lock(draft).sample;
        let made = self.0.make(sample, scratch);
        lock(draft).made = made;
    }

    fn held(&self, draft: &Self::Batch) -> usize {
        W::held(&draft.made)
    }

    fn room(&self) -> usize {
        self.0.room()
    }
}

fn lock<T>(draft: &Mutex<Draft<T>>) -> MutexGuard<'_, Draft<T>> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}
