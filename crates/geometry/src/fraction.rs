//! Boxes as fractions of an enclosing rectangle.

use crate::{Point, Region};

/// A rectangle as fractions of another, such as a frame or a feature map: `0 <= x0 <= x1 <= 1`, `0 <= y0 <= y1 <= 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction {
    /// Left edge.
    pub x0: f64,
    /// Top edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Bottom edge.
    pub y1: f64,
}

impl Fraction {
    /// The whole rectangle.
    pub const WHOLE: Self = Self { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 };

    /// Width as a fraction.
    pub fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    /// Height as a fraction.
    pub fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    /// The point at the fractions `u` of the width and `v` of the height, as fractions of the enclosing rectangle.
    pub fn at(&self, u: f64, v: f64) -> Point {
        Point { x: self.x0 + u * self.width(), y: self.y0 + v * self.height() }
    }

    /// The part of `whole` that this box describes.
    pub fn of(&self, whole: &Region) -> Region {
        let (low, high) = (whole.at(self.x0, self.y0), whole.at(self.x1, self.y1));
        Region { x0: low.x, y0: low.y, x1: high.x.min(whole.x1), y1: high.y.min(whole.y1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_region_lies_in_it() {
        let region = Region { x0: 10.0, y0: 20.0, x1: 110.0, y1: 60.0 };
        assert_eq!(Fraction::WHOLE.of(&region), region);
        let part = Fraction { x0: 0.25, y0: 0.5, x1: 1.0, y1: 0.75 };
        assert_eq!(part.of(&region), Region { x0: 35.0, y0: 40.0, x1: 110.0, y1: 50.0 });
        assert_eq!(part.at(0.5, 1.0), Point { x: 0.625, y: 0.75 });
    }
}
