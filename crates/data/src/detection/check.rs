//! The check of a set of objects, whatever its format: all that is wrong with it, not only the first.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;

use densesiam_geometry::Region;
use densesiam_text::shown;

use super::DetectionError;
use super::survey::{is_empty, leaves};
use crate::check::{Fault, examined};
use crate::decode::{DecodeLimits, decode_into};
use crate::image::RgbImage;
use crate::index::Place;
use crate::loader::SampleError;

/// The kinds of fault that several formats have, in the words of [`super::CocoFindings`] where COCO's files are counted by it.
pub(super) const NO_PICTURE: &str = "listed pictures not there";
pub(super) const CLASSES: &str = "lists of classes that cannot be used";
pub(super) const UNKNOWN_CLASS: &str = "objects of a class that is not in the list of classes";
const UNREADABLE: &str = "unreadable pictures";
const OTHER_SIZE: &str = "pictures of another size than annotated";
const OUTSIDE: &str = "boxes that reach beyond their picture";
const EMPTY: &str = "boxes without width or height";

/// Pictures with their objects, to be examined one by one, and what is wrong before any picture is read.
#[derive(Debug, Default)]
pub struct DetectionCheck {
    /// Format and splits, for example `voc 2007/trainval`.
    pub name: String,
    /// Pictures that the lists or annotations name.
    pub listed: usize,
    /// How many objects there are of each class, crowds included.
    pub objects: BTreeMap<String, usize>,
    /// How many of them are difficult (PASCAL VOC).
    pub difficult: usize,
    /// How many of them are crowds (COCO).
    pub crowds: usize,
    /// How many objects that are no crowds have an outline, if the format knows outlines (COCO).
    pub outlined: Option<usize>,
    /// Pictures without an object.
    pub without_object: usize,
    /// Why no picture was found near the annotations, if none was (COCO).
    pub pictures_not_found: Option<DetectionError>,
    /// What other programs may take amiss, though training does not.
    pub remarks: Vec<String>,
    /// What is wrong with lists and annotations, and which pictures are missing.
    pub faults: Vec<Fault>,
    /// Pictures whose annotation was read.
    pub(super) read: usize,
    /// How many objects are no crowds.
    pub(super) learnable: usize,
    pictures: Vec<Checked>,
}

/// A picture that is there.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) path: PathBuf,
    /// Where its objects are described.
    pub(super) annotation: PathBuf,
    /// Width and height in pixels, if the annotation says them.
    pub(super) size: Option<[u32; 2]>,
    /// Boxes that are not yet examined, each with the class of its object, in the order of the annotation.
    pub(super) boxes: Vec<(String, Region)>,
}

impl DetectionCheck {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Adds the fault of a set from which nothing can be learnt, unless no annotation could be read.
    pub(super) fn look_at_whole(&mut self) {
        if self.read > 0 && self.learnable == 0 {
            let crowds = if self.crowds > 0 { "no object but crowds" } else { "no object" };
            let (pictures, name) = (self.read, self.name.clone());
            self.fault(
                "sets without an object",
                format_args!("the {pictures} pictures of {name} have {crowds}"),
            );
        }
    }

    /// Number of pictures that are there.
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// Reads and decodes consecutive pictures on `workers` threads (at least 1): those that cannot be read or have another size
    /// than their annotation says, and boxes that are empty or leave them by more than a pixel; in the order of the set.
    pub fn examine(&self, range: Range<usize>, limits: &DecodeLimits, workers: usize) -> Vec<Fault> {
        examined(range, workers, |part| {
            let (mut bytes, mut image) = (Vec::new(), RgbImage::default());
            let faults = self.pictures[part].iter().map(|picture| {
                let read = Place::File(picture.path.clone()).read_into(&mut bytes).map_err(SampleError::from);
                let read = read.and_then(|()| Ok(decode_into(&bytes, limits, &mut image)?));
                picture.faults(read.map(|()| [image.width, image.height]))
            });
            faults.flatten().collect()
        })
    }

    pub(super) fn fault(&mut self, kind: &'static str, why: impl Display) {
        self.faults.push(Fault::new(kind, why));
    }

    /// Adds a picture that is there.
    pub(super) fn picture(&mut self, picture: Checked) {
        self.pictures.push(picture);
    }

    /// Counts an object, and whether its class is among `classes`, of which there are none if all are allowed.
    pub(super) fn object(&mut self, class: &str, classes: &[String], place: impl Display) {
        *self.objects.entry(class.to_owned()).or_default() += 1;
        if !classes.is_empty() && !classes.iter().any(|known| known == class) {
            self.fault(UNKNOWN_CLASS, format_args!("{place} is of the class {}", shown(class)));
        }
    }
}

impl Checked {
    /// What is wrong with the picture, which has been read with this width and height, and with its boxes.
    fn faults(&self, read: Result<[u32; 2], SampleError>) -> Vec<Fault> {
        let (picture, annotation) = (shown(&self.path), shown(&self.annotation));
        let mut faults = Vec::new();
        match (&read, self.size) {
            (Err(error), _) => {
                faults.push(Fault::new(UNREADABLE, format_args!("the picture {picture}: {error}")));
            }
            (Ok([width, height]), Some([w, h])) if [*width, *height] != [w, h] => {
                let why =
                    format_args!("{picture} has {width} x {height} pixels, {annotation} says {w} x {h}");
                faults.push(Fault::new(OTHER_SIZE, why));
            }
            _ => {}
        }
        let size = self.size.or(read.ok());
        for (number, (class, bbox)) in (1..).zip(&self.boxes) {
            let Region { x0, y0, x1, y1 } = bbox;
            let place =
                format!("{annotation}: object {number} ({}) from ({x0}, {y0}) to ({x1}, {y1})", shown(class));
            match size {
                _ if is_empty(bbox) => faults.push(Fault::new(EMPTY, place)),
                Some([width, height]) if leaves(bbox, [width, height]) => {
                    faults.push(Fault::new(OUTSIDE, format_args!("{place}, in {width} x {height} pixels")));
                }
                _ => {}
            }
        }
        faults
    }
}
