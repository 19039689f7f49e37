//! The pictures of a split with their label maps, and the pictures of a split for training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::picture_folders;
use super::spelling::Spelling;
use super::{DataSetError, Layout, Taxonomy};
use crate::index::{ImageIndex, Place};
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
struct Sample {
    picture: usize,
    label: PathBuf,
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
        let layout = layout.map_or_else(|| Layout::detect(root), Ok)?;
        let taxonomy = taxonomy.map_or_else(|| layout.taxonomy(root), Ok)?;
        let spelling = Spelling::default();
        let split_files = layout.split(root, split, &spelling)?;
        let index = &split_files.pictures;
        let samples = (0..index.len()).map(|number| {
            let Place::File(picture) = index.place(number) else {
                return Err(DataSetError::InShards { place: index.place(number).to_string() });
            };
            match (picture.is_file(), split_files.label_of(&index.relative_path(number), &spelling)) {
                (false, _) => Err(DataSetError::MissingPicture { picture }),
                (true, Ok(label)) => Ok(Sample { picture: number, label }),
                (true, Err(label)) => {
                    let near = spelling.near(&label);
                    Err(DataSetError::MissingLabel { picture, label, near })
                }
            }
        });
        let samples = samples.collect::<Result<_, _>>()?;
        let index = Arc::new(split_files.pictures);
        Ok(Self { name: format!("{layout} {split}"), taxonomy, index, samples })
    }

    /// Where the bytes of picture `sample` are, below [`LabelledSet::len`].
    pub fn picture(&self, sample: usize) -> Place<'_> {
        self.index.place(self.samples[sample].picture)
    }

    /// Where the bytes of the label map of picture `sample` are.
    pub fn label(&self, sample: usize) -> Place<'_> {
        Place::File(self.samples[sample].label.clone())
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
