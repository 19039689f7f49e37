//! How a picture becomes a view of it: resized as a whole, perhaps mirrored, and its objects with it (Detectron2's
//! `ResizeShortestEdge` and `RandomFlip`).

use densesiam_geometry::mask::RunLengths;
use densesiam_geometry::{Point, Region};
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

use super::{Object, Shape};

/// The shortest side of a box in pixels that is kept, not included itself (Detectron2, `filter_empty_instances`).
const EMPTY: f64 = 1e-5;

/// Settings of the views of a detector's training, the table `augment` of a recipe. Defaults: Detectron2's for PASCAL VOC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionAugment {
    /// The shorter side of a view in pixels; each is drawn as often as the others.
    pub short_sides: Vec<u32>,
    /// The longer side of a view in pixels, at most; a view whose longer side would exceed it is smaller.
    pub longest_side: u32,
    /// Probability that a view is mirrored left to right.
    pub flip_probability: f64,
}

impl Default for DetectionAugment {
    fn default() -> Self {
        let short_sides = (480..=800).step_by(32).collect();
        Self { short_sides, longest_side: 1333, flip_probability: 0.5 }
    }
}

impl DetectionAugment {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let count = self.short_sides.len();
        require((1..=1000).contains(&count), "augment.short_sides", &count, "1 to 1000 sides")?;
        for &side in &self.short_sides {
            within("augment.short_sides", side, 1..=8192, "pixels")?;
        }
        within("augment.longest_side", self.longest_side, 1..=16384, "pixels")?;
        within("augment.flip_probability", self.flip_probability, 0.0..=1.0, "(a probability)")
    }
}

/// Width and height of a picture of this width and height (at least 1 pixel each) that is resized so that its shorter side
/// becomes `short` or, if the longer side would exceed `longest` then, its longer side `longest`. Both are rounded to the
/// nearest pixel, halves up, and are at least 1.
pub fn resized(size: [u32; 2], short: u32, longest: u32) -> [u32; 2] {
    let [width, height] = size.map(f64::from);
    let scale = f64::from(short) / width.min(height);
    // The shorter side is exact, whatever the quotient is.
    let sides = if height < width { [scale * width, short.into()] } else { [short.into(), scale * height] };
    let longer = sides[0].max(sides[1]);
    let shrink = if longer > longest.into() { f64::from(longest) / longer } else { 1.0 };
    sides.map(|side| ((side * shrink + 0.5) as u32).max(1))
}

/// Where the points of a picture lie in its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the picture in pixels.
    pub picture_size: [u32; 2],
    /// Width and height of the view in pixels.
    pub size: [u32; 2],
    /// Whether the view is mirrored left to right.
    pub flip: bool,
}

impl Placement {
    /// The pixels of the view that show a point of the picture: the view's width less x in a mirrored one.
    pub fn point(&self, point: Point) -> Point {
        let [x_scale, y_scale] =
            [0, 1].map(|axis: usize| f64::from(self.size[axis]) / f64::from(self.picture_size[axis]));
        let x = point.x * x_scale;
        Point { x: if self.flip { f64::from(self.size[0]) - x } else { x }, y: point.y * y_scale }
    }

    /// The box in the view that shows a box of the picture, clipped to the view; `None` if nothing of it is left, or its
    /// corners are the wrong way round.
    pub fn region(&self, region: &Region) -> Option<Region> {
        let is_upright = region.width() > 0.0 && region.height() > 0.0;
        let moved = is_upright.then(|| region.moved(|point| self.point(point)))?;
        let [width, height] = self.size.map(f64::from);
        let clipped = Region {
            x0: moved.x0.clamp(0.0, width),
            y0: moved.y0.clamp(0.0, height),
            x1: moved.x1.clamp(0.0, width),
            y1: moved.y1.clamp(0.0, height),
        };
        (clipped.width() > EMPTY && clipped.height() > EMPTY).then_some(clipped)
    }

