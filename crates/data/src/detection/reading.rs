//! The pictures of a set for an evaluation, prepared in advance by worker threads. Nothing is random and nothing is left out: an
//! unusable picture is an error, because a score on fewer pictures would not be comparable.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use densesiam_settings::within;

use super::{DetectionSet, resized};
use crate::decode::{DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::labelled::ReadingError;
use crate::loader::prefetch::{Prefetch, Production};
use crate::loader::{PATIENCE, SampleError};
use crate::order::Part;
use crate::resize::{ResizeScratch, resize_to};
use crate::views::ApplyError;

/// How the pictures of an evaluation are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectionReading {
    /// Shorter side of the resized picture in pixels, at least 1.
    pub short_side: u32,
    /// Its longer side in pixels, at most.
    pub longest_side: u32,
    /// Pictures in a batch, at least 1. With 1, pictures come in the order of the set; with more, those that have one size once
    /// resized come together, because padding would change what a network with batch norm sees.
    pub batch_size: usize,
    /// The part of the batches that is read here, one in turn with the other parts; other processes read those.
    pub part: Part,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches that are prepared in advance, at least 1.
    pub prefetch_batches: usize,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// The longest time to wait for a batch.
    pub patience: Duration,
}

impl Default for DetectionReading {
    /// Detectron2's evaluation, one by one: 800 and 1333 pixels; one worker.
    fn default() -> Self {
        Self {
            short_side: 800,
            longest_side: 1333,
            batch_size: 1,
            part: Part::WHOLE,
            workers: 1,
            prefetch_batches: 4,
            limits: DecodeLimits::default(),
            patience: PATIENCE,
        }
    }
}

/// Pictures of one size. What is in them is in [`DetectionSet::objects`], in pixels of the picture before it was resized.
#[derive(Clone, PartialEq, Eq)]
pub struct DetectionBatch {
    /// Width and height of the resized pictures in pixels.
    pub size: [u32; 2],
    /// Number of each picture in its set.
    pub samples: Vec<usize>,
    /// Width and height of each picture before it was resized: a point `x` of the resized one is at
    /// `x * picture_size / size` of the picture.
    pub picture_sizes: Vec<[u32; 2]>,
    /// The resized pictures, `[B, height, width, 3]` bytes.
    pub images: Vec<u8>,
}

impl fmt::Debug for DetectionBatch {
    /// Leaves out the pixels.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, samples, .. } = self;
        write!(formatter, "DetectionBatch {{ size: {size:?}, samples: {samples:?}, .. }}")
    }
}

impl DetectionBatch {
    /// Joins pictures of one size; a single one is not copied.
    fn of(pictures: Vec<ReadPicture>) -> Self {
        let mut batch = Self { size: [0, 0], samples: vec![], picture_sizes: vec![], images: vec![] };
        for ReadPicture { sample, picture_size, image } in pictures {
            batch.size = [image.width, image.height];
            batch.samples.push(sample);
            batch.picture_sizes.push(picture_size);
            if batch.images.is_empty() {
                batch.images = image.pixels;
            } else {
                batch.images.extend(image.pixels);
            }
        }
        batch
    }
}

struct ReadPicture {
    sample: usize,
    picture_size: [u32; 2],
    image: RgbImage,
}

/// An iterator over the batches of a set, or of its part, every picture once, in an order that does not depend on the number of workers. It ends
/// after the first error. Dropping it ends its threads.
pub struct DetectionReader {
    prefetch: Prefetch<Reading>,
    failed: bool,
}

impl DetectionReader {
    /// Starts the workers.
    ///
    /// # Errors
    /// A [`ReadingError`] if a setting is outside its range or no thread can be started.
    pub fn new(set: Arc<DetectionSet>, settings: DetectionReading) -> Result<Self, ReadingError> {
        within("evaluate.short_side", settings.short_side, 1..=8192, "pixels")?;
        within("evaluate.longest_side", settings.longest_side, 1..=16384, "pixels")?;
        within("evaluate.batch_size", settings.batch_size, 1..=4096, "pictures")?;
        let Part { number, parts } = settings.part;
        let batches: Vec<_> = planned(&set, &settings).into_iter().skip(number).step_by(parts).collect();
        let (steps, workers) = (0..batches.len() as u64, settings.workers);
        let reading = Reading { set, settings, batches };
        let prefetch = Prefetch::start(reading, steps, workers, settings.prefetch_batches)?;
        Ok(Self { prefetch, failed: false })
    }
}

