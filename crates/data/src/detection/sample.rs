//! The objects of a picture.

use densesiam_geometry::Region;

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
    /// A mask as COCO has those of crowds.
    RunLengths {
        /// Height and width of the picture in pixels.
        size: [u32; 2],
        /// Pixels without and with the object in turn, column by column, beginning with those without.
        counts: Vec<u32>,
    },
}

impl Annotation {
    /// Whether there is an object from which training can learn: one that is no crowd.
    pub fn is_of_use(&self) -> bool {
        self.objects.iter().any(|object| !object.crowd)
    }
}
