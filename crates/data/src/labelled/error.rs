//! Why a labelled data set cannot be opened.

use std::io;
use std::path::PathBuf;

use densesiam_text::{NotText, ReadError, shown};

use super::{CLASS_FILE, Layout, TaxonomyError};
use crate::index::IndexError;

/// Why a labelled data set cannot be opened.
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
        /// The folder that was examined.
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
        /// The paths that were tried.
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
        /// Where its label map should be.
        label: PathBuf,
        /// Some files beside it with similar names.
        near: Vec<PathBuf>,
    },
    /// The pictures are in shards, which do not pair a picture with its label map.
    #[error("{place}: labelled pictures are read from files of their own; unpack the shards")]
    InShards {
        /// The first picture.
        place: String,
    },
    /// A picture in the split's list does not exist.
    #[error("the picture {} of the split's list is not there; download the data set again", shown(picture))]
    MissingPicture {
        /// Where the picture should be.
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
    /// A list of the data set is not text.
    #[error("{} is not a list of names: {reason}", shown(path))]
    NotAList {
        /// The list.
        path: PathBuf,
        /// What the file seems to be instead.
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
    pub(super) fn list(path: PathBuf, error: ReadError) -> Self {
        match error {
            ReadError::System(source) => Self::Unreadable { path, source },
            ReadError::NotText(reason) => Self::NotAList { path, reason },
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path).to_string()).collect::<Vec<_>>().join(", ")
}
