//! Examines the objects of a set before anything is trained or scored on them: how many there are of each class, and which
//! annotations can hardly be meant.

use std::fmt;

use densesiam_geometry::Region;

use super::{Annotation, DetectionSet};
use crate::decode::upright_size;
use crate::labelled::names_listed;
use crate::order::Order;

/// The most pictures whose header is read.
const MOST: usize = 1024;
/// The most pictures that a finding names; it only counts the others.
const NAMED: usize = 3;
const NO_OBJECT: &str = "pictures have no object, or only crowds";
/// By how many pixels a box may leave its picture unnoticed: less than any person draws.
const SLACK: f64 = 1.0;

/// What is in a set.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSurvey {
    /// Its name.
    pub set: String,
    /// Its pictures.
    pub pictures: usize,
    /// Objects of each class that are no crowds, by number of the class.
    pub objects: Vec<usize>,
    /// How many of the objects are difficult.
    pub difficult: usize,
    /// Crowds, of all classes.
    pub crowds: usize,
    /// Pictures whose size was compared with their annotation.
    pub measured: usize,
    /// What can hardly be meant.
    pub findings: Vec<DetectionFinding>,
}

/// A property of a set that can hardly be meant; displayed as a sentence that says what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectionFinding {
    /// The set.
    pub set: String,
    /// What is wrong.
    pub problem: DetectionProblem,
    /// How many objects, pictures or classes it concerns.
    pub count: usize,
    /// Out of how many that were examined.
    pub of: usize,
    /// The first few: pictures, or classes.
    pub first: Vec<String>,
}

/// What can be wrong with the annotations of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectionProblem {
    /// Pictures have no object, or only crowds.
    NoObject,
    /// Boxes have no area, or their corners are the wrong way round.
    EmptyBox,
    /// Boxes leave their picture by more than a pixel.
    OutsidePicture,
    /// Pictures have another size than their annotation says.
    OtherSize,
    /// Pictures cannot be read.
    Unreadable,
    /// No object is of these classes.
    AbsentClass,
    /// Pictures from which nothing can be learnt were left out.
    NothingLearnt,
    /// Pictures from which no mask can be learnt were left out.
    NoOutlineLearnt,
    /// Annotations have the id of another (COCO).
    RepeatedId,
    /// Annotations are of a category that the file does not list, and were left out (COCO).
    UnlistedCategory,
    /// Polygons have fewer than three corners, or an odd number of coordinates, and were left out (COCO).
    ShortPolygon,
    /// Polygons lie outside their picture (COCO).
    PolygonOutside,
    /// Pictures have the file of another one (COCO).
    SharedFile,
}

impl DetectionSurvey {
    /// Examines all annotations, and the size of up to 1024 pictures in random order by their headers.
    pub fn of(set: &DetectionSet) -> Self {
        let mut objects = vec![0; set.classes.len()];
        let all = || (0..set.len()).flat_map(|sample| set.objects(sample));
        all().filter(|object| !object.crowd).for_each(|object| objects[object.class] += 1);
        let measured = Order::new(set.len(), 0, 0).batch(0, set.len().min(MOST));
        let sizes = Sizes::of(set, measured.iter().map(|&sample| sample as usize));
        let mut survey = Self {
            set: set.name.clone(),
            pictures: set.len(),
            difficult: all().filter(|object| object.difficult).count(),
            crowds: all().filter(|object| object.crowd).count(),
            measured: measured.len(),
            objects,
            findings: set.findings().to_vec(),
        };
        survey.look_at_pictures(set, DetectionProblem::NoObject, |annotation| {
            usize::from(!annotation.is_of_use(false))
        });
        survey.look_at_pictures(set, DetectionProblem::EmptyBox, |annotation| count(annotation, is_empty));
        survey.look_at_pictures(set, DetectionProblem::OutsidePicture, |annotation| {
            annotation.size.map_or(0, |size| count(annotation, |bbox| leaves(bbox, size)))
        });
        survey.find(DetectionProblem::OtherSize, sizes.other.len(), measured.len(), sizes.other);
        survey.find(DetectionProblem::Unreadable, sizes.unreadable.len(), measured.len(), sizes.unreadable);
        let absent = set.classes.iter().zip(&survey.objects).filter(|(_, objects)| **objects == 0);
        let absent: Vec<String> = absent.map(|(class, _)| class.clone()).collect();
        survey.find(DetectionProblem::AbsentClass, absent.len(), set.classes.len(), absent);
        survey
    }

    /// Adds a finding of pictures or of their objects, if `faults` counts some.
    fn look_at_pictures(
        &mut self,
        set: &DetectionSet,
        problem: DetectionProblem,
        faults: impl Fn(&Annotation) -> usize,
    ) {
        let counts = (0..set.len()).map(|sample| (sample, faults(set.annotation(sample))));
        let faulty: Vec<_> = counts.filter(|&(_, count)| count > 0).collect();
        let total = faulty.iter().map(|&(_, count)| count).sum();
        let of = match problem {
            DetectionProblem::NoObject => self.pictures,
            _ => self.objects.iter().sum::<usize>() + self.crowds,
        };
        let first = faulty.iter().take(NAMED).map(|&(sample, _)| set.picture(sample).to_string()).collect();
        self.find(problem, total, of, first);
    }

