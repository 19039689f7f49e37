//! Errors of COCO's files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use densesiam_geometry::mask::MaskError;
use densesiam_text::{NotText, shown};

/// Why a file of COCO cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", shown(path))]
pub struct CocoError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: CocoFault,
}

/// An entry of a file, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CocoEntry {
    /// An annotation, by its id.
    Annotation(u64),
    /// An entry of a list without ids, by its position from 0.
    Position(usize),
}

impl fmt::Display for CocoEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(id) => write!(formatter, "annotation {id}"),
            Self::Position(position) => write!(formatter, "entry {position} (counted from 0)"),
        }
    }
}

/// What is wrong with a file of COCO.
#[derive(Debug, thiserror::Error)]
pub enum CocoFault {
    /// The file system refused.
    #[error("cannot be read: {0}; check the path")]
    Unreadable(io::Error),
    /// The file system refused to write.
    #[error("cannot be written: {0}; check that there is room and that you may write there")]
    Unwritable(io::Error),
    /// The file is too large to be one of COCO's.
    #[error("has {bytes} bytes, more than the {limit} that are read; split it by pictures")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is of another kind.
    #[error("is no JSON: {0}")]
    NotText(NotText),
    /// The file has no content.
    #[error("is empty; download or write it again")]
    Empty,
    /// The file ends too early.
    #[error("ends in {place}, before its last bracket; download or write it again")]
    Cut {
        /// Where it ends.
        place: String,
    },
    /// The file is not what COCO's files are.
    #[error("is no file of COCO{}: {source}{}", of_entry(place), hint(source))]
    Json {
        /// The entry, if it is in one.
        place: Option<String>,
        /// What was expected.
        source: serde_json::Error,
    },
    /// A part of the file is missing.
    #[error("has no list {0:?}; a file of COCO has the lists images, annotations and categories")]
    NoList(&'static str),
    /// A picture or a category is there twice.
    #[error("has the {what} {id} twice; ids must be unique")]
    Twice {
        /// `picture` or `category`.
        what: &'static str,
        /// Its id.
        id: u64,
    },
    /// A picture that no mask can have.
    #[error("picture {id} has {width} x {height} pixels; a side must have 1 to {longest}")]
    PictureSize {
        /// Its id.
        id: u64,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The longest side that is read.
        longest: u32,
    },
    /// A picture without a usable path.
    #[error(
        "the picture {id} has the file_name {name:?}, which is not the path of a file below the folder of the pictures; write it \
         relative to that folder"
    )]
    PictureName {
        /// Its id.
        id: u64,
        /// What the file calls it.
        name: String,
    },
    /// An entry of a picture that is not in the ground truth.
    #[error("{entry} belongs to the picture {picture}, which is not among the pictures of the ground truth")]
    UnknownPicture {
        /// The entry.
        entry: CocoEntry,
        /// The picture's id.
        picture: u64,
    },
    /// A detection of a category that is not in the ground truth.
    #[error(
        "{entry} is of the category {category}, which is not among the categories of the ground truth; write the ids of \
         the ground truth's file, not class numbers"
    )]
    UnknownCategory {
        /// The entry.
        entry: CocoEntry,
        /// The category's id.
        category: u64,
    },
    /// A mask that is none.
    #[error("the mask of {entry} is damaged: {source}")]
    Mask {
        /// The entry.
        entry: CocoEntry,
        /// What is wrong with it.
        source: MaskError,
    },
    /// A mask of another picture.
    #[error(
        "the mask of {entry} has {} x {} pixels (height x width), and its picture {} x {}",
        mask[0], mask[1], picture[0], picture[1]
    )]
    MaskSize {
        /// The entry.
        entry: CocoEntry,
        /// Height and width of the mask.
        mask: [u32; 2],
        /// Height and width of the picture.
        picture: [u32; 2],
    },
    /// Masks that would take more memory than pictures can need.
    #[error("the outline of {entry} is longer than any object's, or those before it are; remove it")]
    Intricate {
        /// The entry.
        entry: CocoEntry,
    },
    /// Masks are scored and there is none.
    #[error("{entry} has no mask (`segmentation`); score boxes instead, or add it")]
    NoMask {
        /// The entry.
        entry: CocoEntry,
    },
    /// Boxes are scored and there is none.
    #[error("{entry} has neither a box (`bbox`) nor a mask (`segmentation`)")]
    NoBox {
        /// The entry.
        entry: CocoEntry,
    },
    /// A detected box has its corners the wrong way round.
    #[error(
        "the box of {entry} is {width} wide and {height} high; a box is [x, y, width, height], from its left upper corner"
    )]
    NegativeBox {
        /// The entry.
        entry: CocoEntry,
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
    /// A detection without a score.
    #[error("{entry} has no score, and detections need one; is this the file of detections?")]
    NoScore {
        /// The entry.
        entry: CocoEntry,
    },
}

fn of_entry(place: &Option<String>) -> String {
    place.as_ref().map_or_else(String::new, |place| format!(", in {place}"))
}

/// What Python writes and JSON does not know, and what a server sends in place of a file.
fn hint(error: &serde_json::Error) -> &'static str {
    match error.is_syntax() && error.to_string().starts_with("expected value") {
        true if (error.line(), error.column()) == (1, 1) => "; open it in an editor: it may be a web page",
        true => "; JSON has no NaN and no Infinity",
        false => "",
    }
}
