//! Checks the files of a labelled data set one by one, before a training or a score depends on them.

use std::ops::Range;
use std::path::Path;

use densesiam_text::shown;

use super::reading::{ReadingScratch, read_picture};
use super::set::Split;
use super::{DataSetError, LabelError, LabelMap, LabelledSet, Layout, Taxonomy};
use crate::check::{Fault, examined};
use crate::decode::DecodeLimits;

/// The pictures of a split that have a label map, to be examined, and what is missing for the others.
#[derive(Debug)]
pub struct LabelCheck {
    set: LabelledSet,
    /// Pictures without a label map, pictures of a list that are not there, and label maps without a picture.
    pub missing: Vec<Fault>,
}

impl LabelCheck {
    /// Pairs pictures and label maps as [`LabelledSet::open`] does, without an end at the first that is missing.
    ///
    /// # Errors
    /// A [`DataSetError`] if layout, folders, lists or classes are missing, or the pictures are in shards.
    pub fn open(
        root: &Path,
        layout: Option<Layout>,
        split: &str,
        taxonomy: Option<Taxonomy>,
    ) -> Result<Self, DataSetError> {
        let split = Split::open(root, layout, split, taxonomy)?;
        let (mut samples, mut missing) = (Vec::new(), Vec::new());
        for sample in split.samples() {
            let kind = match sample {
                Ok(sample) => {
                    samples.push(sample);
                    continue;
                }
                Err(DataSetError::MissingLabel { .. }) => "pictures without label map",
                Err(DataSetError::MissingPicture { .. }) => "listed pictures not there",
                Err(other) => return Err(other),
            };
            missing.extend(sample.err().map(|error| Fault::new(kind, error)));
        }
        let alone = split.labels_without_picture();
        missing.extend(alone.iter().map(|path| {
            let why = format!("the label map {} belongs to no picture", shown(path));
            Fault::new("label maps without picture", why)
        }));
        Ok(Self { set: split.into_set(samples), missing })
    }

    /// Number of pictures that have a label map; 0 if none has.
    pub fn pairs(&self) -> usize {
        self.set.len()
    }

    /// The pictures that have a label map; this set may be empty.
    pub fn set(&self) -> &LabelledSet {
        &self.set
    }

    /// Reads consecutive pictures and label maps on `workers` threads (at least 1): those that cannot be read, whose sizes
    /// differ, or that hold label values outside the classes; in the order of the set.
    pub fn examine(&self, range: Range<usize>, limits: &DecodeLimits, workers: usize) -> Vec<Fault> {
        examined(range, workers, |part| {
            let mut scratch = ReadingScratch::default();
            part.flat_map(|sample| self.faults_of(sample, limits, &mut scratch)).collect()
        })
    }

    /// At most one of the picture and one of the label map.
    fn faults_of(
        &self,
        sample: usize,
        limits: &DecodeLimits,
        scratch: &mut ReadingScratch,
    ) -> impl Iterator<Item = Fault> + use<> {
        let picture = self.set.picture(sample);
        let read = read_picture(&picture, limits, scratch);
        let labels = match &read {
            Ok([width, height]) => self.set.label_map(sample, [*width, *height], limits),
            Err(_) => LabelMap::read(&self.set.label(sample), &self.set.taxonomy, limits),
        };
        let of_picture = read
            .err()
            .map(|error| Fault::new("unreadable pictures", format_args!("the picture {picture}: {error}")));
        let of_label = labels.err().map(|error| Fault::new(kind(&error), error));
        of_picture.into_iter().chain(of_label)
    }
}

fn kind(error: &LabelError) -> &'static str {
    match error {
        LabelError::Sizes { .. } => "sizes differ",
        LabelError::Outside { .. } => "values outside the classes",
        LabelError::Read { .. }
        | LabelError::NotPng { .. }
        | LabelError::NotIndexed { .. }
        | LabelError::TooLarge { .. } => "unreadable label maps",
    }
}
