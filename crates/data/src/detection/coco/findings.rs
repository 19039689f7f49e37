//! What is odd about a file that can be used.

/// How often something was found, and where first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often.
    pub count: usize,
    /// The id of the first annotation.
    pub first: Option<u64>,
}

impl Counted {
    pub(super) fn add(&mut self, id: u64) {
        self.count += 1;
        self.first.get_or_insert(id);
    }
}

/// What is odd about the annotations of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CocoFindings {
    /// Annotations whose id another one before has; both are kept.
    pub duplicate_ids: Counted,
    /// Annotations of a category that the file does not list; they are left out.
    pub unknown_categories: Counted,
    /// Boxes that reach beyond their picture by a pixel or more.
    pub boxes_outside: Counted,
    /// Boxes without width or height.
    pub flat_boxes: Counted,
    /// Polygons of fewer than three vertices, or with half a vertex; they are left out.
    pub short_polygons: Counted,
}

impl CocoFindings {
    /// Each kind of finding with its words, those that were not found too.
    pub fn all(&self) -> [(&'static str, Counted); 5] {
        [
            ("annotations whose id was there before", self.duplicate_ids),
            ("annotations of a category that the file does not list, left out", self.unknown_categories),
            ("boxes that reach beyond their picture", self.boxes_outside),
            ("boxes without width or height", self.flat_boxes),
            ("polygons of fewer than three points, left out", self.short_polygons),
        ]
    }
}