    /// A polygon `[x, y, x, y, ...]` in the view. It is not clipped.
    pub fn polygon(&self, polygon: &[f64]) -> Vec<f64> {
        let corners = polygon.as_chunks().0.iter();
        let moved = |&[x, y]: &[f64; 2]| {
            let Point { x, y } = self.point(Point { x, y });
            [x, y]
        };
        corners.flat_map(moved).collect()
    }

    /// A mask in the view: each of its pixels is that of the picture under its middle. `None` for a mask of another picture.
    fn mask(&self, mask: &RunLengths) -> Option<RunLengths> {
        let ([own_width, own_height], [width, height]) = (self.picture_size, self.size);
        if mask.size() != [own_height, own_width] {
            return None;
        }
        let nearest = |place: u32, own: u32, size: u32| {
            ((2 * u64::from(place) + 1) * u64::from(own) / (2 * u64::from(size))) as u32
        };
        let mut bits = vec![false; height as usize * width as usize];
        for x in 0..width {
            let column = nearest(if self.flip { width - 1 - x } else { x }, own_width, width);
            // A column at a time, because a file may give a mask of any size.
            let column = mask.bits_of(0..own_height, column..column + 1);
            for y in 0..height {
                bits[(y * width + x) as usize] = column[nearest(y, own_height, height) as usize];
            }
        }
        Some(RunLengths::from_bits([height, width], &bits))
    }

