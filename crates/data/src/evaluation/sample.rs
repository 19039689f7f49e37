//! One picture and its labels.

use std::fmt;
use std::path::Path;

use super::{EvaluationError, EvaluationSettings};
use crate::decode::{DecodeLimits, decode_into};
use crate::frame::Frame;
use crate::image::RgbImage;
use crate::index::read_file;
use crate::label::LabelMap;
use crate::labelled::LabelledSet;
use crate::loader::SampleError;
use crate::resize::{ResizeScratch, resize_region};

/// A picture and the class of each of its pixels, of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationSample {
    /// Number of the picture in its set.
    pub sample: usize,
    /// The scaled picture.
    pub image: RgbImage,
    /// The class of each of its pixels, 255 is void.
    pub labels: LabelMap,
}

/// Memory for reading samples; one for each worker.
#[derive(Default)]
pub struct EvaluationScratch {
    bytes: Vec<u8>,
    image: RgbImage,
    resize: ResizeScratch,
}

impl fmt::Debug for EvaluationScratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EvaluationScratch").finish_non_exhaustive()
    }
}

/// Reads picture `sample` of the set (below [`LabelledSet::len`]) and its labels, exactly as the loader does.
///
/// # Errors
/// An [`EvaluationError`] that names the file at fault.
pub fn evaluation_sample(
    set: &LabelledSet,
    sample: usize,
    settings: &EvaluationSettings,
    scratch: &mut EvaluationScratch,
) -> Result<EvaluationSample, EvaluationError> {
    let files = &set.pictures[sample];
    let EvaluationScratch { bytes, image, resize } = scratch;
    read_picture(&files.picture, &settings.limits, bytes, image)
        .map_err(|source| EvaluationError::Picture { path: files.picture.clone(), source })?;
    let labels = LabelMap::read(&files.label, &set.taxonomy, &settings.limits)?;
    if (labels.width, labels.height) != (image.width, image.height) {
        return Err(EvaluationError::Sizes {
            picture: files.picture.clone(),
            picture_size: [image.width, image.height],
            label: files.label.clone(),
            label_size: [labels.width, labels.height],
        });
    }
    let frame = if settings.crop { Frame::centred } else { Frame::scaled };
    let frame = frame((image.width, image.height), settings.size);
    let (width, height) = frame.size();
    let mut scaled = RgbImage::new(width, height);
    resize_region(image, &frame.region(), (width, height), resize, &mut scaled.pixels)?;
    Ok(EvaluationSample { sample, image: scaled, labels: nearest(&labels, &frame) })
}

fn read_picture(
    path: &Path,
    limits: &DecodeLimits,
    bytes: &mut Vec<u8>,
    image: &mut RgbImage,
) -> Result<(), SampleError> {
    read_file(path, bytes)?;
    Ok(decode_into(bytes, limits, image)?)
}

fn nearest(labels: &LabelMap, frame: &Frame) -> LabelMap {
    let (columns, rows) = (frame.nearest(0), frame.nearest(1));
    let (width, height) = frame.size();
    let row_of = |row: usize| &labels.classes[row * labels.width as usize..][..labels.width as usize];
    let classes = rows.into_iter().flat_map(|row| columns.iter().map(move |&column| row_of(row)[column]));
    LabelMap { width, height, classes: classes.collect() }
}