impl fmt::Debug for DetectionReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DetectionReader").finish_non_exhaustive()
    }
}

/// The pictures of each batch. Those whose size is not known are alone: reading them says why.
fn planned(set: &DetectionSet, settings: &DetectionReading) -> Vec<Vec<usize>> {
    if settings.batch_size == 1 {
        return (0..set.len()).map(|sample| vec![sample]).collect();
    }
    let size = |sample| {
        set.picture_size(sample).map(|size| resized(size, settings.short_side, settings.longest_side))
    };
    let mut samples: Vec<_> = (0..set.len()).map(|sample| (size(sample).ok(), sample)).collect();
    samples.sort_unstable();
    let alike = samples.chunk_by(|one, two| one.0.is_some() && one.0 == two.0);
    let batches = alike.flat_map(|alike| alike.chunks(settings.batch_size));
    batches.map(|batch| batch.iter().map(|&(_, sample)| sample).collect()).collect()
}

impl Iterator for DetectionReader {
    type Item = Result<DetectionBatch, ReadingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let draft = self.prefetch.next().map_err(ReadingError::from);
        let batch = draft.transpose()?.and_then(|draft| {
            let pictures: Result<_, _> = draft.pictures.into_iter().flatten().collect();
            Ok(DetectionBatch::of(pictures?))
        });
        self.failed = batch.is_err();
        Some(batch)
    }
}

/// The work of the worker threads.
struct Reading {
    set: Arc<DetectionSet>,
    settings: DetectionReading,
    batches: Vec<Vec<usize>>,
}

/// A batch that is being made: the picture in each slot; slots beyond its end stay empty.
struct Draft {
    step: u64,
    pictures: Vec<Option<Result<ReadPicture, ReadingError>>>,
}

/// Memory of a worker.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    image: RgbImage,
    resize: ResizeScratch,
}

impl Reading {
    fn sample(&self, step: u64, slot: usize) -> Option<usize> {
        self.batches.get(step as usize)?.get(slot).copied()
    }

    fn read(&self, sample: usize, scratch: &mut Scratch) -> Result<ReadPicture, SampleError> {
        let Scratch { bytes, image, resize } = scratch;
        self.set.picture(sample).read_into(bytes)?;
        decode_into(bytes, &self.settings.limits, image)?;
        let picture_size = [image.width, image.height];
        let expected = self.set.annotation(sample).size.unwrap_or(picture_size);
        if expected != picture_size {
            return Err(ApplyError::PictureSize { expected, found: picture_size }.into());
        }
        let [width, height] = resized(picture_size, self.settings.short_side, self.settings.longest_side);
        let image = resize_to(image, width, height, resize).map_err(ApplyError::from)?;
        Ok(ReadPicture { sample, picture_size, image })
    }
}

impl Production for Reading {
    type Batch = Draft;
    type Scratch = Scratch;

    fn batch_size(&self) -> usize {
        self.settings.batch_size
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }

    fn name(&self, slot: usize, draft: &Mutex<Draft>) -> String {
        let step = draft.lock().unwrap_or_else(PoisonError::into_inner).step;
        self.sample(step, slot).map(|sample| self.set.picture(sample).to_string()).unwrap_or_default()
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn open(&self, step: u64, _: Option<Draft>) -> Draft {
        Draft { step, pictures: (0..self.settings.batch_size).map(|_| None).collect() }
    }

    fn produce(&self, slot: usize, scratch: &mut Scratch, draft: &Mutex<Draft>) {
        let lock = || draft.lock().unwrap_or_else(PoisonError::into_inner);
        let step = lock().step;
        if let Some(sample) = self.sample(step, slot) {
            let read = self.read(sample, scratch).map_err(|source| ReadingError::Picture {
                place: self.set.picture(sample).to_string(),
                source,
            });
            lock().pictures[slot] = Some(read);
        }
    }
}
