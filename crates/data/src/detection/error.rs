//! Why a data set of objects cannot be opened.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use densesiam_text::{NotText, ReadError, shown};

use super::{VocFault, VocPart};
use crate::index::IndexError;

/// Why a data set of objects cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DetectionError {
    /// No part was asked for.
    #[error(
        "no part of the data set is named; name one as YEAR/SPLIT, for example 2007/trainval, or as SPLIT"
    )]
    NoPart,
    /// A folder or list of a part is missing.
    #[error(
        "{part} of the PASCAL VOC layout needs {}, which is not there; check data.root (it holds VOC2007 and the like, or \
         Annotations, ImageSets and JPEGImages) and the name of the split",
        shown(missing)
    )]
    MissingPart {
        /// The part.
        part: VocPart,
        /// What is missing.
        missing: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The list of a split is not text.
    #[error("{} is not a list of names: {reason}", shown(path))]
    NotAList {
        /// The list.
        path: PathBuf,
        /// What the file seems to be instead.
        reason: NotText,
    },
    /// The lists of the splits name no picture.
    #[error("{set} has no picture: its lists are empty; a list holds one name a line, without an extension")]
    NoPicture {
        /// The set.
        set: String,
    },
    /// A listed picture does not exist.
    #[error("the picture {} of the split's list is not there; download the data set again", shown(picture))]
    MissingPicture {
        /// Where it should be.
        picture: PathBuf,
    },
    /// A listed picture has no annotation.
    #[error(
        "the picture {} has no annotation; {} is not there: add it (without objects, if there are none) or take the picture \
         off the list",
        shown(picture),
        shown(annotation)
    )]
    MissingAnnotation {
        /// The picture.
        picture: PathBuf,
        /// Where its annotation should be.
        annotation: PathBuf,
    },
    /// An annotation cannot be used.
    #[error("the annotation {}: {fault}", shown(path))]
    Annotation {
        /// The annotation.
        path: PathBuf,
        /// What is wrong with it.
        fault: VocFault,
    },
    /// An annotation names a class that the list of classes lacks.
    #[error(
        "{place} names the class {}, which is not among {}; add it to the list of classes or correct the annotation",
        shown(class),
        listed(classes)
    )]
    UnknownClass {
        /// The annotation, and its file.
        place: String,
        /// The class.
        class: String,
        /// The classes of the list.
        classes: Vec<String>,
    },
    /// No annotation names a class of the list.
    #[error(
        "no annotation of {set} names the class {}; take it off the list of classes, or correct it (found: {})",
        shown(class),
        listed(found)
    )]
    AbsentClass {
        /// The set.
        set: String,
        /// The class.
        class: String,
        /// The classes that are named.
        found: Vec<String>,
    },
    /// The list of classes cannot be used.
    #[error("the list of classes of {set} {fault}")]
    ClassList {
        /// The set.
        set: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// No picture has an object.
    #[error(
        "none of the {pictures} pictures of {set} has an object to learn from; check that the annotations are complete"
    )]
    NothingAnnotated {
        /// The set.
        set: String,
        /// How many pictures it has.
        pictures: usize,
    },
    /// No object has an outline, from which masks are learnt.
    #[error(
        "none of the {pictures} pictures of {set} has an object with an outline, from which masks could be learnt; set \
         detector.masks = false"
    )]
    NoOutline {
        /// The set.
        set: String,
        /// How many pictures it has.
        pictures: usize,
    },
    /// Annotations and pictures do not fit each other: a bug of the reader.
    #[error("{set} has {pictures} pictures and {annotations} annotations; please report this as a bug")]
    Count {
        /// The set.
        set: String,
        /// Its pictures.
        pictures: usize,
        /// Its annotations.
        annotations: usize,
    },
    /// A folder has no annotations of a split in COCO's format.
    #[error(
        "the split {split} has no annotations in COCO's format: there is no {}; name another split, or the path of a .json file \
         below data.root",
        joined(tried, ", no ")
    )]
    NoAnnotations {
        /// The split.
        split: String,
        /// The files that would have been its annotations.
        tried: Vec<PathBuf>,
    },
    /// COCO's annotations list no picture.
    #[error("{} lists no picture; check that it is complete", shown(annotations))]
    NoPictureListed {
        /// The annotations.
        annotations: PathBuf,
    },
    /// The pictures of COCO's annotations are nowhere near them.
    #[error(
        "the pictures of {} were not found: {} and the next ones lie in none of {}; unpack the pictures into one of these folders",
        shown(annotations),
        shown(first),
        joined(tried, ", ")
    )]
    NoPictures {
        /// The annotations.
        annotations: PathBuf,
        /// What they call the first picture.
        first: PathBuf,
        /// The folders that were looked into.
        tried: Vec<PathBuf>,
    },
    /// COCO's annotations cannot be used.
    #[error(transparent)]
    Coco(#[from] super::CocoError),
    /// The pictures cannot be indexed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl DetectionError {
    pub(super) fn list(path: PathBuf, error: ReadError) -> Self {
        match error {
            ReadError::System(source) => Self::Unreadable { path, source },
            ReadError::NotText(reason) => Self::NotAList { path, reason },
        }
    }
}

fn listed(names: &[String]) -> String {
    joined(names, ", ")
}

fn joined(names: &[impl AsRef<OsStr>], separator: &str) -> String {
    names.iter().map(|name| shown(name).to_string()).collect::<Vec<_>>().join(separator)
}
