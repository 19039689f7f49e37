//! RoIAlign (He et al. 2017, section 3) of one channel, sample by sample: what the kernels must compute.

use crate::Region;

/// How the values of a box are read from a map: the mean of samples in each of `bins x bins` parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Parts of the box along a side.
    pub bins: usize,
    /// Cells of the map for one pixel: 1 / stride.
    pub scale: f64,
    /// Samples along a side of a part; 0 takes as many as the part has cells, rounded up.
    pub samples: usize,
}

/// A point that is read, as the cells around it with their shares.
type Sample = [(usize, f64); 4];

impl RoiAlign {
    /// The values of a box in pixels, row by row, from a map `[height, width]`. The centre of the first cell is at half a cell.
    /// Samples more than a cell outside are 0, those less than that are moved to the border. A box without area is 0.
    pub fn read(&self, map: &[f64], [height, width]: [usize; 2], region: &Region) -> Vec<f64> {
        let mut values = vec![0.0; self.bins * self.bins];
        self.for_each_sample([height, width], region, |bin, sample, share| {
            values[bin] += sample.iter().map(|(cell, weight)| map[*cell] * weight).sum::<f64>() * share;
        });
        values
    }

    /// Adds to `of_map` what the gradient `of_values` of the values is for the map.
    pub fn add_gradient(
        &self,
        of_values: &[f64],
        of_map: &mut [f64],
        [height, width]: [usize; 2],
        region: &Region,
    ) {
        self.for_each_sample([height, width], region, |bin, sample, share| {
            for (cell, weight) in sample {
                of_map[cell] += of_values[bin] * weight * share;
            }
        });
    }

    /// Gives each sample with the index of its part and its share in the mean.
    fn for_each_sample(
        &self,
        [height, width]: [usize; 2],
        region: &Region,
        mut give: impl FnMut(usize, Sample, f64),
    ) {
        let rows = self.samples_along([region.y0, region.y1]);
        let columns = self.samples_along([region.x0, region.x1]);
        let share = 1.0 / (rows.len() / self.bins * (columns.len() / self.bins)).max(1) as f64;
        for &(row, y) in &rows {
            for &(column, x) in &columns {
                let Some(((top, down), (left, along))) = place(y, height).zip(place(x, width)) else {
                    continue;
                };
                let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
                let sample = [
                    (top * width + left, (1.0 - down) * (1.0 - along)),
                    (top * width + right, (1.0 - down) * along),
                    (bottom * width + left, down * (1.0 - along)),
                    (bottom * width + right, down * along),
                ];
                give(row * self.bins + column, sample, share);
            }
        }
    }

    /// The samples along an axis of a box, each with its part, in cells.
    fn samples_along(&self, [low, high]: [f64; 2]) -> Vec<(usize, f64)> {
        let [low, high] = [low, high].map(|edge| edge * self.scale - 0.5);
        let bin = (high - low) / self.bins as f64;
        let count = if self.samples > 0 { self.samples } else { bin.ceil().max(0.0) as usize };
        let sample = |part: usize, index: usize| {
            let within = (index as f64 + 0.5) * bin / count as f64;
            (part, low + part as f64 * bin + within)
        };
        (0..self.bins).flat_map(|part| (0..count).map(move |index| sample(part, index))).collect()
    }
}

/// The cell at or before a coordinate and the share of the next one, or `None` if the map has nothing there.
fn place(coordinate: f64, cells: usize) -> Option<(usize, f64)> {
    if !(-1.0..=cells as f64).contains(&coordinate) {
        return None;
    }
    let coordinate = coordinate.clamp(0.0, (cells - 1) as f64);
    Some((coordinate as usize, coordinate.fract()))
}
