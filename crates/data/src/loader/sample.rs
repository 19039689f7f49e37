//! One sample of a data set: a file read and decoded once, and both of its views.

use std::fmt;
use std::io;

use densesiam_random::{Key, Purpose};

use super::pairs::PairAugmentation;
use crate::augment::{ApplyError, Augmentation, ViewMaker};
use crate::decode::{DecodeError, DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::index::ImageIndex;

/// What a sample is made of: which pictures, and what happens to them.
#[derive(Debug)]
pub struct SampleSource<'a, A = Augmentation> {
    /// The pictures.
    pub index: &'a ImageIndex,
    /// How views are drawn.
    pub augmentation: &'a A,
    /// Seed of the run.
    pub seed: u64,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// Shortest accepted side of a picture, in pixels.
    pub min_side: u32,
}

// Not derived: copying the source does not copy the augmentation.
impl<A> Clone for SampleSource<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for SampleSource<'_, A> {}

/// Why a sample could not be used: the file's fault.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The content is not a usable picture.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The picture is too small.
    #[error("{width} x {height} pixels, smaller than the {min_side} pixels a side that are asked for")]
    TooSmall {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The shortest accepted side.
        min_side: u32,
    },
    /// A view could not be made of it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl SampleError {
    /// The kind of fault in a few words that are the same for all files of that kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read(_) => "cannot be read",
            Self::Decode(error) => error.kind(),
            Self::TooSmall { .. } => "too small",
            Self::Apply(_) => "no view can be made",
        }
    }
}

/// Memory for making samples; one for each worker.
pub struct SampleScratch {
    bytes: Vec<u8>,
    image: RgbImage,
    maker: ViewMaker,
    views: [Vec<u8>; 2],
}

impl fmt::Debug for SampleScratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SampleScratch").finish_non_exhaustive()
    }
}

impl SampleScratch {
    /// For square views of `size` pixels a side.
    pub fn new(size: u32) -> Self {
        let view = vec![0; size as usize * size as usize * 3];
        Self {
            bytes: Vec::new(),
            image: RgbImage::default(),
            maker: ViewMaker::new(size),
            views: [view.clone(), view],
        }
    }

    /// The picture of the last sample, upright.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// Both views of the last sample: `size * size * 3` bytes each, interleaved RGB.
    pub fn views(&self) -> &[Vec<u8>; 2] {
        &self.views
    }
}

/// Reads and decodes picture `sample` and makes its two views of an epoch, exactly as the loader does; they are left
/// in `scratch`.
///
/// # Errors
/// A [`SampleError`] where the file is not a usable picture.
pub fn load_sample<A: PairAugmentation>(
    source: &SampleSource<'_, A>,
    sample: u64,
    epoch: u64,
    scratch: &mut SampleScratch,
) -> Result<A::Pair, SampleError> {
    let SampleScratch { bytes, image, maker, views } = scratch;
    source.index.place(sample as usize).read_into(bytes)?;
    decode_into(bytes, &source.limits, image)?;
    if image.shorter_side() < source.min_side {
        let RgbImage { width, height, .. } = *image;
        return Err(SampleError::TooSmall { width, height, min_side: source.min_side });
    }
    let key = Key::new(source.seed, Purpose::Geometry).epoch(epoch).sample(sample);
    let pair = source.augmentation.draw((image.width, image.height), key);
    A::apply(&pair, maker, image, views)?;
    Ok(pair)
}
