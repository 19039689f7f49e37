//! Pooling of boxes of a map: a linear map whose weights are products of one weight along each axis.
//!
//! ```text
//! e[k, l] = sum over cells (i, j) of  wy[k, i] wx[l, j] f[i, j]
//! ```
//!
//! The weights of an axis are made in float64 on the processor, so boxes never have to be read back from a device, and their
//! products meet the map in one matrix product.

use densesiam_geometry::Region;
use densesiam_torch_ext::upload;
use tch::Tensor;

use crate::losses::loss_kind;

/// How the values of a box are read from the interpolated map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The exact mean of each bin; cell `i` has its centre at `i`, and the map is zero outside (Jiang et al. 2018).
    Exact,
    /// RoIAlign: the mean of samples at most one cell apart (He et al. 2017), as torchvision computes it.
    Align {
        /// Whether cell `i` has its centre at `i + 0.5`. If not, it is at `i`, and boxes are at least one cell wide, as in the first
        /// releases.
        aligned: bool,
    },
}

/// The values of `boxes`, each with the index of its picture and in pixels of its view, in `bins x bins` parts each: maps
/// `[B, C, h, w]` of this `stride` to `[boxes, C, bins, bins]`.
pub fn pool(map: &Tensor, boxes: &[(usize, Region)], stride: u32, bins: usize, reading: Reading) -> Tensor {
    let size = map.size();
    let (pictures, channels) = (size[0] as usize, size[1]);
    let (places, most) = places(boxes, pictures);
    // Along the rows, `[B, most, bins, h]`, and along the columns, `[B, most, bins, w]`; 0 for boxes that a picture lacks.
    let along = |cells: i64, ends: fn(&Region) -> [f64; 2]| {
        let of_box = bins * cells as usize;
        let mut weights = vec![0.0; pictures * most * of_box];
        for (&place, (_, region)) in places.iter().zip(boxes) {
            let ends = ends(region).map(|pixels| pixels / f64::from(stride));
            reading.fill(&mut weights[place * of_box..][..of_box], ends, bins);
        }
        let weights = upload(&weights, &[size[0], most as i64, bins as i64, cells], map.device());
        weights.to_kind(loss_kind(map.kind()))
    };
    let rows = along(size[2], |region| [region.y0, region.y1]);
    let columns = along(size[3], |region| [region.x0, region.x1]);
    let products = rows.unsqueeze(3).unsqueeze(5) * columns.unsqueeze(2).unsqueeze(4);
    let (boxes_and_gaps, bins) = (size[0] * most as i64, bins as i64);
    let products = products.reshape([size[0], most as i64 * bins * bins, size[2] * size[3]]);
    let values = products.to_kind(map.kind()).bmm(&map.flatten(2, 3).transpose(1, 2));
    let values = values.reshape([boxes_and_gaps, bins, bins, channels]).permute([0, 3, 1, 2]);
    if places.iter().copied().eq(0..pictures * most) {
        return values;
    }
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    values.index_select(0, &upload(&places, &[places.len() as i64], map.device()))
}

/// Where each box is among those of all pictures, if every picture had as many as the one with the most, and how many that has.
fn places(boxes: &[(usize, Region)], pictures: usize) -> (Vec<usize>, usize) {
    let mut counts = vec![0; pictures];
    let mut number = |picture: usize| {
        counts[picture] += 1;
        counts[picture] - 1
    };
    let numbers: Vec<usize> = boxes.iter().map(|&(picture, _)| number(picture)).collect();
    let most = counts.into_iter().max().unwrap_or(0);
    (boxes.iter().zip(numbers).map(|(&(picture, _), number)| picture * most + number).collect(), most)
}

impl Reading {
    /// Writes the weight of each cell in each bin, `[bins, side]`, along an axis of a box from `low` to `high`.
    fn fill(self, weights: &mut [f64], [low, high]: [f64; 2], bins: usize) {
        let side = weights.len() / bins;
        let (low, length) = match self {
            Self::Exact => (low, high - low),
            Self::Align { aligned: true } => (low - 0.5, high - low),
            Self::Align { aligned: false } => (low, (high - low).max(1.0)),
        };
        let bin = length / bins as f64;
        for (index, weights) in weights.chunks_exact_mut(side).enumerate() {
            let start = low + index as f64 * bin;
            match self {
                Self::Exact => exact(weights, [start, start + bin]),
                Self::Align { .. } => align(weights, start, bin),
            }
        }
    }
}

/// The mean over an interval of the linear interpolation of values at 0, 1, ..., which are zero outside.
fn exact(weights: &mut [f64], [low, high]: [f64; 2]) {
    // The integral of max(0, 1 - |u|) up to `u`.
    let integral = |u: f64| match u.clamp(-1.0, 1.0) {
        u if u < 0.0 => (1.0 + u) * (1.0 + u) / 2.0,
        u => 1.0 - (1.0 - u) * (1.0 - u) / 2.0,
    };
    for (cell, weight) in weights.iter_mut().enumerate() {
        *weight = (integral(high - cell as f64) - integral(low - cell as f64)) / (high - low);
    }
}

/// The mean of the samples of a bin. One more than a cell outside counts as 0, and one less is moved to the border.
fn align(weights: &mut [f64], start: f64, bin: f64) {
    // A size that is whole but for rounding is whole: one more sample would change the mean.
    let samples = if (bin - bin.round()).abs() < 1e-6 { bin.round() } else { bin.ceil() }.max(0.0);
    let last = weights.len() - 1;
    for sample in 0..samples as usize {
        let at = start + (sample as f64 + 0.5) * bin / samples;
        if at < -1.0 || at > weights.len() as f64 {
            continue;
        }
        let at = at.clamp(0.0, last as f64);
        let (low, share) = (at as usize, at.fract());
        weights[low] += (1.0 - share) / samples;
        weights[last.min(low + 1)] += share / samples;
    }
}
