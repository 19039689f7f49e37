//! The mask that a model should predict in a proposed box.

use super::RunLengths;
use crate::{Point, Region};

/// Sides of boxes below this length in pixels count as this long, so that a target can be divided by them.
const SHORTEST: f64 = 0.1;

/// What a mask head should predict for a proposal that shows the object of these polygons: `side x side` cells, row by row
/// (detectron2's `rasterize_polygons_within_box`). Polygons and proposal are in one space.
pub fn target_from_polygons<P>(
    polygons: impl IntoIterator<Item = P>,
    proposal: &Region,
    side: usize,
) -> Vec<bool>
where
    P: IntoIterator<Item = Point>,
{
    let scale = |length: f64| side as f64 / length.max(SHORTEST);
    let (across, down) = (scale(proposal.width()), scale(proposal.height()));
    let cells =
        |point: Point| Point { x: (point.x - proposal.x0) * across, y: (point.y - proposal.y0) * down };
    let polygons = polygons.into_iter().map(|polygon| polygon.into_iter().map(cells));
    RunLengths::from_polygons(polygons, [side as u32; 2]).bits()
}

/// As [`target_from_polygons`], of an object that is known by the bits of a picture of `size` (`[height, width]`), row by
/// row: the mean of each cell by ROIAlign (shifted by half a pixel, as many samples as the cell has pixels), true from one
/// half on.
///
/// # Panics
/// When there is not a bit for each pixel.
pub fn target_from_bits(
    bits: &[bool],
    [height, width]: [usize; 2],
    proposal: &Region,
    side: usize,
) -> Vec<bool> {
    assert_eq!(bits.len(), height * width, "a bit for each pixel");
    target_of_part((bits, [height, width]), [height, width], proposal, side)
}

/// As [`target_from_bits`], of a part of a picture that is `whole` pixels high and wide; the proposal is that in the part.
fn target_of_part(
    (bits, [height, width]): (&[bool], [usize; 2]),
    whole: [usize; 2],
    proposal: &Region,
    side: usize,
) -> Vec<bool> {
    let rows = samples((proposal.y0, proposal.height()), [height, whole[0]], side);
    let columns = samples((proposal.x0, proposal.width()), [width, whole[1]], side);
    let value = |row: usize, column: usize| f64::from(u8::from(bits[row * width + column]));
    let at = |y: &Sample, x: &Sample| {
        y.low_weight * (x.low_weight * value(y.low, x.low) + x.high_weight * value(y.low, x.high))
            + y.high_weight * (x.low_weight * value(y.high, x.low) + x.high_weight * value(y.high, x.high))
    };
    let cell = |rows: &[Option<Sample>], columns: &[Option<Sample>]| -> bool {
        let pairs = rows.iter().flatten().flat_map(|y| columns.iter().flatten().map(move |x| at(y, x)));
        pairs.sum::<f64>() / ((rows.len() * columns.len()).max(1) as f64) >= 0.5
    };
    rows.iter().flat_map(|rows| columns.iter().map(|columns| cell(rows, columns))).collect()
}

/// As [`target_from_bits`], of an object that is known by its run lengths.
pub fn target_from_runs(mask: &RunLengths, proposal: &Region, side: usize) -> Vec<bool> {
    let [height, width] = mask.size();
    // Samples lie in the proposal, and read the pixels next to it.
    let beside = |start: f64, end: f64, extent: u32| {
        let first = (start.floor() - 1.0).clamp(0.0, f64::from(extent)) as u32;
        first..((end.ceil() + 1.0).clamp(0.0, f64::from(extent)) as u32).max(first)
    };
    let rows = beside(proposal.y0, proposal.y1, height);
    let columns = beside(proposal.x0, proposal.x1, width);
    let [left, top] = [columns.start, rows.start].map(f64::from);
    let part = [rows.len(), columns.len()];
    let Region { x0, y0, x1, y1 } = *proposal;
    let moved = Region { x0: x0 - left, y0: y0 - top, x1: x1 - left, y1: y1 - top };
    let whole = [height, width].map(|side| side as usize);
    target_of_part((&mask.bits_of(rows, columns), part), whole, &moved, side)
}

/// A place between two neighbouring pixels of one axis, and their weights.
struct Sample {
    low: usize,
    high: usize,
    low_weight: f64,
    high_weight: f64,
}

/// Where the cells of a box from `start` on sample one axis, cell by cell, of a part that is `extent` pixels long, of a picture of
/// `whole` pixels; `None` for places that lie outside and count as 0.
fn samples(
    (start, length): (f64, f64),
    [extent, whole]: [usize; 2],
    side: usize,
) -> Vec<Vec<Option<Sample>>> {
    let cell = length / side as f64;
    // A box far larger than its picture would have samples without number, almost all of them outside.
    let count = (cell.ceil().max(0.0) as usize).min(whole.max(1) * 4);
    let place = |index: usize, number: usize| {
        start - 0.5 + index as f64 * cell + (number as f64 + 0.5) * cell / count as f64
    };
    (0..side).map(|index| (0..count).map(|number| sample(place(index, number), extent)).collect()).collect()
}

fn sample(place: f64, extent: usize) -> Option<Sample> {
    // Also what is no number is outside.
    if !(-1.0..=extent as f64).contains(&place) {
        return None;
    }
    let place = place.max(0.0);
    let last = extent.checked_sub(1)?;
    let low = (place as usize).min(last);
    let high = (low + 1).min(last);
    let high_weight = if low == last { 0.0 } else { place - low as f64 };
    Some(Sample { low, high, low_weight: 1.0 - high_weight, high_weight })
}
