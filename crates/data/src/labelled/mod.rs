//! Labelled data sets in the layouts that they are published in: which pictures a split has and where their labels are.
//!
//! Training needs no label: [`training_pictures`] takes any folder of pictures. Evaluation opens a [`LabelledSet`].

mod layout;
mod spelling;
mod survey;

use std::io;
use std::path::{Path, PathBuf};

use densesiam_text::{NotText, ReadError, shown};

use crate::index::{ImageIndex, IndexError, Place};
use crate::taxonomy::{Taxonomy, TaxonomyError};

use spelling::Spelling;

pub use layout::{CLASS_FILE, Layout};
pub use survey::{LabelFinding, LabelProblem, LabelSurvey, names_listed};

/// A picture and its label map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledPicture {
    /// The picture file.
    pub picture: PathBuf,
    /// The label map, a PNG file.
    pub label: PathBuf,
}

/// One split of a data set whose pictures all have a label map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSet {
    /// Layout and split, for example `camvid val`.
    pub name: String,
    /// What the label values mean.
    pub taxonomy: Taxonomy,
    /// The pictures in the order of their paths' bytes.
    pub pictures: Vec<LabelledPicture>,
}

/// Why there is no labelled data set.
#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    /// No layout was recognised.
    #[error(
        "{} has no layout that is known here; looked for {}; name the layout if it is one of these, \
         or arrange the files as ROOT/SPLIT/images, ROOT/SPLIT/labels and ROOT/{CLASS_FILE}",
        shown(root),
        Layout::LOOKED_FOR
    )]
    UnknownLayout {
        /// The folder that was looked at.
        root: PathBuf,
    },
    /// The layout lacks a folder or file of the split.
    #[error(
        "the {layout} layout of split {split:?} needs one of these, and none is there: {}; \
         check data.root and the name of the split",
        listed(tried)
    )]
    MissingPart {
        /// The layout.
        layout: Layout,
        /// The split.
        split: String,
        /// What was looked for.
        tried: Vec<PathBuf>,
    },
    /// A picture has no label map.
    #[error(
        "the picture {} has no label map; {} is not there{}: add it or remove the picture",
        shown(picture),
        shown(label),
        but_there_is(near)
    )]
    MissingLabel {
        /// The picture.
        picture: PathBuf,
        /// Where its label map should lie.
        label: PathBuf,
        /// Some files beside it that are called alike.
        near: Vec<PathBuf>,
    },
    /// The pictures lie in shards, which pair no picture with its label map.
    #[error("{place}: labelled pictures are read from files of their own; unpack the shards")]
    InShards {
        /// The first picture.
        place: String,
    },
    /// A picture of the split's list is not there.
    #[error("the picture {} of the split's list is not there; download the data set again", shown(picture))]
    MissingPicture {
        /// Where the picture should lie.
        picture: PathBuf,
    },
    /// The curated lists of COCO have only two splits.
    #[error("the coco27 layout has the splits train and val, not {split:?}")]
    NoCuratedList {
        /// The split that was asked for.
        split: String,
    },
    /// A list of the data set cannot be read.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", shown(path))]
    Unreadable {
        /// The list.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list of the data set is no text.
    #[error("{} is not a list of names: {reason}", shown(path))]
    NotAList {
        /// The list.
        path: PathBuf,
        /// What it is instead.
        reason: NotText,
    },
    /// There are no pictures.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// There is no usable class list.
    #[error(transparent)]
    Taxonomy(#[from] TaxonomyError),
}

fn but_there_is(near: &[PathBuf]) -> String {
    if near.is_empty() { String::new() } else { format!(" (there is {})", listed(near)) }
}

impl DataSetError {
    fn list(path: PathBuf, error: ReadError) -> Self {
        match error {
            ReadError::System(source) => Self::Unreadable { path, source },
            ReadError::NotText(reason) => Self::NotAList { path, reason },
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path).to_string()).collect::<Vec<_>>().join(", ")
}

impl LabelledSet {
    /// Opens a split. Without `layout` it is recognised from what lies in `root`; without `taxonomy` it is the
    /// layout's own ([`Layout::taxonomy`]).
    ///
    /// # Errors
    /// A [`DataSetError`] that says what was looked for; a missing label names its picture.
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
        let pictures = (0..index.len()).map(|number| {
            let Place::File(picture) = index.place(number) else {
                return Err(DataSetError::InShards { place: index.place(number).to_string() });
            };
            match (picture.is_file(), split_files.label_of(&index.relative_path(number), &spelling)) {
                (false, _) => Err(DataSetError::MissingPicture { picture }),
                (true, Ok(label)) => Ok(LabelledPicture { picture, label }),
                (true, Err(label)) => {
                    let near = spelling.near(&label);
                    Err(DataSetError::MissingLabel { picture, label, near })
                }
            }
        });
        let pictures = pictures.collect::<Result<_, _>>()?;
        Ok(Self { name: format!("{layout} {split}"), taxonomy, pictures })
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Never true for a set that was opened: a split without pictures is an error.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }
}

/// The pictures of a split for training, labels or not: those of the layout, given or recognised; else those of
/// `ROOT/SPLIT/images`, `ROOT/images/SPLIT` or `ROOT/images`; else every picture in `root` and its subfolders, or in
/// the list file or the tar shards that it names ([`ImageIndex::scan`]).
///
/// # Errors
/// A [`DataSetError`] where there is no picture or a given layout does not fit.
pub fn training_pictures(
    root: &Path,
    layout: Option<Layout>,
    split: &str,
) -> Result<ImageIndex, DataSetError> {
    match layout.map_or_else(|| Layout::detect(root), Ok) {
        Ok(layout) => layout.pictures(root, split),
        Err(DataSetError::UnknownLayout { .. }) => {
            let folder = layout::picture_folders(root, split).into_iter().find(|folder| folder.is_dir());
            Ok(ImageIndex::scan(folder.as_deref().unwrap_or(root))?)
        }
        Err(other) => Err(other),
    }
}
