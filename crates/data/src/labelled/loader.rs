//! Batches of labelled pictures in the order of the set, prepared in advance by worker threads.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use densesiam_settings::require;

use super::{LabelledSample, LabelledSet, ReadingError, ReadingScratch, ReadingSettings, read_sample};
use crate::loader::prefetch::{Prefetch, Production};

/// Consecutive samples of one size.
#[derive(Clone, PartialEq, Eq)]
pub struct LabelledBatch {
    /// Width of the pictures in pixels.
    pub width: u32,
    /// Height of the pictures in pixels.
    pub height: u32,
    /// Number of each picture in its set.
    pub samples: Vec<usize>,
    /// The pictures, `[B, height, width, 3]` bytes.
    pub images: Vec<u8>,
    /// Width and height of the label maps in pixels: those of the pictures, but for [`super::Extent::Fitted`].
    pub label_size: [u32; 2],
    /// The class of each pixel of the label maps, `[B, height, width]`; 255 is void.
    pub labels: Vec<u8>,
}

impl fmt::Debug for LabelledBatch {
    /// Leaves out the pixels.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, samples, .. } = self;
        write!(formatter, "LabelledBatch {{ {width} x {height}, samples: {samples:?}, .. }}")
    }
}

impl LabelledBatch {
    /// Joins samples of one size.
    fn of(samples: Vec<LabelledSample>) -> Self {
        let (width, height) =
            samples.first().map_or((0, 0), |sample| (sample.image.width, sample.image.height));
        let label_size = samples.first().map_or([0, 0], |sample| [sample.labels.width, sample.labels.height]);
        let mut batch = Self { width, height, samples: vec![], images: vec![], label_size, labels: vec![] };
        for LabelledSample { sample, image, labels } in samples {
            batch.samples.push(sample);
            batch.images.extend(image.pixels);
            batch.labels.extend(labels.classes);
        }
        batch
    }
}

/// An iterator over the batches of a set, every picture once and in order, whatever the number of workers; the last
/// batch may be smaller. It ends after the first error. Dropping it ends its threads.
pub struct LabelledLoader {
    prefetch: Prefetch<Reading>,
    failed: bool,
}

impl LabelledLoader {
    /// Starts the workers.
    ///
    /// # Errors
    /// A [`ReadingError`] if a setting is outside its range or no thread can be started.
    pub fn new(set: Arc<LabelledSet>, settings: ReadingSettings) -> Result<Self, ReadingError> {
        settings.extent.validate()?;
        require(settings.batch_size >= 1, "evaluate.batch_size", &settings.batch_size, "at least 1")?;
        let batch_size = if settings.extent.is_of_one_size() { settings.batch_size } else { 1 };
        let steps = 0..set.len().div_ceil(batch_size) as u64;
        let (workers, prefetch) = (settings.workers, settings.prefetch_batches);
        let reading = Reading { set, settings, batch_size };
        Ok(Self { prefetch: Prefetch::start(reading, steps, workers, prefetch)?, failed: false })
    }
}

impl Iterator for LabelledLoader {
    type Item = Result<LabelledBatch, ReadingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let draft = self.prefetch.next().map_err(ReadingError::from);
        let batch = draft.transpose()?.and_then(|draft| {
            let samples: Result<_, _> = draft.samples.into_iter().flatten().collect();
            Ok(LabelledBatch::of(samples?))
        });
        self.failed = batch.is_err();
        Some(batch)
    }
}

/// The work of the worker threads.
struct Reading {
    set: Arc<LabelledSet>,
    settings: ReadingSettings,
    batch_size: usize,
}

/// A batch that is being made: the sample in each slot; slots beyond the end of the set stay empty.
struct Draft {
    step: u64,
    samples: Vec<Option<Result<LabelledSample, ReadingError>>>,
}

impl Production for Reading {
    type Batch = Draft;
    type Scratch = ReadingScratch;

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }

    fn name(&self, slot: usize, draft: &Mutex<Draft>) -> String {
        let step = draft.lock().unwrap_or_else(PoisonError::into_inner).step;
        let sample = step as usize * self.batch_size + slot;
        if sample < self.set.len() { self.set.picture(sample).to_string() } else { String::new() }
    }

    fn scratch(&self) -> ReadingScratch {
        ReadingScratch::default()
    }

    fn open(&self, step: u64, _: Option<Draft>) -> Draft {
        Draft { step, samples: (0..self.batch_size).map(|_| None).collect() }
    }

    fn produce(&self, slot: usize, scratch: &mut ReadingScratch, draft: &Mutex<Draft>) {
        let lock = || draft.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = lock().step as usize * self.batch_size + slot;
        if sample < self.set.len() {
            let read = read_sample(&self.set, sample, &self.settings, scratch);
            lock().samples[slot] = Some(read);
        }
    }
}
