//! The positions of two views' pixels in their picture, and the points of the two views that are the same point.
//!
//! These spaces occur, and every name says which one it means:
//! * **image**: continuous pixel coordinates of the original picture. Pixel `i` covers `[i, i+1)`, its centre is
//!   `i + 0.5`; a picture of width 500 spans `[0, 500]`.
//! * **view**: coordinates of one augmented view, `[-1, 1]` from its left (top) edge to its right (bottom) edge.
//!   This is what `grid_sample` with `align_corners = false` takes: for a map 7 cells wide, the centre of cell `i`
//!   lies at `(2 i + 1) / 7 - 1`, so cell 0 is at -0.857 and cell 6 at 0.857.
//! * **pixels**: the same in the view's own pixels, `[0, size]`; boxes of views are measured in them.
//!
//! Everything is computed in `f64`, so that both grids of a pair list the same image points up to the last bits,
//! whatever the precision of the features.

pub mod boxes;
mod convolution;
mod fraction;
pub mod mask;
#[cfg(test)]
mod parity;
mod roi;
mod windows;
mod xywh;

pub use convolution::DilatedConvolution;
pub use fraction::Fraction;
pub use roi::RoiAlign;
pub use windows::slide_windows;
pub use xywh::Xywh;

/// A point, `x` to the right and `y` down; the name of the variable says in which space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Horizontal coordinate.
    pub x: f64,
    /// Vertical coordinate.
    pub y: f64,
}

/// An axis-parallel rectangle, in image space unless the name of the variable says otherwise: `x0 <= x <= x1`, `y0 <= y <= y1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge.
    pub x0: f64,
    /// Top edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Bottom edge.
    pub y1: f64,
}

impl Region {
    /// Width in pixels.
    pub fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    /// Height in pixels.
    pub fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    /// Area in square pixels.
    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// The point in the middle.
    pub fn centre(&self) -> Point {
        Point { x: self.x0 + 0.5 * self.width(), y: self.y0 + 0.5 * self.height() }
    }

    /// The part within a picture of this size; without area if there is none.
    pub fn clipped(&self, [width, height]: [f64; 2]) -> Region {
        Region {
            x0: self.x0.clamp(0.0, width),
            y0: self.y0.clamp(0.0, height),
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
        }
    }

    /// The common part of two regions, or `None` if it has no area.
    pub fn intersection(&self, other: &Region) -> Option<Region> {
        let common = Region {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        };
        (common.width() > 0.0 && common.height() > 0.0).then_some(common)
    }

    /// The same region where each point is moved to another place, or another space, by a map that keeps axes parallel.
    pub fn moved(&self, place: impl Fn(Point) -> Point) -> Region {
        let (one, two) = (place(Point { x: self.x0, y: self.y0 }), place(Point { x: self.x1, y: self.y1 }));
        Region { x0: one.x.min(two.x), y0: one.y.min(two.y), x1: one.x.max(two.x), y1: one.y.max(two.y) }
    }

    /// The image point at the fractions `u` (of the width) and `v` (of the height), each in `[0, 1]`.
    pub fn at(&self, u: f64, v: f64) -> Point {
        Point { x: self.x0 + u * self.width(), y: self.y0 + v * self.height() }
    }

    /// The centres of `k x k` equal cells of the region, row by row (`(i + 0.5) / K`).
    pub fn cell_centres(&self, k: usize) -> Vec<Point> {
        let centre = |i: usize| (i as f64 + 0.5) / k as f64;
        (0..k).flat_map(|row| (0..k).map(move |column| self.at(centre(column), centre(row)))).collect()
    }

    /// Square-wise windows of half the region's side at a quarter of its side as stride: 3 x 3 windows, row by row
    /// (the candidate regions of the paper's appendix A, after ReSim).
    pub fn half_windows(&self) -> Vec<Region> {
        let corner = |i: usize| i as f64 * 0.25;
        (0..3)
            .flat_map(|row| {
                (0..3).map(move |column| {
                    let low = self.at(corner(column), corner(row));
                    let high = self.at(corner(column) + 0.5, corner(row) + 0.5);
                    Region { x0: low.x, y0: low.y, x1: high.x, y1: high.y }
                })
            })
            .collect()
    }
}

/// How a view was cut from its picture: resample `crop` to the output size, then mirror it when `flip` is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The part of the picture that the view shows, in image space.
    pub crop: Region,
    /// Whether the view is mirrored left to right.
    pub flip: bool,
}

impl View {
    /// The view-space coordinates of an image point; outside `[-1, 1]` if the view does not show the point.
    pub fn view_from_image(&self, image: Point) -> Point {
        let x = 2.0 * (image.x - self.crop.x0) / self.crop.width() - 1.0;
        let y = 2.0 * (image.y - self.crop.y0) / self.crop.height() - 1.0;
        Point { x: if self.flip { -x } else { x }, y }
    }

