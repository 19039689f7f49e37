//! Pictures with their labels, in one geometry: what a segmentation is measured on.
//!
//! The picture is resampled (bilinear, antialiased) to a shorter side and perhaps its centred square; labels are taken
//! from the nearest pixel at the same places. Nothing is drawn at random and nothing is left out: an unusable picture
//! or label map is an error, for a measurement on fewer pictures would be another measurement.

mod loader;
mod sample;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use densesiam_settings::SettingError;
use densesiam_text::shown;

use crate::decode::DecodeLimits;
use crate::label::LabelError;
use crate::loader::prefetch::Failure;
use crate::loader::{PATIENCE, SampleError};
use crate::resize::ResizeError;

pub use loader::{EvaluationBatch, EvaluationLoader};
pub use sample::{EvaluationSample, EvaluationScratch, evaluation_sample};

/// How pictures and labels are read for evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationSettings {
    /// Shorter side of the scaled picture in pixels, at least 1.
    pub size: u32,
    /// Whether only the centred square of `size` pixels a side is kept.
    pub crop: bool,
    /// Samples in a batch, at least 1. Without `crop` sizes differ and every batch holds one sample.
    pub batch_size: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Batches that are made ahead, at least 1.
    pub prefetch_batches: usize,
    /// Largest picture or label map that is decoded.
    pub limits: DecodeLimits,
    /// Longest time that a batch is waited for.
    pub patience: Duration,
}

impl Default for EvaluationSettings {
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

/// Why a data set cannot be measured on.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The picture cannot be used.
    #[error("the picture {}: {source}", shown(path))]
    Picture {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        source: SampleError,
    },
    /// The label map cannot be used.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Picture and label map do not fit each other.
    #[error(
        "the picture {} has {} x {} pixels, its label map {} has {} x {}; both must have one size \
         (a picture that its EXIF data turn is turned before this is checked)",
        shown(picture), picture_size[0], picture_size[1], shown(label), label_size[0], label_size[1]
    )]
    Sizes {
        /// The picture.
        picture: PathBuf,
        /// Its width and height in pixels.
        picture_size: [u32; 2],
        /// The label map.
        label: PathBuf,
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
        /// How long it was waited for.
        seconds: u64,
        /// The pictures that were being read.
        reading: Vec<String>,
    },
}

impl From<Failure> for EvaluationError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Panicked(message) => Self::WorkerPanicked { message },
            Failure::Stalled(seconds, reading) => Self::Stalled { seconds, reading },
        }
    }
}
