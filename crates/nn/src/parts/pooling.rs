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
use tch::{Device, Tensor};

use crate::losses::loss_kind;

/// How the values of a box are read from the interpolated map. Boxes are measured in cells.
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

/// The pooling of boxes of a batch of maps.
#[derive(Debug)]
pub struct RegionPooling {
    /// Along the rows and along the columns of the map: `[B, n, bins, h]` and `[B, n, bins, w]`, where `n` is the largest number of
    /// boxes in a picture. Those of boxes that a picture lacks are 0.
    weights: [Tensor; 2],
    /// Where the boxes are among the `B n`, `[R]`; `None` if they are all of them, in order.
    places: Option<Tensor>,
}

impl RegionPooling {
    /// Of `boxes`, each with the index of its picture, in cells of maps of `[h, w]` cells, to `bins x bins` values. The batch has
    /// `pictures`.
    pub fn new(
        boxes: &[(usize, Region)],
        pictures: usize,
        cells: [i64; 2],
        bins: usize,
        reading: Reading,
        device: Device,
    ) -> Self {
        let mut counts = vec![0; pictures];
        let place_in_picture: Vec<usize> = boxes
            .iter()
            .map(|&(picture, _)| {
                counts[picture] += 1;
                counts[picture] - 1
            })
            .collect();
        let most = counts.into_iter().max().unwrap_or(0);
        let places = boxes.iter().zip(place_in_picture).map(|(&(picture, _), at)| picture * most + at);
        let places: Vec<usize> = places.collect();
        let weights = [0, 1].map(|axis: usize| {
            let side = cells[axis] as usize;
            let mut weights = vec![0.0; pictures * most * bins * side];
            for (&place, (_, region)) in places.iter().zip(boxes) {
                let ends = if axis == 0 { [region.y0, region.y1] } else { [region.x0, region.x1] };
                let of_box = &mut weights[place * bins * side..][..bins * side];
                reading.fill(of_box, ends, bins);
            }
            upload(&weights, &[pictures as i64, most as i64, bins as i64, cells[axis]], device)
        });
        let complete = places.iter().copied().eq(0..pictures * most);
        let places = (!complete).then(|| {
            let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
            upload(&places, &[places.len() as i64], device)
        });
        Self { weights, places }
    }

    /// The values of the boxes, in their order: `[B, C, h, w]` to `[R, C, bins, bins]`.
    pub fn forward(&self, map: &Tensor) -> Tensor {
        let kind = loss_kind(map.kind());
        let [rows, columns] = self.weights.each_ref().map(|weights| weights.to_kind(kind));
        let (size, channels) = (rows.size(), map.size()[1]);
        let (boxes, bins) = (size[0] * size[1], size[2]);
        let products = rows.unsqueeze(3).unsqueeze(5) * columns.unsqueeze(2).unsqueeze(4);
        let products = products.reshape([size[0], size[1] * bins * bins, size[3] * columns.size()[3]]);
        let pooled = products.to_kind(map.kind()).bmm(&map.flatten(2, 3).transpose(1, 2));
        let pooled = pooled.reshape([boxes, bins, bins, channels]).permute([0, 3, 1, 2]);
        self.places.as_ref().map_or(pooled.shallow_clone(), |places| pooled.index_select(0, places))
    }
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
