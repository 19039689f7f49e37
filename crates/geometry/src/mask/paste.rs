//! Predicted masks in their picture.

use std::ops::Range;

use super::RunLengths;
use crate::Region;

/// From this share on a pixel belongs to the object.
const INSIDE: f64 = 0.5;

/// The predicted `mask` of `side x side` shares, row by row, stretched over `bbox` in a picture of `size` (`[height,
/// width]`): a share for each pixel, row by row, 0 outside. Between the centres of the cells the shares are interpolated,
/// and beyond the outermost centres they fall to 0 within half a cell and half a cell beyond (detectron2's
/// `paste_masks_in_image`).
///
/// # Panics
/// When there are not `side x side` shares.
pub fn paste(mask: &[f64], side: usize, bbox: &Region, size: [u32; 2]) -> Vec<f64> {
    let pasted = Pasted::new(mask, side, bbox, size);
    let mut picture = vec![0.0; size[0] as usize * size[1] as usize];
    pasted.for_each(|row, column, share| picture[row as usize * size[1] as usize + column as usize] = share);
    picture
}

/// The pixels of [`paste`]'s picture that reach one half, without making the picture.
///
/// # Panics
/// When there are not `side x side` shares, or the picture has more than `u32::MAX` pixels.
pub fn paste_mask(mask: &[f64], side: usize, bbox: &Region, size: [u32; 2]) -> RunLengths {
    let mut changes = Vec::new();
    Pasted::new(mask, side, bbox, size).for_each(|row, column, share| {
        if share >= INSIDE {
            let place = column * size[0] + row;
            // A pixel is a run of its own, and a run goes on where the last one ended.
            if changes.last() == Some(&place) {
                changes.pop();
                changes.push(place + 1);
            } else {
                changes.extend([place, place + 1]);
            }
        }
    });
    RunLengths::from_changes(size, changes)
}

/// A mask and where the pixels that it reaches lie between its cells.
struct Pasted<'m> {
    mask: &'m [f64],
    side: usize,
    rows: Axis,
    columns: Axis,
}

/// The pixels of one axis that the mask reaches, and where their centres lie in cells of the mask, from the centre of the
/// first cell.
struct Axis {
    pixels: Range<u32>,
    start: f64,
    length: f64,
}

impl Axis {
    fn new(start: f64, end: f64, extent: u32, side: usize) -> Self {
        // Half a cell beyond both edges is reached, and a pixel more is on the safe side of rounding.
        let margin = (end - start) / (2.0 * side as f64) + 1.0;
        let pixel = |place: f64| place.clamp(0.0, f64::from(extent)) as u32;
        // A box without a side, or of what is no number, shows nothing.
        let pixels = if end > start { pixel(start - margin)..pixel(end + margin + 1.0) } else { 0..0 };
        Self { pixels, start, length: end - start }
    }

    /// The cell at or before the centre of a pixel, and the share of the way to the next one.
    fn cell(&self, pixel: u32, side: usize) -> (isize, f64) {
        // The steps are those of PyTorch's grid_sample, so that the last bits agree.
        let grid = (f64::from(pixel) + 0.5 - self.start) / self.length * 2.0 - 1.0;
        let place = ((grid + 1.0) * side as f64 - 1.0) / 2.0;
        (place.floor() as isize, place - place.floor())
    }
}

impl<'m> Pasted<'m> {
    fn new(mask: &'m [f64], side: usize, bbox: &Region, [height, width]: [u32; 2]) -> Self {
        assert_eq!(mask.len(), side * side, "a share for each cell");
        let rows = Axis::new(bbox.y0, bbox.y1, height, side);
        Self { mask, side, rows, columns: Axis::new(bbox.x0, bbox.x1, width, side) }
    }

    /// Calls `see` with row, column and share of each pixel that the mask reaches, down the columns.
    fn for_each(&self, mut see: impl FnMut(u32, u32, f64)) {
        let cells = 0..self.side as isize;
        let within = |cell: isize| cells.contains(&cell).then_some(cell as usize);
        let rows: Vec<_> = self.rows.pixels.clone().map(|row| self.rows.cell(row, self.side)).collect();
        let mut between = vec![0.0; self.side];
        for column in self.columns.pixels.clone() {
            let (left, right) = self.columns.cell(column, self.side);
            for (row, share) in between.iter_mut().enumerate() {
                let at = |cell| within(cell).map_or(0.0, |cell| self.mask[row * self.side + cell]);
                *share = at(left) * (1.0 - right) + at(left.saturating_add(1)) * right;
            }
            for (row, &(above, below)) in self.rows.pixels.clone().zip(&rows) {
                let at = |cell| within(cell).map_or(0.0, |cell| between[cell]);
                see(row, column, at(above) * (1.0 - below) + at(above.saturating_add(1)) * below);
            }
        }
    }
}
