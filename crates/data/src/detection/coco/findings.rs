//! What is odd about a file that can be used.

/// What is odd about the annotations of a file: for each kind of finding, the ids of the annotations. One that has several
/// short polygons is there as often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CocoFindings {
    /// Annotations whose id another one before has; both are kept.
    pub duplicate_ids: Vec<u64>,
    /// Annotations of a category that the file does not list; they are left out.
    pub unknown_categories: Vec<u64>,
    /// Boxes that reach beyond their picture by more than a pixel.
    pub boxes_outside: Vec<u64>,
    /// Boxes without width or height.
    pub flat_boxes: Vec<u64>,
    /// Polygons of fewer than three vertices, or with half a vertex; they are left out.
    pub short_polygons: Vec<u64>,
    /// Polygons no part of which lies in their picture.
    pub polygons_outside: Vec<u64>,
}

impl CocoFindings {
    /// Each kind of finding with its words, those that were not found too.
    pub fn all(&self) -> [(&'static str, &[u64]); 6] {
        [
            ("annotations whose id was there before", &self.duplicate_ids),
            ("annotations of a category that the file does not list, left out", &self.unknown_categories),
            ("boxes that reach beyond their picture", &self.boxes_outside),
            ("boxes without width or height", &self.flat_boxes),
            ("polygons of fewer than three points, left out", &self.short_polygons),
            ("polygons outside their picture", &self.polygons_outside),
        ]
    }
}
