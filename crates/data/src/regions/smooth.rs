//! Gaussian smoothing in float64, as scikit-image smooths before it segments.

/// Standard deviations at which the kernel is cut off.
const TRUNCATE: f64 = 4.0;

/// A picture of three channels in float64, interleaved, row by row.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// `height * width * 3` numbers.
    pub(super) values: Vec<f64>,
}

impl Planes {
    /// The picture smoothed with a Gaussian of `sigma` pixels, first down the columns and then along the rows. The
    /// picture is mirrored at its edges, where the outermost pixels are repeated once. The numbers are added in
    /// scipy's order, from the outermost pair to the innermost, so that equal differences stay equal.
    pub(super) fn smoothed(&self, sigma: f64) -> Self {
        let weights = kernel(sigma);
        let (across, radius) = (self.width * 3, weights.len() - 1);
        let mut down = vec![0.0; self.values.len()];
        for (y, out) in down.chunks_exact_mut(across.max(1)).enumerate() {
            let row = |y: i64| &self.values[mirrored(y, self.height) * across..][..across];
            scale(row(y as i64), weights[0], out);
            for (distance, &weight) in weights.iter().enumerate().skip(1).rev() {
                let distance = distance as i64;
                add_pair(row(y as i64 - distance), row(y as i64 + distance), weight, out);
            }
        }
        let mut values = vec![0.0; self.values.len()];
        let mut padded = vec![0.0; across + 6 * radius];
        for (row, out) in down.chunks_exact(across.max(1)).zip(values.chunks_exact_mut(across.max(1))) {
            for (place, target) in padded.chunks_exact_mut(3).enumerate() {
                let x = mirrored(place as i64 - radius as i64, self.width);
                target.copy_from_slice(&row[x * 3..][..3]);
            }
            let shifted = |by: usize| &padded[by * 3..][..across];
            scale(shifted(radius), weights[0], out);
            for (distance, &weight) in weights.iter().enumerate().skip(1).rev() {
                add_pair(shifted(radius - distance), shifted(radius + distance), weight, out);
            }
        }
        Self { values, ..*self }
    }
}

fn scale(source: &[f64], weight: f64, out: &mut [f64]) {
    for (out, source) in out.iter_mut().zip(source) {
        *out = source * weight;
    }
}

fn add_pair(left: &[f64], right: &[f64], weight: f64, out: &mut [f64]) {
    for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
        *out += (left + right) * weight;
    }
}

/// The weights of the kernel from its centre outwards; their sum over both sides is 1.
fn kernel(sigma: f64) -> Vec<f64> {
    // A narrower Gaussian has one weight, and dividing by it would make that one no number.
    if sigma < 1e-3 {
        return vec![1.0];
    }
    let radius = (TRUNCATE * sigma + 0.5) as i64;
    let weight = |distance: i64| (-0.5 / (sigma * sigma) * (distance * distance) as f64).exp();
    let sum: f64 = (-radius..=radius).map(weight).sum();
    (0..=radius).map(|distance| weight(distance) / sum).collect()
}

/// The position of `length` that stands for one beyond the edges: `.. 1 0 0 1 2 .. n-1 n-1 n-2 ..`.
fn mirrored(position: i64, length: usize) -> usize {
    let length = length as i64;
    let position = position.rem_euclid(2 * length);
    position.min(2 * length - 1 - position) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_beyond_the_edges_are_mirrored() {
        let positions: Vec<_> = (-4..7).map(|position| mirrored(position, 3)).collect();
        assert_eq!(positions, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(mirrored(-9, 1), 0);
    }

    #[test]
    fn one_bright_pixel_becomes_the_kernel() {
        let mut spot = Planes { width: 9, height: 9, values: vec![0.0; 9 * 9 * 3] };
        spot.values[(4 * 9 + 4) * 3 + 1] = 1.0;
        let smooth = spot.smoothed(0.8);
        let weights = kernel(0.8);
        assert_eq!(weights.len(), 4);
        assert!((smooth.values[(4 * 9 + 6) * 3 + 1] - weights[0] * weights[2]).abs() < 1e-15);
        assert!((smooth.values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(spot.smoothed(0.0).values, spot.values);
    }
}