    /// The image point that the view shows at view-space coordinates; the inverse of [`View::view_from_image`].
    pub fn image_from_view(&self, view: Point) -> Point {
        let x = if self.flip { -view.x } else { view.x };
        self.crop.at((x + 1.0) / 2.0, (view.y + 1.0) / 2.0)
    }

    /// The pixels, of a view `size` pixels wide and high, that show an image point.
    pub fn pixels_from_image(&self, image: Point, size: f64) -> Point {
        let Point { x, y } = self.view_from_image(image);
        Point { x: (x + 1.0) / 2.0 * size, y: (y + 1.0) / 2.0 * size }
    }

    /// The inverse of [`View::pixels_from_image`].
    pub fn image_from_pixels(&self, pixels: Point, size: f64) -> Point {
        self.image_from_view(Point { x: 2.0 * pixels.x / size - 1.0, y: 2.0 * pixels.y / size - 1.0 })
    }

    /// The image points at the centres of the view's `k x k` cells, in the order of its feature map.
    pub fn cell_centres(&self, k: usize) -> Vec<Point> {
        let whole = Region { x0: -1.0, y0: -1.0, x1: 1.0, y1: 1.0 };
        whole.cell_centres(k).into_iter().map(|point| self.image_from_view(point)).collect()
    }

    /// The part of the picture that both views show, or `None` if they have no area in common.
    pub fn overlap(&self, other: &View) -> Option<Region> {
        self.crop.intersection(&other.crop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: View = View { crop: Region { x0: 20.0, y0: 10.0, x1: 420.0, y1: 310.0 }, flip: false };
    const MIRRORED: View = View { crop: Region { x0: 120.5, y0: 60.25, x1: 500.0, y1: 375.0 }, flip: true };

    #[test]
    fn corresponding_points_are_one_image_point() {
        let overlap = WIDE.overlap(&MIRRORED).unwrap();
        for point in overlap.cell_centres(7) {
            let view1 = WIDE.view_from_image(point);
            let view2 = MIRRORED.view_from_image(point);
            for (view, coordinates) in [(WIDE, view1), (MIRRORED, view2)] {
                assert!(coordinates.x.abs() <= 1.0 && coordinates.y.abs() <= 1.0, "{coordinates:?}");
                let back = view.image_from_view(coordinates);
                assert!((back.x - point.x).abs() < 1e-10 && (back.y - point.y).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn the_same_view_samples_its_own_cell_centres() {
        let grid: Vec<_> = WIDE.crop.cell_centres(7).into_iter().map(|p| WIDE.view_from_image(p)).collect();
        for (i, point) in grid.iter().enumerate() {
            assert!((point.x - ((2 * (i % 7) + 1) as f64 / 7.0 - 1.0)).abs() < 1e-12);
            assert!((point.y - ((2 * (i / 7) + 1) as f64 / 7.0 - 1.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_flip_negates_x_alone() {
        let point = Point { x: 130.0, y: 70.0 };
        let plain = View { flip: false, ..MIRRORED }.view_from_image(point);
        let mirrored = MIRRORED.view_from_image(point);
        assert_eq!((plain.x, plain.y), (-mirrored.x, mirrored.y));
    }

    #[test]
    fn a_region_moves_with_its_points() {
        let overlap = WIDE.overlap(&MIRRORED).unwrap();
        let pixels = overlap.moved(|point| MIRRORED.pixels_from_image(point, 224.0));
        let right = (420.0 - 120.5) / 379.5 * 224.0;
        assert!(
            (pixels.x0 - (224.0 - right)).abs() < 1e-10 && (pixels.x1 - 224.0).abs() < 1e-10,
            "{pixels:?}"
        );
        let back = pixels.moved(|point| MIRRORED.image_from_pixels(point, 224.0));
        assert!((back.x0 - overlap.x0).abs() < 1e-10 && (back.y1 - overlap.y1).abs() < 1e-10, "{back:?}");
    }

    #[test]
    fn touching_regions_do_not_overlap() {
        let left = Region { x0: 0.0, y0: 0.0, x1: 10.0, y1: 10.0 };
        let right = Region { x0: 10.0, ..Region { x1: 20.0, ..left } };
        assert_eq!(left.intersection(&right), None);
        assert_eq!(left.intersection(&left), Some(left));
    }

    #[test]
    fn half_windows_cover_the_region() {
        let windows = WIDE.crop.half_windows();
        assert_eq!(windows.len(), 9);
        assert_eq!((windows[0].x0, windows[0].y0), (20.0, 10.0));
        assert_eq!((windows[8].x1, windows[8].y1), (420.0, 310.0));
        assert_eq!((windows[4].width(), windows[4].height()), (200.0, 150.0));
    }
}