    /// What training learns from an object: `None` for crowds, for boxes of which nothing is left and, if masks are asked
    /// for, for objects without an outline. The area stays that of the picture.
    pub fn object(&self, object: &Object, masks: bool) -> Option<Object> {
        if object.crowd {
            return None;
        }
        let bbox = self.region(&object.bbox)?;
        let shape = match &object.shape {
            _ if !masks => None,
            Some(Shape::Polygons(polygons)) if !polygons.is_empty() => {
                Some(Shape::Polygons(polygons.iter().map(|polygon| self.polygon(polygon)).collect()))
            }
            Some(Shape::Mask(mask)) => Some(Shape::Mask(self.mask(mask)?)),
            _ => return None,
        };
        let Object { class, difficult, crowd, area, .. } = *object;
        Some(Object { bbox, class, difficult, crowd, area, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Region = Region { x0: 10.0, y0: -5.0, x1: 95.5, y1: 40.25 };

    #[test]
    fn sides_are_those_of_detectron2() {
        assert_eq!(resized([500, 375], 800, 1333), [1067, 800]);
        assert_eq!(resized([375, 500], 800, 1333), [800, 1067]);
        assert_eq!(resized([500, 200], 800, 1333), [1333, 533]);
        assert_eq!(resized([640, 640], 480, 1333), [480, 480]);
        // No side is lost of a thread.
        assert_eq!(resized([1, 30_000], 480, 1333), [1, 1333]);
    }

    #[test]
    fn a_view_mirrored_twice_is_the_picture() {
        let size = [93, 61];
        let mirror = Placement { picture_size: size, size, flip: true };
        let inside = Region { x0: 3.25, y0: 0.0, x1: 60.5, y1: 61.0 };
        let twice = mirror.region(&mirror.region(&inside).unwrap()).unwrap();
        assert_eq!(twice, inside);
        let polygon = [1.5, 2.0, 90.0, 3.5, 40.25, 60.0];
        assert_eq!(mirror.polygon(&mirror.polygon(&polygon)), polygon);
        assert_eq!(mirror.point(Point { x: 0.0, y: 7.0 }), Point { x: 93.0, y: 7.0 });
    }

    #[test]
    fn boxes_stay_in_the_view_and_empty_ones_are_dropped() {
        for flip in [false, true] {
            let place = Placement { picture_size: [80, 30], size: [120, 45], flip };
            let Region { x0, y0, x1, y1 } = place.region(&BOX).unwrap();
            let expected = if flip { [0.0, 0.0, 105.0, 45.0] } else { [15.0, 0.0, 120.0, 45.0] };
            assert_eq!([x0, y0, x1, y1], expected);
            let beside = Region { x0: 80.0, x1: 90.0, ..BOX };
            let inverted = Region { x0: 50.0, x1: 20.0, ..BOX };
            let thread = Region { x0: 20.0, x1: 20.000_005, ..BOX };
            assert!([beside, inverted, thread].iter().all(|region| place.region(region).is_none()));
        }
    }

    #[test]
    fn crowds_and_objects_without_a_mask_are_left_out() {
        let polygons = Some(Shape::Polygons(vec![vec![1.0, 1.0, 4.0, 1.0, 4.0, 5.0]]));
        let runs = Some(Shape::Mask(RunLengths::new([30, 80], vec![5, 2400 - 5]).unwrap()));
        let place = Placement { picture_size: [80, 30], size: [160, 60], flip: false };
        let object = |crowd, shape: &Option<Shape>| Object {
            bbox: BOX,
            class: 3,
            difficult: true,
            crowd,
            area: 12.5,
            shape: shape.clone(),
        };
        assert_eq!(place.object(&object(true, &polygons), false), None);
        for shape in [&polygons, &runs, &None, &Some(Shape::Polygons(vec![]))] {
            let found = place.object(&object(false, shape), false).unwrap();
            assert_eq!((found.class, found.difficult, found.area, found.shape), (3, true, 12.5, None));
            let has_outline = [&polygons, &runs].contains(&shape);
            assert_eq!(place.object(&object(false, shape), true).is_some(), has_outline);
        }
        let found = place.object(&object(false, &polygons), true).unwrap();
        assert_eq!(found.shape, Some(Shape::Polygons(vec![vec![2.0, 2.0, 8.0, 2.0, 8.0, 10.0]])));
    }

    #[test]
    fn masks_move_with_their_picture() {
        // The lower two pixels of the first column, the upper two of the second.
        let mask = RunLengths::new([3, 4], vec![1, 4, 7]).unwrap();
        let object = |flip, size| {
            let place = Placement { picture_size: [4, 3], size, flip };
            let bbox = Region { x0: 0.0, y0: 0.0, x1: 2.0, y1: 3.0 };
            let (class, difficult, crowd, area) = (0, false, false, 4.0);
            place
                .object(
                    &Object { bbox, class, difficult, crowd, area, shape: Some(Shape::Mask(mask.clone())) },
                    true,
                )
                .unwrap()
        };
        let pixels = |object: &Object, size| object.shape.as_ref().unwrap().mask(size).unwrap();
        assert_eq!(pixels(&object(false, [4, 3]), [3, 4]).counts(), [1, 4, 7]);
        assert_eq!(pixels(&object(true, [4, 3]), [3, 4]).counts(), [6, 2, 2, 2]);
        let twice = object(true, [8, 6]);
        assert_eq!(pixels(&twice, [6, 8]).area(), 16);
        let all = twice.shape.unwrap().target(&Region { x0: 4.0, y0: 0.0, x1: 8.0, y1: 6.0 }, 2);
        assert_eq!(all, [true, false, false, true], "upper rows on the left, lower ones on the right");
        assert!(Placement { picture_size: [5, 3], size: [5, 3], flip: false }.mask(&mask).is_none());
    }

    #[test]
    fn settings_have_ranges() {
        DetectionAugment::default().validate().unwrap();
        assert_eq!(DetectionAugment::default().short_sides.len(), 11);
        let default = DetectionAugment::default;
        for wrong in [
            DetectionAugment { short_sides: vec![], ..default() },
            DetectionAugment { short_sides: vec![640, 0], ..default() },
            DetectionAugment { longest_side: 0, ..default() },
            DetectionAugment { flip_probability: 1.5, ..default() },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
