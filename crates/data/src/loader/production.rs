//! Fills in the samples of a batch: the schedule, replacements for unreadable files, and the pixels.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use densesiam_random::{Key, Purpose};

use super::prefetch::Production;
use super::{Batch, LoaderSettings, SampleScratch, SampleSource, load_sample};
use crate::index::ImageIndex;
use crate::order::{EpochBatches, Visit};
use crate::views::Augmentation;

/// The most samples that are tried in one slot of a batch. With nine of ten files unreadable, all tries fail in one of
/// 10^11 slots.
const TRIES: u32 = 250;

/// A batch that is being made, and the unreadable files found meanwhile.
pub(super) struct Draft<D> {
    step: u64,
    epoch: u64,
    pub(super) samples: Vec<u64>,
    epochs: Vec<u64>,
    views: Vec<Vec<u8>>,
    /// What was drawn for each slot that is filled.
    drawn: Vec<Option<D>>,
    pub(super) bad: Vec<(u64, String)>,
    /// Whether no readable sample was found for some slot.
    pub(super) exhausted: bool,
}

impl<D> Draft<D> {
    /// An empty draft with memory to reuse, for [`Production::open`].
    pub(super) fn recycled(views: Vec<Vec<u8>>) -> Self {
        let (samples, epochs, drawn, bad) = Default::default();
        Self { step: 0, epoch: 0, samples, epochs, views, drawn, bad, exhausted: false }
    }

    /// Views of a fixed size are copied to their place among those of the batch; a view whose size was drawn is moved.
    fn fill(&mut self, slot: usize, sample: u64, drawn: D, scratch: &mut SampleScratch, size_is_drawn: bool) {
        self.samples[slot] = sample;
        self.drawn[slot] = Some(drawn);
        if size_is_drawn {
            return scratch.swap_view(&mut self.views[slot]);
        }
        for (views, view) in self.views.iter_mut().zip(scratch.views()) {
            views[slot * view.len()..][..view.len()].copy_from_slice(view);
        }
    }

    /// The finished batch; every slot is filled unless the draft is exhausted.
    pub(super) fn finish(self) -> Batch<D> {
        let Self { step, epoch, samples, epochs, views, drawn, .. } = self;
        Batch { step, epoch, samples, epochs, views, drawn: drawn.into_iter().flatten().collect() }
    }
}

/// Makes the batches of a data set.
pub(super) struct BatchMaker<A> {
    pub(super) index: Arc<ImageIndex>,
    pub(super) settings: LoaderSettings<A>,
    /// The batches of the epoch that was opened last.
    epoch: Mutex<EpochBatches>,
}

impl<A: Augmentation> BatchMaker<A> {
    pub(super) fn new(index: Arc<ImageIndex>, settings: LoaderSettings<A>) -> Self {
        let LoaderSettings { ref schedule, batch_size, seed, start_step, .. } = settings;
        let epoch = Mutex::new(schedule.batches(index.len(), batch_size, seed, start_step));
        Self { index, settings, epoch }
    }

    pub(super) fn source(&self) -> SampleSource<'_, A> {
        SampleSource {
            index: &self.index,
            augmentation: &self.settings.augmentation,
            seed: self.settings.seed,
            limits: self.settings.limits,
            min_side: self.settings.min_side,
        }
    }

    /// The sample that is tried instead of `scheduled` after `attempt` tries have failed.
    fn replacement(&self, scheduled: u64, epoch: u64, attempt: u32) -> u64 {
        let key =
            Key::new(self.settings.seed, Purpose::Replacement).epoch(epoch).sample(scheduled).view(attempt);
        self.settings.schedule.stand_in(scheduled, self.index.len(), key)
    }

    /// The epoch in which the batch of a step is complete, and the visits of the whole batch.
    fn visits(&self, step: u64) -> (u64, Vec<Visit>) {
        let LoaderSettings { ref schedule, batch_size, seed, .. } = self.settings;
        let mut epoch = lock(&self.epoch);
        if epoch.batch(step).is_none() {
            *epoch = schedule.batches(self.index.len(), batch_size, seed, step);
        }
        (epoch.epoch, epoch.batch(step).unwrap_or_default().to_vec())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A: Augmentation> Production for BatchMaker<A> {
    type Batch = Draft<A::Drawn>;
    type Scratch = SampleScratch;

    fn batch_size(&self) -> usize {
        self.settings.part.places(self.settings.batch_size).len()
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }

    fn name(&self, slot: usize, draft: &Mutex<Self::Batch>) -> String {
        self.index.place(lock(draft).samples[slot] as usize).to_string()
    }

    fn scratch(&self) -> SampleScratch {
        SampleScratch::new(&self.settings.augmentation.sizes())
    }

    fn open(&self, step: u64, recycled: Option<Self::Batch>) -> Self::Batch {
        let LoaderSettings { batch_size, part, ref augmentation, .. } = self.settings;
        let (epoch, visits) = self.visits(step);
        let visits = &visits[part.places(batch_size)];
        let (samples, epochs) = visits.iter().map(|visit| (visit.sample, visit.epoch)).unzip();
        let count = visits.len();
        let sizes = augmentation.sizes();
        let mut views = recycled.map(|draft| draft.views).unwrap_or_default();
        views.resize(if sizes.is_empty() { count } else { sizes.len() }, Vec::new());
        for (view, side) in views.iter_mut().zip(sizes) {
            view.resize(count * side as usize * side as usize * 3, 0);
        }
        Draft { step, epoch, samples, epochs, drawn: vec![None; count], ..Draft::recycled(views) }
    }

    fn produce(&self, slot: usize, scratch: &mut SampleScratch, draft: &Mutex<Self::Batch>) {
        let (scheduled, epoch) = {
            let draft = lock(draft);
            (draft.samples[slot], draft.epochs[slot])
        };
        let mut sample = scheduled;
        for attempt in 0..TRIES {
            match load_sample(&self.source(), sample, epoch, scratch) {
                Ok(drawn) => {
                    let size_is_drawn = self.settings.augmentation.sizes().is_empty();
                    return lock(draft).fill(slot, sample, drawn, scratch, size_is_drawn);
                }
                Err(error) => lock(draft).bad.push((sample, error.to_string())),
            }
            sample = self.replacement(scheduled, epoch, attempt);
            lock(draft).samples[slot] = sample;
        }
        lock(draft).exhausted = true;
    }
}
