//! Pictures with their labels in the same geometry, for scoring a segmentation and for training a probe.
//!
//! The picture is resampled (bilinear, antialiased) to a shorter side and perhaps its centred square; labels are taken
//! from the nearest pixel at the same positions. Nothing is random and nothing is left out: an unusable picture or
//! label map is an error, because a score on fewer pictures would not be comparable.

use std::fmt;
use std::io;
use std::time::Duration;

use densesiam_settings::SettingError;

use super::{LabelError, LabelMap, LabelledSet};
use crate::decode::{DecodeLimits, decode_into};
use crate::frame::Frame;
use crate::image::RgbImage;
use crate::index::Place;
use crate::loader::prefetch::Failure;
use crate::loader::{PATIENCE, SampleError};
use crate::resize::{ResizeError, ResizeScratch, resize_region};

/// How pictures and labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingSettings {
    /// Shorter side of the scaled picture in pixels, at least 1.
    pub size: u32,
    /// Whether only the centred square of `size` pixels a side is kept.
    pub crop: bool,
    /// Samples in a batch, at least 1. Without `crop` sizes differ and every batch holds one sample.
    pub batch_size: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches that are prepared in advance, at least 1.
    pub prefetch_batches: usize,
    /// Largest picture or label map that is decoded.
    pub limits: DecodeLimits,
    /// The longest time to wait for a batch.
    pub patience: Duration,
}

impl Default for ReadingSettings {
    /// The evaluation of the paper, section 4: shorter side 320, centre crop 320; batches of 32, one worker.
    fn default() -> Self {
        Self {
            size: 320,
            crop: true,
            batch_size: 32,
            workers: 1,
            prefetch_batches: 2,
            limits: DecodeLimits::default(),
            patience: PATIENCE,
        }
    }
}

/// Why labelled pictures cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The picture cannot be used.
    #[error("the picture {place}: {source}")]
    Picture {
        /// The picture.
        place: String,
        /// What is wrong with it.
        source: SampleError,
    },
    /// The label map cannot be used.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Picture and label map do not fit each other.
    #[error(
        "the picture {picture} has {} x {} pixels, its label map {label} has {} x {}; both must have one size \
         (a picture that its EXIF data turn is turned before this is checked)",
        picture_size[0], picture_size[1], label_size[0], label_size[1]
    )]
    Sizes {
        /// The picture.
        picture: String,
        /// Its width and height in pixels.
        picture_size: [u32; 2],
        /// The label map.
        label: String,
        /// Its width and height in pixels.
        label_size: [u32; 2],
    },
    /// The picture could not be resampled: a bug.
    #[error(transparent)]
    Resize(#[from] ResizeError),
    /// A setting is outside its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A worker thread could not be started.
    #[error("cannot start a worker thread: {0}; lower data.workers")]
    Thread(#[from] io::Error),
    /// A worker thread panicked: a bug in this program or in the decoder of label maps.
    #[error("a worker thread stopped unexpectedly ({message}); please report this as a bug")]
    WorkerPanicked {
        /// What the panic said.
        message: String,
    },
    /// The storage does not answer.
    #[error(
        "no batch of labelled pictures came for {seconds} s; still being read: {}; check the storage, or raise \
         data.patience",
        reading.join(", ")
    )]
    Stalled {
        /// How long the program waited.
        seconds: u64,
        /// The pictures that were being read.
        reading: Vec<String>,
    },
}

impl From<Failure> for ReadingError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Panicked(message) => Self::WorkerPanicked { message },
            Failure::Stalled(seconds, reading) => Self::Stalled { seconds, reading },
        }
    }
}

/// A picture and the class of each of its pixels, of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSample {
    /// Number of the picture in its set.
    pub sample: usize,
    /// The scaled picture.
    pub image: RgbImage,
    /// The class of each of its pixels, 255 is void.
    pub labels: LabelMap,
}

/// Memory for reading samples; one for each worker.
#[derive(Default)]
pub struct ReadingScratch {
    bytes: Vec<u8>,
    image: RgbImage,
    resize: ResizeScratch,
}

impl fmt::Debug for ReadingScratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadingScratch").finish_non_exhaustive()
    }
}

/// Reads picture `sample` of the set (below [`LabelledSet::len`]) and its labels, exactly as the loader does.
///
/// # Errors
/// A [`ReadingError`] that names the file at fault.
pub fn read_sample(
    set: &LabelledSet,
    sample: usize,
    settings: &ReadingSettings,
    scratch: &mut ReadingScratch,
) -> Result<LabelledSample, ReadingError> {
    let (picture, label) = (set.picture(sample), set.label(sample));
    let ReadingScratch { bytes, image, resize } = scratch;
    read_picture(&picture, &settings.limits, bytes, image)
        .map_err(|source| ReadingError::Picture { place: picture.to_string(), source })?;
    let labels = LabelMap::read(&label, &set.taxonomy, &settings.limits)?;
    if (labels.width, labels.height) != (image.width, image.height) {
        return Err(ReadingError::Sizes {
            picture: picture.to_string(),
            picture_size: [image.width, image.height],
            label: label.to_string(),
            label_size: [labels.width, labels.height],
        });
    }
    let frame = if settings.crop { Frame::centred } else { Frame::scaled };
    let frame = frame((image.width, image.height), settings.size);
    let (width, height) = frame.size();
    let mut scaled = RgbImage::new(width, height);
    resize_region(image, &frame.region(), (width, height), resize, &mut scaled.pixels)?;
    Ok(LabelledSample { sample, image: scaled, labels: nearest(&labels, &frame) })
}

fn read_picture(
    place: &Place<'_>,
    limits: &DecodeLimits,
    bytes: &mut Vec<u8>,
    image: &mut RgbImage,
) -> Result<(), SampleError> {
    place.read_into(bytes)?;
    Ok(decode_into(bytes, limits, image)?)
}

fn nearest(labels: &LabelMap, frame: &Frame) -> LabelMap {
    let (columns, rows) = (frame.nearest(0), frame.nearest(1));
    let (width, height) = frame.size();
    let row_of = |row: usize| &labels.classes[row * labels.width as usize..][..labels.width as usize];
    let classes = rows.into_iter().flat_map(|row| columns.iter().map(move |&column| row_of(row)[column]));
    LabelMap { width, height, classes: classes.collect() }
}
