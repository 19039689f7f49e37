//! Reads whole pictures for prediction, in the order of their index, prepared in advance by worker threads. Each is
//! resampled to the size at which the model sees it.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, mem};

use crate::decode::{DecodeLimits, decode_into};
use crate::frame::Frame;
use crate::image::RgbImage;
use crate::index::ImageIndex;
use crate::loader::each::{Each, Work};
use crate::loader::prefetch::Prefetch;
use crate::loader::{LoadError, SampleError};
use crate::resize::{ResizeScratch, resize_to};
use crate::views::ApplyError;

/// How pictures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Shorter side at which the model sees a picture, in pixels, at least 1.
    pub size: u32,
    /// Whether the decoded pictures are kept too.
    pub keep_decoded: bool,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Pictures that may be ready in advance, at least 1.
    pub ahead: usize,
    /// Once those pictures hold this number of bytes, only the next picture is begun. Each worker holds one more
    /// picture.
    pub ahead_bytes: usize,
    /// Largest picture that is decoded.
    pub limits: DecodeLimits,
    /// The longest time to wait for a picture.
    pub patience: Duration,
}

/// A picture as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPicture {
    /// Width and height of the decoded picture in pixels.
    pub size: [u32; 2],
    /// The decoded picture, if it is kept.
    pub decoded: Option<RgbImage>,
    /// The resampled picture that the model sees.
    pub seen: RgbImage,
}

impl ReadPicture {
    /// Bytes of its pixels.
    pub fn bytes(&self) -> usize {
        self.seen.pixels.len() + self.decoded.as_ref().map_or(0, |picture| picture.pixels.len())
    }
}

/// The running workers. Dropping it ends them.
pub struct Reader {
    prefetch: Prefetch<Each<Reading>>,
}

impl Reader {
    /// Starts the workers on all pictures of the index.
    ///
    /// # Errors
    /// A [`LoadError`] if no thread can be started.
    pub fn new(index: Arc<ImageIndex>, settings: ReaderSettings) -> Result<Self, LoadError> {
        let (pictures, workers, ahead) = (0..index.len() as u64, settings.workers, settings.ahead);
        Ok(Self { prefetch: Prefetch::start(Each(Reading { index, settings }), pictures, workers, ahead)? })
    }

    /// Waits at most a second for the next picture. Returns whether it is ready, or all pictures are done.
    ///
    /// # Errors
    /// A [`LoadError`] if the storage does not answer, or a worker panicked.
    pub fn ready(&mut self) -> Result<bool, LoadError> {
        Ok(self.prefetch.ready()?)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Iterator for Reader {
    /// A picture, or what is wrong with it; or the error that the storage does not answer or that a worker panicked,
    /// after which no more pictures come.
    type Item = Result<Result<ReadPicture, SampleError>, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let draft = self.prefetch.next().map_err(LoadError::from).transpose()?;
        Some(draft.map(|draft| draft.made))
    }
}

/// The work of the worker threads.
struct Reading {
    index: Arc<ImageIndex>,
    settings: ReaderSettings,
}

/// Memory of a worker.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    image: RgbImage,
    resize: ResizeScratch,
}

impl Work for Reading {
    type Made = Result<ReadPicture, SampleError>;
    type Scratch = Scratch;

    fn index(&self) -> &Arc<ImageIndex> {
        &self.index
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }

    fn not_made() -> Self::Made {
        Err(SampleError::Read(io::Error::other("it was not read")))
    }

    fn make(&self, sample: usize, scratch: &mut Scratch) -> Self::Made {
        let Scratch { bytes, image, resize } = scratch;
        self.index.place(sample).read_into(bytes)?;
        decode_into(bytes, &self.settings.limits, image)?;
        let size = [image.width, image.height];
        let [width, height] = size_seen(size, self.settings.size);
        let seen = resize_to(image, width, height, resize).map_err(ApplyError::from)?;
        let decoded = self.settings.keep_decoded.then(|| mem::take(image));
        Ok(ReadPicture { size, decoded, seen })
    }

    fn held(made: &Self::Made) -> usize {
        made.as_ref().map_or(0, ReadPicture::bytes)
    }

    fn room(&self) -> usize {
        self.settings.ahead_bytes
    }
}

/// The size at which the model sees a picture: its shorter side as in evaluation, but the longer side at most 16 times
/// that, so that a strip only a few pixels high is not enlarged without limit.
pub fn size_seen([width, height]: [u32; 2], shorter: u32) -> [u32; 2] {
    let (scaled_width, scaled_height) = Frame::scaled((width, height), shorter).size();
    [scaled_width, scaled_height].map(|side| side.min(LONGEST * shorter))
}

const LONGEST: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_seen_at_the_size_of_evaluation_unless_it_is_a_thread() {
        assert_eq!(size_seen([640, 480], 320), [426, 320]);
        assert_eq!(size_seen([3, 30_000], 320), [320, 5120]);
    }
}
