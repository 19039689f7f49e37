//! The objects of a picture.

use densesiam_geometry::mask::{RunLengths, target_from_polygons, target_from_runs};
use densesiam_geometry::{Point, Region};

/// What is known of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// Width and height of the picture in pixels, if the annotation says them.
    pub size: Option<[u32; 2]>,
    /// Its objects, in the order of the file.
    pub objects: Vec<Object>,
}

/// One object, or a crowd of them, in pixels of its picture or view.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The box around it, with continuous corners.
    pub bbox: Region,
    /// The number of its class in the set.
    pub class: usize,
    /// Whether it counts neither as found nor as missed (PASCAL VOC).
    pub difficult: bool,
    /// Whether it is a crowd of objects, which no training learns from (COCO).
    pub crowd: bool,
    /// Its area in pixels of the picture, as the data set says: that of the mask, or of the box where there are no masks.
    pub area: f64,
    /// Its outline, if it is known.
    pub shape: Option<Shape>,
}

/// The outline of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Polygons, each `[x, y, x, y, ...]` with at least three corners; the object is their union.
    Polygons(Vec<Vec<f64>>),
    /// The pixels of its picture: COCO has crowds so, and other sets all objects.
    Mask(RunLengths),
}

impl Shape {
    /// The pixels of the object in a picture of `[height, width]`; `None` if there is no polygon, or the mask is that of a picture
    /// of another size.
    pub fn mask(&self, size: [u32; 2]) -> Option<RunLengths> {
        match self {
            Self::Polygons(polygons) if polygons.is_empty() => None,
            Self::Polygons(polygons) => {
                Some(RunLengths::from_polygons(polygons.iter().map(|polygon| points(polygon)), size))
            }
            Self::Mask(mask) => (mask.size() == size).then(|| mask.clone()),
        }
    }

    /// What a detector should predict within a box: `side x side` cells, row by row.
    pub fn target(&self, within: &Region, side: usize) -> Vec<bool> {
        match self {
            Self::Polygons(polygons) => {
                target_from_polygons(polygons.iter().map(|polygon| points(polygon)), within, side)
            }
            Self::Mask(mask) => target_from_runs(mask, within, side),
        }
    }
}

fn points(polygon: &[f64]) -> Vec<Point> {
    polygon.as_chunks().0.iter().map(|&[x, y]| Point { x, y }).collect()
}

impl Annotation {
    /// Whether there is an object from which training can learn: one that is no crowd and, if `masks` are learnt, has an outline.
    pub fn is_of_use(&self, masks: bool) -> bool {
        let has_outline = |object: &Object| match &object.shape {
            Some(Shape::Polygons(polygons)) => !polygons.is_empty(),
            shape => shape.is_some(),
        };
        self.objects.iter().any(|object| !object.crowd && (!masks || has_outline(object)))
    }
}
