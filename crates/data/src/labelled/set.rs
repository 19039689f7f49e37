//! The pictures of a split with their label maps, and the pictures of a split for training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{SplitFiles, picture_folders};
use super::spelling::Spelling;
use super::{DataSetError, LabelError, LabelMap, Layout, Taxonomy};
use crate::decode::DecodeLimits;
use crate::index::{ImageIndex, IndexError, Place};
use crate::order::Part;

/// One split of a data set whose pictures all have a label map.
#[derive(Clone, Debug)]
pub struct LabelledSet {
    /// Layout and split, for example `camvid val`.
    pub name: String,
    /// What the label values mean.
    pub taxonomy: Taxonomy,
    /// All pictures of the split, in the order of their paths' bytes.
    index: Arc<ImageIndex>,
    /// The pictures of the set.
    samples: Vec<Sample>,
}

/// A picture, by its number in the index, and its label map, a PNG file.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    picture: usize,
    label: PathBuf,
}

/// A split whose pictures may lack their label maps.
pub(super) struct Split {
    name: String,
    taxonomy: Taxonomy,
    files: SplitFiles,
    spelling: Spelling,
}

impl Split {
    /// The arguments are those of [`LabelledSet::open`].
    pub(super) fn open(
        root: &Path,
        layout: Option<Layout>,
        split: &str,
        taxonomy: Option<Taxonomy>,
    ) -> Result<Self, DataSetError> {
        let layout = layout.map_or_else(|| Layout::detect(root), Ok)?;
        let mut taxonomy = taxonomy.map_or_else(|| layout.taxonomy(root), Ok)?;
        let spelling = Spelling::default();
        let mut files = layout.split(root, split, &spelling)?;
        let evaluated = layout == Layout::Cityscapes && taxonomy == Taxonomy::cityscapes19();
        if evaluated && files.take_train_ids(&spelling) {
            taxonomy = Taxonomy::cityscapes19_by_train_id();
        }
        Ok(Self { name: format!("{layout} {split}"), taxonomy, files, spelling })
    }

    /// Each picture with its label map, or what is missing.
    pub(super) fn samples(&self) -> impl Iterator<Item = Result<Sample, DataSetError>> {
        let index = &self.files.pictures;
        (0..index.len()).map(|number| {
            let Place::File(picture) = index.place(number) else {
                return Err(DataSetError::InShards { place: index.place(number).to_string() });
            };
            match (picture.is_file(), self.files.label_of(&index.relative_path(number), &self.spelling)) {
                (false, _) => Err(DataSetError::MissingPicture { picture }),
                (true, Ok(label)) => Ok(Sample { picture: number, label }),
                (true, Err(label)) => {
                    let near = self.spelling.near(&label);
                    Err(DataSetError::MissingLabel { picture, label, near })
                }
            }
        })
    }

    /// The label maps that belong to no picture.
    pub(super) fn labels_without_picture(&self) -> Vec<PathBuf> {
        self.files.labels_without_picture(&self.spelling)
    }

    /// The set of these samples.
    pub(super) fn into_set(self, samples: Vec<Sample>) -> LabelledSet {
        let Self { name, taxonomy, files, .. } = self;
        LabelledSet { name, taxonomy, index: Arc::new(files.pictures), samples }
    }
}

impl LabelledSet {
    /// Opens a split. Without `layout`, the layout is recognised from the contents of `root`; without `taxonomy`, the
    /// layout's own is used ([`Layout::taxonomy`]).
    ///
    /// # Errors
    /// A [`DataSetError`] that says what was searched for; the error for a missing label names its picture.
    pub fn open(
        root: &Path,
        layout: Option<Layout>,
        split: &str,
        taxonomy: Option<Taxonomy>,
    ) -> Result<Self, DataSetError> {
        let split = Split::open(root, layout, split, taxonomy)?;
        let samples = split.samples().collect::<Result<_, _>>()?;
        Ok(split.into_set(samples))
    }

    /// An index of exactly the set's pictures in its order, for training on them: a sample has the same number in both.
    ///
    /// # Errors
    /// An [`IndexError`] if the set has no picture, which one that was opened has.
    pub fn index(&self) -> Result<Arc<ImageIndex>, IndexError> {
        if self.len() == self.index.len() {
            return Ok(Arc::clone(&self.index));
        }
        // Names are kept in the order of their bytes, and so are samples.
        let names = self.samples.iter().map(|sample| self.index.relative_path(sample.picture).into_owned());
        Ok(Arc::new(ImageIndex::from_names(self.index.root(), names)?))
    }

    /// Where the bytes of picture `sample` are, below [`LabelledSet::len`].
    pub fn picture(&self, sample: usize) -> Place<'_> {
        self.index.place(self.samples[sample].picture)
    }

    /// Where the bytes of the label map of picture `sample` are.
    pub fn label(&self, sample: usize) -> Place<'_> {
        Place::File(self.samples[sample].label.clone())
    }

    /// Reads the label map of picture `sample`, which has this width and height in pixels.
    ///
    /// # Errors
    /// A [`LabelError`] that names the label map, also if its size is another one.
    pub fn label_map(
        &self,
        sample: usize,
        picture_size: [u32; 2],
        limits: &DecodeLimits,
    ) -> Result<LabelMap, LabelError> {
        let label = self.label(sample);
        let labels = LabelMap::read(&label, &self.taxonomy, limits)?;
        let label_size = [labels.width, labels.height];
        if label_size == picture_size {
            return Ok(labels);
        }
        let (picture, label) = (self.picture(sample).to_string(), label.to_string());
        Err(LabelError::Sizes { picture, picture_size, label, label_size })
    }

    /// Keeps only `count` pictures (at least 1), evenly spaced, if there are more.
    pub fn thin_out(&mut self, count: usize) {
        let all = self.len();
        if count < all {
            self.samples = (0..count).map(|number| self.samples[number * all / count].clone()).collect();
        }
    }

    /// One of several parts of the set; `None` if that part has no picture.
    pub fn part(self: &Arc<Self>, part: Part) -> Option<Arc<Self>> {
        if part == Part::WHOLE {
            return Some(Arc::clone(self));
        }
        let samples = self.samples[part.places(self.len())].to_vec();
        (!samples.is_empty()).then(|| Arc::new(Self { samples, ..Self::clone(self) }))
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Never true for a set that was opened: a split without pictures is an error.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// The pictures of a split for training, with or without labels: those of the layout, given or recognised; else those
/// of `ROOT/SPLIT/images`, `ROOT/images/SPLIT` or `ROOT/images`; else every picture in `root` and its subfolders, or in
/// the list file or the tar shards that it names ([`ImageIndex::scan`]).
///
/// # Errors
/// A [`DataSetError`] if there is no picture, or if the given layout does not fit.
pub fn training_pictures(
    root: &Path,
    layout: Option<Layout>,
    split: &str,
) -> Result<ImageIndex, DataSetError> {
    match layout.map_or_else(|| Layout::detect(root), Ok) {
        Ok(layout) => layout.pictures(root, split),
        Err(DataSetError::UnknownLayout { .. }) => {
            let folder = picture_folders(root, split).into_iter().find(|folder| folder.is_dir());
            Ok(ImageIndex::scan(folder.as_deref().unwrap_or(root))?)
        }
        Err(other) => Err(other),
    }
}
