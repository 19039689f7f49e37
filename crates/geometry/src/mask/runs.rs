//! A mask as the lengths of its runs.

use std::ops::Range;

use super::MaskError;
use crate::Xywh;

/// A mask as the lengths of runs of pixels outside and inside the object by turns, down each column and from the left column
/// to the right one. The first run lies outside, and may be empty. The runs always fill the picture, which has at most
/// `u32::MAX` pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLengths {
    size: [u32; 2],
    counts: Vec<u32>,
}

/// Pixels of a picture, where it is known that runs can count them.
pub(super) fn pixels(size: [u32; 2]) -> u32 {
    size[0].checked_mul(size[1]).unwrap_or_else(|| panic!("{}", MaskError::TooLarge { size }))
}

impl RunLengths {
    /// A mask of `size` (`[height, width]`) by the lengths of its runs.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`] and [`MaskError::Sum`], if the runs do not fill the picture.
    pub fn new(size: [u32; 2], counts: Vec<u32>) -> Result<Self, MaskError> {
        let pixels = u64::from(size[0]) * u64::from(size[1]);
        if pixels > u64::from(u32::MAX) {
            return Err(MaskError::TooLarge { size });
        }
        let counted = counts.iter().copied().map(u64::from).sum();
        if counted != pixels { Err(MaskError::Sum { counted, size }) } else { Ok(Self { size, counts }) }
    }

    /// A mask by the bits of its picture, row by row.
    ///
    /// # Panics
    /// When there is not a bit for each pixel, or the picture has more than `u32::MAX` pixels.
    pub fn from_bits(size: [u32; 2], bits: &[bool]) -> Self {
        assert_eq!(bits.len(), pixels(size) as usize, "a bit for each pixel");
        let mut changes = Vec::new();
        let mut inside = false;
        for column in 0..size[1] {
            for row in 0..size[0] {
                if bits[row as usize * size[1] as usize + column as usize] != inside {
                    inside = !inside;
                    changes.push(column * size[0] + row);
                }
            }
        }
        Self::from_changes(size, changes)
    }

    /// A mask by the places, counted down the columns, at which it changes between outside and inside, in rising order.
    /// Two changes at one place are none, and those behind the last pixel do not matter.
    pub(super) fn from_changes(size: [u32; 2], changes: impl IntoIterator<Item = u32>) -> Self {
        let pixels = pixels(size);
        let mut kept: Vec<u32> = Vec::new();
        for change in changes.into_iter().take_while(|&change| change < pixels) {
            if kept.last() == Some(&change) {
                kept.pop();
            } else {
                kept.push(change);
            }
        }
        let mut counts = Vec::with_capacity(kept.len() + 1);
        let mut last = 0;
        for change in kept.into_iter().chain([pixels]) {
            counts.push(change - last);
            last = change;
        }
        Self { size, counts }
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The lengths of the runs.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The bits of the mask's picture, row by row.
    pub fn bits(&self) -> Vec<bool> {
        let [height, width] = self.size;
        self.bits_of(0..height, 0..width)
    }

    /// The bits of a part of the mask's picture, row by row. Costs a few operations for each run, and for each pixel of the object
    /// in the part.
    ///
    /// # Panics
    /// When the part reaches out of the picture.
    pub fn bits_of(&self, rows: Range<u32>, columns: Range<u32>) -> Vec<bool> {
        let [height, width] = self.size;
        assert!(rows.end <= height && columns.end <= width, "a part of the picture");
        let across = columns.len();
        let mut bits = vec![false; rows.len() * across];
        let of_columns = columns.start * height..columns.end * height;
        for run in self.inside().skip_while(|run| run.end <= of_columns.start) {
            if run.start >= of_columns.end {
                break;
            }
            let run = run.start.max(of_columns.start)..run.end.min(of_columns.end);
            for column in run.start / height..run.end.div_ceil(height) {
                let of_column = |place: u32| place.saturating_sub(column * height).min(height);
                let first = of_column(run.start).max(rows.start);
                for row in first..of_column(run.end).min(rows.end) {
                    bits[(row - rows.start) as usize * across + (column - columns.start) as usize] = true;
                }
            }
        }
        bits
    }

    /// Pixels inside the object.
    pub fn area(&self) -> u32 {
        self.counts.iter().skip(1).step_by(2).sum()
    }

    /// The smallest box of whole pixels around the object; all zero if no pixel is inside.
    pub fn bounding_box(&self) -> Xywh {
        let height = self.size[0];
        let [mut left, mut top, mut right, mut bottom] = [u32::MAX, u32::MAX, 0, 0];
        for run in self.inside() {
            let (first, last) = (run.start, run.end - 1);
            let (first_column, last_column) = (first / height, last / height);
            // A run that goes on in the next column holds the lowest pixel of one column and the highest of the next.
            let whole = first_column < last_column;
            left = left.min(first_column);
            right = right.max(last_column + 1);
            top = top.min(if whole { 0 } else { first % height });
            bottom = bottom.max(if whole { height } else { last % height + 1 });
        }
        match left < right {
            true => Xywh::from([left, top, right - left, bottom - top].map(f64::from)),
            false => Xywh::default(),
        }
    }

    /// The places at which the mask changes between outside and inside, in order.
    pub(super) fn changes(&self) -> impl Iterator<Item = u32> {
        let ends = self.counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        });
        ends.take(self.counts.len().saturating_sub(1))
    }

    /// The runs inside the object that are not empty, as ranges of places counted down the columns.
    pub(super) fn inside(&self) -> impl Iterator<Item = Range<u32>> {
        let mut end = 0;
        let runs = self.counts.chunks(2).map(move |pair| {
            let start = end + pair[0];
            end = start + pair.get(1).unwrap_or(&0);
            start..end
        });
        runs.filter(|run| !run.is_empty())
    }
}
