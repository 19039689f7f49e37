//! One sample of a data set: a file read and decoded once, and its views.

use std::fmt;
use std::io;

use densesiam_random::{Key, Purpose};

use crate::decode::{DecodeError, DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::index::ImageIndex;
use crate::views::{ApplyError, Augmentation, DrawError, ViewMaker};

/// The source of samples: the pictures, and how views are made from them.
#[derive(Debug)]
pub struct SampleSource<'a, A> {
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

// Not derived, because copying the source does not copy the augmentation.
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
    /// It has no regions, or no labels.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

impl SampleError {
    /// The kind of fault in a few words that are the same for all files of that kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read(_) => "cannot be read",
            Self::Decode(error) => error.kind(),
            Self::TooSmall { .. } => "too small",
            Self::Apply(_) => "no view can be made",
            Self::Draw(DrawError::Regions(_)) => "no regions",
            Self::Draw(DrawError::Labels(_)) => "no labels",
        }
    }
}

/// Memory for making samples; one for each worker.
pub struct SampleScratch {
    bytes: Vec<u8>,
    image: RgbImage,
    maker: ViewMaker,
    sizes: Vec<u32>,
    views: Vec<Vec<u8>>,
}

impl fmt::Debug for SampleScratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SampleScratch").finish_non_exhaustive()
    }
}

impl SampleScratch {
    /// For views of these sizes ([`Augmentation::sizes`]), in pixels a side; of none, for one view whose size is drawn.
    pub fn new(sizes: &[u32]) -> Self {
        let view = |&size: &u32| vec![0; size as usize * size as usize * 3];
        let views = if sizes.is_empty() { vec![Vec::new()] } else { sizes.iter().map(view).collect() };
        Self {
            bytes: Vec::new(),
            image: RgbImage::default(),
            maker: ViewMaker::new(0),
            sizes: sizes.to_vec(),
            views,
        }
    }

    /// The picture of the last sample, upright.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// The views of the last sample: `size * size * 3` bytes each, interleaved RGB, or `height * width * 3` of the one view
    /// whose size was drawn.
    pub fn views(&self) -> &[Vec<u8>] {
        &self.views
    }

    /// Takes the one view whose size was drawn, and leaves the memory of `other` in its place.
    pub(super) fn swap_view(&mut self, other: &mut Vec<u8>) {
        std::mem::swap(&mut self.views[0], other);
    }
}

/// Reads and decodes picture `sample` and makes its views of an epoch, exactly as the loader does; they are left
/// in `scratch`.
///
/// # Errors
/// A [`SampleError`] if the file is not a usable picture.
pub fn load_sample<A: Augmentation>(
    source: &SampleSource<'_, A>,
    sample: u64,
    epoch: u64,
    scratch: &mut SampleScratch,
) -> Result<A::Drawn, SampleError> {
    let SampleScratch { bytes, image, maker, sizes, views } = scratch;
    source.index.place(sample as usize).read_into(bytes)?;
    decode_into(bytes, &source.limits, image)?;
    if image.shorter_side() < source.min_side {
        let RgbImage { width, height, .. } = *image;
        return Err(SampleError::TooSmall { width, height, min_side: source.min_side });
    }
    let key = Key::new(source.seed, Purpose::Geometry).epoch(epoch).sample(sample);
    let drawn = source.augmentation.draw((image.width, image.height), key)?;
    if let Some([width, height]) = source.augmentation.drawn_size(&drawn) {
        views[0].resize(width as usize * height as usize * 3, 0);
        source.augmentation.apply(&drawn, 0, image, maker, &mut views[0])?;
    }
    for (view, (&size, out)) in sizes.iter().zip(views).enumerate() {
        maker.set_size(size);
        source.augmentation.apply(&drawn, view, image, maker, out)?;
    }
    Ok(drawn)
}
