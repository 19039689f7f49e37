//! How precisely outlines are kept.

/// A kind of number for the coordinates of polygons.
pub trait CocoCoordinate: Copy {
    /// The number of this kind that is nearest to `value`.
    fn of(value: f64) -> Self;

    /// The number in double precision.
    fn wide(self) -> f64;
}

impl CocoCoordinate for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn wide(self) -> f64 {
        self.into()
    }
}

impl CocoCoordinate for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}
