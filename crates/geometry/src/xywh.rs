//! Boxes as COCO writes and compares them.

use crate::Region;

/// A box by its left top corner and its size, in pixels, as the files of COCO hold it. It is a type of its own because
/// COCO's evaluation multiplies `width` by `height`; the difference of two corners has other last bits, by which a box
/// of exactly `32 x 32` pixels would leave its range of areas.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Xywh {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Distance of the right edge from the left one.
    pub width: f64,
    /// Distance of the bottom edge from the top one.
    pub height: f64,
}

impl Xywh {
    /// Pixels in the box, `width * height`.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Intersection over union of a detected box with a true one, `0..=1`. With a `crowd`, which has no single objects
    /// to be found, it is the share of the detected box that lies in the crowd.
    pub fn iou(&self, truth: &Xywh, crowd: bool) -> f64 {
        let width = (self.x + self.width).min(truth.x + truth.width) - self.x.max(truth.x);
        let height = (self.y + self.height).min(truth.y + truth.height) - self.y.max(truth.y);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let intersection = width * height;
        intersection / if crowd { self.area() } else { self.area() + truth.area() - intersection }
    }
}

impl From<Region> for Xywh {
    fn from(region: Region) -> Self {
        Self { x: region.x0, y: region.y0, width: region.width(), height: region.height() }
    }
}

impl From<Xywh> for Region {
    fn from(bbox: Xywh) -> Self {
        Self { x0: bbox.x, y0: bbox.y, x1: bbox.x + bbox.width, y1: bbox.y + bbox.height }
    }
}

impl From<[f64; 4]> for Xywh {
    fn from([x, y, width, height]: [f64; 4]) -> Self {
        Self { x, y, width, height }
    }
}

impl From<Xywh> for [f64; 4] {
    fn from(bbox: Xywh) -> Self {
        [bbox.x, bbox.y, bbox.width, bbox.height]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_not_part_of_the_union() {
        let detected = Xywh::from([0.0, 0.0, 10.0, 10.0]);
        let truth = Xywh::from([5.0, 0.0, 100.0, 10.0]);
        assert_eq!(detected.iou(&truth, true), 0.5);
        assert_eq!(detected.iou(&truth, false), 50.0 / 1050.0);
    }

    #[test]
    fn boxes_that_touch_have_nothing_in_common() {
        let left = Xywh::from([0.0, 0.0, 10.0, 10.0]);
        assert_eq!(left.iou(&Xywh { x: 10.0, ..left }, false), 0.0);
        assert_eq!(left.iou(&Xywh { width: 0.0, ..left }, false), 0.0);
        assert_eq!(left.iou(&left, false), 1.0);
    }
}