    fn find(&mut self, problem: DetectionProblem, count: usize, of: usize, mut first: Vec<String>) {
        if count > 0 {
            // Classes are few, and all are named that `names_listed` has room for.
            if problem != DetectionProblem::AbsentClass {
                first.truncate(NAMED);
            }
            self.findings.push(DetectionFinding { set: self.set.clone(), problem, count, of, first });
        }
    }
}

/// The pictures whose size is not that of their annotation, and those that cannot be read, with the reason.
#[derive(Default)]
struct Sizes {
    other: Vec<String>,
    unreadable: Vec<String>,
}

impl Sizes {
    fn of(set: &DetectionSet, samples: impl Iterator<Item = usize>) -> Self {
        let (mut sizes, mut bytes) = (Self::default(), Vec::new());
        for sample in samples {
            let place = set.picture(sample);
            let read = place.read_into(&mut bytes).map_err(|error| error.to_string());
            match read.and_then(|()| upright_size(&bytes).map_err(|error| error.to_string())) {
                Err(reason) => sizes.unreadable.push(format!("{place}: {reason}")),
                Ok([width, height]) => match set.annotation(sample).size {
                    Some([w, h]) if [w, h] != [width, height] => {
                        sizes.other.push(format!("{place} ({width} x {height}, annotated {w} x {h})"));
                    }
                    _ => {}
                },
            }
        }
        sizes
    }
}

fn count(annotation: &Annotation, wrong: impl Fn(&Region) -> bool) -> usize {
    annotation.objects.iter().filter(|object| wrong(&object.bbox)).count()
}

pub(super) fn is_empty(bbox: &Region) -> bool {
    bbox.width() <= 0.0 || bbox.height() <= 0.0
}

/// Whether a box leaves a picture of this width and height by more than a pixel.
pub(super) fn leaves(bbox: &Region, [width, height]: [u32; 2]) -> bool {
    let low = bbox.x0.min(bbox.y0) < -SLACK;
    low || bbox.x1 > f64::from(width) + SLACK || bbox.y1 > f64::from(height) + SLACK
}

impl DetectionFinding {
    /// What is found of all these, of which the first few are named, out of so many.
    pub(super) fn new(
        set: &str,
        problem: DetectionProblem,
        all: impl ExactSizeIterator<Item = String>,
        of: usize,
    ) -> Self {
        Self { set: set.into(), problem, count: all.len(), of, first: all.take(NAMED).collect() }
    }
}

impl fmt::Display for DetectionFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, problem, count, of, first } = self;
        let (what, comes_of_it) = match problem {
            DetectionProblem::NoObject => (NO_OBJECT, "training leaves them out, an evaluation counts them"),
            DetectionProblem::EmptyBox => (
                "boxes have no area or corners the wrong way round",
                "training leaves them out, and an evaluation misses them always; correct them",
            ),
            DetectionProblem::OutsidePicture => (
                "boxes leave their picture by more than a pixel",
                "training clips them; check that the annotations belong to these pictures and are in pixels",
            ),
            DetectionProblem::OtherSize => (
                "pictures have another size than their annotation says",
                "they are refused; correct the annotations or use the pictures that they were made for",
            ),
            DetectionProblem::Unreadable => ("pictures cannot be read", "repair them"),
            DetectionProblem::AbsentClass => {
                ("classes have no object", "nothing is learnt of them here, and their score is 0 or missing")
            }
            DetectionProblem::NothingLearnt => (NO_OBJECT, "training leaves these pictures out"),
            DetectionProblem::NoOutlineLearnt => (
                "pictures have no object with an outline",
                "training leaves these pictures out, because it learns masks; for boxes alone, set detector.masks = false",
            ),
            DetectionProblem::RepeatedId => ("annotations have the id of another one", "each is used"),
            DetectionProblem::UnlistedCategory => (
                "annotations are of a category that the file does not list",
                "they are left out; add the category, or correct its id",
            ),
            DetectionProblem::ShortPolygon => (
                "polygons have fewer than three corners, or an odd number of coordinates",
                "they are left out",
            ),
            DetectionProblem::SharedFile => (
                "pictures have the file of another one",
                "each has its own objects only, and those of the other are background in it; give them one id",
            ),
            DetectionProblem::PolygonOutside => (
                "polygons lie outside their picture",
                "they hold nothing; check that the annotations belong to these pictures and are in pixels",
            ),
        };
        write!(formatter, "{set}: {count} of {of} {what} ({}); {comes_of_it}", names_listed(first))
    }
}
