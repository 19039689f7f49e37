//! Polygons as masks, by COCO's rule: the outline is drawn on a grid five times finer than the pixels, and a pixel column
//! changes between outside and inside where the outline passes the middle of the column.

use super::RunLengths;
use crate::{Point, Xywh};

/// Cells of the fine grid on a pixel's side.
const FINE: i64 = 5;
/// The cell of a pixel's side whose right border is the middle that counts.
const MIDDLE: i64 = 2;
/// Far outside any picture, in cells; farther vertices are moved here, so that integers suffice.
const FAR: f64 = 1e12;

/// A vertex of the outline, in cells of the fine grid.
#[derive(Clone, Copy)]
struct Vertex {
    x: i64,
    y: i64,
}

impl RunLengths {
    /// The mask of a closed polygon in a picture of `size` (`[height, width]`). Vertices are in image space and may lie
    /// outside. Costs a few operations for each pixel column that an edge passes.
    ///
    /// # Panics
    /// When the picture has more than `u32::MAX` pixels.
    pub fn from_polygon(vertices: impl IntoIterator<Item = Point>, size: [u32; 2]) -> Self {
        super::runs::pixels(size);
        // A conversion drops the digits behind the point and turns what is no number into 0.
        let fine = |value: f64| (FINE as f64 * value + 0.5).clamp(-FAR, FAR) as i64;
        let vertices: Vec<Vertex> =
            vertices.into_iter().map(|point| Vertex { x: fine(point.x), y: fine(point.y) }).collect();
        let mut changes = Vec::new();
        for (index, &from) in vertices.iter().enumerate() {
            let to = vertices[(index + 1) % vertices.len()];
            Edge::new(from, to).for_each_column(size, |column, row| changes.push(column * size[0] + row));
        }
        changes.sort_unstable();
        Self::from_changes(size, changes)
    }

    /// The union of the masks of an object's polygons; empty without polygons.
    ///
    /// # Panics
    /// When the picture has more than `u32::MAX` pixels.
    pub fn from_polygons<P>(polygons: impl IntoIterator<Item = P>, size: [u32; 2]) -> Self
    where
        P: IntoIterator<Item = Point>,
    {
        let masks = polygons.into_iter().map(|polygon| Self::from_polygon(polygon, size));
        // All are of one size.
        let union = Self::union(masks).ok().flatten();
        union.unwrap_or_else(|| Self::from_changes(size, []))
    }

    /// The mask of a box in a picture of `size` (`[height, width]`): that of the polygon of its corners.
    ///
    /// # Panics
    /// When the picture has more than `u32::MAX` pixels.
    pub fn from_box(bbox: &Xywh, size: [u32; 2]) -> Self {
        let (right, bottom) = (bbox.x + bbox.width, bbox.y + bbox.height);
        let corners = [(bbox.x, bbox.y), (bbox.x, bottom), (right, bottom), (right, bbox.y)];
        Self::from_polygon(corners.map(|(x, y)| Point { x, y }), size)
    }
}

/// An edge of the outline, drawn a cell at a time along its longer side, from its lower end on that side: both directions
/// give the same cells.
struct Edge {
    start: Vertex,
    /// Cells on the longer side.
    steps: i64,
    /// Cells on the shorter side for each one on the longer side.
    slope: f64,
    /// Whether the longer side is the horizontal one.
    flat: bool,
}

impl Edge {
    fn new(from: Vertex, to: Vertex) -> Self {
        let (across, down) = (to.x - from.x, to.y - from.y);
        let flat = across.abs() >= down.abs();
        let (longer, shorter) = if flat { (across, down) } else { (down, across) };
        let start = if longer < 0 { to } else { from };
        Self { start, steps: longer.abs(), slope: shorter as f64 / longer as f64, flat }
    }

    /// The cell after `step` steps.
    fn cell(&self, step: i64) -> Vertex {
        let beside = |start: i64| (start as f64 + self.slope * step as f64 + 0.5) as i64;
        match self.flat {
            true => Vertex { x: self.start.x + step, y: beside(self.start.y) },
            false => Vertex { x: beside(self.start.x), y: self.start.y + step },
        }
    }

    /// Calls `change` with each pixel column whose middle the edge passes, and the row from which on the column's pixels lie
    /// below the edge.
    fn for_each_column(&self, [height, width]: [u32; 2], mut change: impl FnMut(u32, u32)) {
        let (first, last) = (self.cell(0).x, self.cell(self.steps).x);
        let columns = (first.min(last) + FINE - 1 - MIDDLE).div_euclid(FINE).max(0)
            ..(first.max(last) - MIDDLE - 1).div_euclid(FINE).min(i64::from(width) - 1) + 1;
        for column in columns {
            let step = self.step_over(FINE * column + MIDDLE);
            let y = self.cell(step).y.min(self.cell(step + 1).y);
            let row = (y + FINE - 1 - MIDDLE).div_euclid(FINE).clamp(0, i64::from(height));
            change(column as u32, row as u32);
        }
    }

    /// The step from which the next one crosses the right border of the cells at `x`.
    fn step_over(&self, x: i64) -> i64 {
        if self.flat {
            return x - self.start.x;
        }
        // The cells move to one side along the edge, so that the step can be searched by halves.
        let beyond = |step: i64| (self.cell(step).x > x) != (self.slope < 0.0);
        let (mut before, mut behind) = (0, self.steps);
        while behind - before > 1 {
            let middle = before + (behind - before) / 2;
            if beyond(middle) { behind = middle } else { before = middle }
        }
        before
    }
}
