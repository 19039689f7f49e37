//! Pictures with their labels in the same geometry, for scoring a segmentation and for training a probe.
//!
//! [`Extent`] says what of a picture is read, and at which size. Nothing is random and nothing is left out: an unusable
//! picture or label map is an error, because a score on fewer pictures would not be comparable.

use std::fmt;
use std::io;
use std::time::Duration;

use densesiam_settings::{SettingError, require};

use super::{LabelError, LabelMap, LabelledSet};
use crate::decode::{DecodeLimits, decode_into};
use crate::frame::Frame;
use crate::image::RgbImage;
use crate::index::Place;
use crate::loader::prefetch::Failure;
use crate::loader::{PATIENCE, SampleError};
use crate::opencv::WindowResizer;
use crate::resize::{ResizeError, ResizeScratch, resize_region};

/// What of a picture is read, and at which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, resampled (antialiased) to this shorter side in pixels, 1 to 8192. Labels are those of the nearest pixels
    /// at the same positions.
    Scaled(u32),
    /// The centred square of that.
    Centred(u32),
    /// All of it, scaled to fit into these two lengths in any order as OpenCV does; `[0, 0]` is its own size,
    /// others are 1 to 16384. The label map stays as it is, and predictions are scaled to it.
    Fitted([u32; 2]),
}

impl Extent {
    /// Whether all pictures are read at one size, so that several make a batch.
    pub(super) fn is_of_one_size(self) -> bool {
        matches!(self, Self::Centred(_))
    }

    pub(super) fn validate(self) -> Result<(), SettingError> {
        match self {
            Self::Scaled(side) | Self::Centred(side) => {
                require((1..=8192).contains(&side), "evaluate.size", &side, "1 to 8192 pixels")
            }
            Self::Fitted([width, height]) => require(
                [width, height] == [0, 0] || [width, height].iter().all(|side| (1..=16_384).contains(side)),
                "evaluate.scale",
                &format!("[{width}, {height}]"),
                "[width, height] of 1 to 16384 pixels, or [0, 0] for the picture's own size",
            ),
        }
    }
}

/// How pictures and labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingSettings {
    /// What is read of each picture.
    pub extent: Extent,
    /// Samples in a batch, at least 1. Where sizes differ ([`Extent::Centred`] alone has one), every batch holds one sample.
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
            extent: Extent::Centred(320),
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

/// A picture and its labels, of one size but for [`Extent::Fitted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSample {
    /// Number of the picture in its set.
    pub sample: usize,
    /// The scaled picture.
    pub image: RgbImage,
    /// The class of each pixel, 255 is void.
    pub labels: LabelMap,
}

/// Memory for reading samples; one for each worker.
#[derive(Default)]
pub struct ReadingScratch {
    bytes: Vec<u8>,
    image: RgbImage,
    resize: ResizeScratch,
    window: WindowResizer,
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
    let picture = set.picture(sample);
    let size = read_picture(&picture, &settings.limits, scratch)
        .map_err(|source| ReadingError::Picture { place: picture.to_string(), source })?;
    let ReadingScratch { image, resize, window, .. } = scratch;
    let labels = set.label_map(sample, size, &settings.limits)?;
    let frame = match settings.extent {
        Extent::Scaled(side) => Frame::scaled(size.into(), side),
        Extent::Centred(side) => Frame::centred(size.into(), side),
        Extent::Fitted(scale) => {
            return Ok(LabelledSample { sample, image: window.fitted(image, scale), labels });
        }
    };
    let (width, height) = frame.size();
    let mut scaled = RgbImage::new(width, height);
    resize_region(image, &frame.region(), (width, height), resize, &mut scaled.pixels)?;
    Ok(LabelledSample { sample, image: scaled, labels: nearest(&labels, &frame) })
}

/// Reads and decodes a picture into the scratch memory; its width and height.
pub(super) fn read_picture(
    place: &Place<'_>,
    limits: &DecodeLimits,
    scratch: &mut ReadingScratch,
) -> Result<[u32; 2], SampleError> {
    let ReadingScratch { bytes, image, .. } = scratch;
    place.read_into(bytes)?;
    decode_into(bytes, limits, image)?;
    Ok([image.width, image.height])
}

fn nearest(labels: &LabelMap, frame: &Frame) -> LabelMap {
    let (columns, rows) = (frame.nearest(0), frame.nearest(1));
    let (width, height) = frame.size();
    let row_of = |row: usize| &labels.classes[row * labels.width as usize..][..labels.width as usize];
    let classes = rows.into_iter().flat_map(|row| columns.iter().map(move |&column| row_of(row)[column]));
    LabelMap { width, height, classes: classes.collect() }
}
