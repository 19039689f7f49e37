//! Checks the files of a labelled data set one by one, before a training or a score depends on them.

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use super::reading::{ReadingScratch, read_picture};
use super::set::Split;
use super::{DataSetError, LabelError, LabelMap, LabelledSet, Layout, Taxonomy};
use crate::decode::DecodeLimits;

/// The pictures of a split that have a label map, to be examined, and what is missing for the others.
#[derive(Debug)]
pub struct LabelCheck {
    set: LabelledSet,
    /// Pictures without a label map, pictures of a list that are not there, and label maps without a picture.
    pub missing: Vec<LabelFault>,
}

/// What is wrong with a picture or its label map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFault {
    /// The kind of fault, in a few words that are the same for all files of that kind.
    pub kind: &'static str,
    /// What is wrong, with the names of the files.
    pub why: String,
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
            missing.extend(sample.err().map(|error| LabelFault { kind, why: error.to_string() }));
        }
        missing.extend(split.labels_without_picture().into_iter().map(|path| LabelFault {
            kind: "label maps without picture",
            why: format!("the label map {} belongs to no picture", densesiam_text::shown(&path)),
        }));
        Ok(Self { set: split.into_set(samples), missing })
    }

    /// Number of pictures that have a label map; 0 if none has.
    pub fn pairs(&self) -> usize {
        self.set.len()
    }

    /// Reads consecutive pictures and label maps on `workers` threads (at least 1): those that cannot be read, whose sizes
    /// differ, or that hold label values outside the classes; in the order of the set.
    pub fn examine(&self, range: Range<usize>, limits: &DecodeLimits, workers: usize) -> Vec<LabelFault> {
        let workers = workers.clamp(1, range.len().max(1));
        let part = |worker: usize| range.start + range.len() * worker / workers;
        thread::scope(|scope| {
            let look = |worker| move || self.examine_part(part(worker)..part(worker + 1), limits);
            let parts: Vec<_> = (0..workers).map(|worker| scope.spawn(look(worker))).collect();
            let joined =
                parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.flatten().collect()
        })
    }

    fn examine_part(&self, range: Range<usize>, limits: &DecodeLimits) -> Vec<LabelFault> {
        let mut scratch = ReadingScratch::default();
        range.flat_map(|sample| self.faults_of(sample, limits, &mut scratch)).collect()
    }

    /// At most one of the picture and one of the label map.
    fn faults_of(
        &self,
        sample: usize,
        limits: &DecodeLimits,
        scratch: &mut ReadingScratch,
    ) -> impl Iterator<Item = LabelFault> + use<> {
        let picture = self.set.picture(sample);
        let read = read_picture(&picture, limits, scratch);
        let labels = match &read {
            Ok([width, height]) => self.set.label_map(sample, [*width, *height], limits),
            Err(_) => LabelMap::read(&self.set.label(sample), &self.set.taxonomy, limits),
        };
        let of_picture = read.err().map(|error| LabelFault {
            kind: "unreadable pictures",
            why: format!("the picture {picture}: {error}"),
        });
        let of_label = labels.err().map(|error| LabelFault { kind: kind(&error), why: error.to_string() });
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
