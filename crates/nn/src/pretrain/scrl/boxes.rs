//! Random boxes in the overlap of two views (SCRL, section 3.2; sizes and places as in the released code).

use densesiam_geometry::{Point, Region, View};
use densesiam_random::{Rng, RngExt};

/// The smallest side of a box in grid pixels, one cell of C5.
const SMALLEST: u64 = 32;
/// No two boxes of a picture have this share of their union in common.
const MOST_IN_COMMON: f64 = 0.5;
/// Draws of a box; the last one is kept, whatever it has in common with others.
const TRIES: usize = 50;

/// A box on the grid: left, top, width and height.
pub type GridBox = [u64; 4];

/// Whole pixels of the overlap of two views, along each axis at the scale of the view that shows the picture smaller. A box of some
/// pixels here has as many or more in both views.
#[derive(Clone, Copy, Debug)]
pub struct OverlapGrid {
    overlap: Region,
    /// Grid pixels for each pixel of the picture, along the width and along the height.
    scale: [f64; 2],
    /// Width and height.
    sides: [u64; 2],
}

impl OverlapGrid {
    /// Of both `views` of a picture, `size` pixels wide and high; `None` if no box fits into their overlap.
    pub fn new(views: &[View], size: u32) -> Option<Self> {
        let overlap = views[0].overlap(&views[1])?;
        let coarser =
            |side: fn(&Region) -> f64| f64::from(size) / side(&views[0].crop).max(side(&views[1].crop));
        let scale = [coarser(Region::width), coarser(Region::height)];
        let sides = [overlap.width() * scale[0], overlap.height() * scale[1]];
        let sides = sides.map(|side| side.round_ties_even() as u64);
        sides.iter().all(|&side| side > SMALLEST).then_some(Self { overlap, scale, sides })
    }

    /// Width and height in grid pixels.
    pub fn sides(&self) -> [u64; 2] {
        self.sides
    }

    /// `count` boxes. Each fills part of a cell of a grid of its own, so that small boxes are as likely as large ones.
    pub fn draw(&self, count: usize, rng: &mut impl Rng) -> Vec<GridBox> {
        let mut boxes: Vec<GridBox> = Vec::with_capacity(count);
        let mut draw = || {
            let [[x, width], [y, height]] = self.sides.map(|side| interval(side, rng));
            [x, y, width, height]
        };
        for _ in 0..count {
            let mut drawn = draw();
            for _ in 1..TRIES {
                if boxes.iter().all(|earlier| in_common(earlier, &drawn) < MOST_IN_COMMON) {
                    break;
                }
                drawn = draw();
            }
            boxes.push(drawn);
        }
        boxes
    }

    /// A box in the picture. Sides are rounded to whole grid pixels, so it may end half of one outside the overlap.
    pub fn image_region(&self, [x, y, width, height]: GridBox) -> Region {
        let at = |x: u64, y: u64| Point {
            x: self.overlap.x0 + x as f64 / self.scale[0],
            y: self.overlap.y0 + y as f64 / self.scale[1],
        };
        let (low, high) = (at(x, y), at(x + width, y + height));
        Region { x0: low.x, y0: low.y, x1: high.x, y1: high.y }
    }
}

/// Start and length of a box along an axis of this many grid pixels.
fn interval(side: u64, rng: &mut impl Rng) -> [u64; 2] {
    let cells = rng.random_range(1..=side / SMALLEST);
    let cell = rng.random_range(0..cells);
    let room = side / cells;
    let length = rng.random_range(SMALLEST..=room);
    [cell * side / cells + rng.random_range(0..=room - length), length]
}

/// The area that both boxes have in common, as a share of their union.
fn in_common(one: &GridBox, two: &GridBox) -> f64 {
    let common = |axis: usize| {
        let end = (one[axis] + one[axis + 2]).min(two[axis] + two[axis + 2]);
        end.saturating_sub(one[axis].max(two[axis]))
    };
    let area = |of: &GridBox| of[2] * of[3];
    let common = common(0) * common(1);
    common as f64 / (area(one) + area(two) - common) as f64
}

/// A region of the picture in the pixels of a view `size` pixels wide and high, as far as the view shows it.
pub fn shown(image: &Region, view: &View, size: u32) -> Region {
    let size = f64::from(size);
    image.moved(|point| {
        let Point { x, y } = view.pixels_from_image(point, size);
        Point { x: x.clamp(0.0, size), y: y.clamp(0.0, size) }
    })
}
