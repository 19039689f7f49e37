//! Separable Gaussian blur of one row at a time: first down the columns, then along the row.
//!
//! A true Gaussian cut at three standard deviations (Pillow approximates it by three boxes); pixels beyond the border
//! repeat the border, as in Pillow. Sums run in one fixed order, so that every instruction set gives the same bits.

use multiversion::multiversion;

/// The number of outputs whose sums stay in registers.
const BLOCK: usize = 32;

/// The weights of a Gaussian from its centre outwards: `weights[k]` belongs to the distances `k` and `-k`; with
/// their mirror images they sum to 1. `sigma` is in pixels.
pub(super) fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i32;
    let weights: Vec<f64> = (0..=radius).map(|k| (-0.5 * (f64::from(k) / sigma).powi(2)).exp()).collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Row `row` of the blurred plane of `width` columns into `out` (`width` values). `padded` is working memory.
pub(super) fn blur_row(
    plane: &[f32],
    width: usize,
    row: usize,
    weights: &[f32],
    padded: &mut Vec<f32>,
    out: &mut [f32],
) {
    let radius = weights.len() - 1;
    padded.resize(width + 2 * radius, 0.0);
    blur_columns(plane, width, row, weights, &mut padded[radius..radius + width]);
    let (first, last) = (padded[radius], padded[radius + width - 1]);
    padded[..radius].fill(first);
    padded[radius + width..].fill(last);
    blur_along(padded, weights, out);
}

#[multiversion(targets = "simd")]
fn blur_columns(plane: &[f32], width: usize, row: usize, weights: &[f32], out: &mut [f32]) {
    let last = plane.len() / width - 1;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let columns = |row: usize| &plane[row * width + block * BLOCK..][..out.len()];
        let mut sums = [0.0f32; BLOCK];
        for (sum, value) in sums.iter_mut().zip(columns(row)) {
            *sum = weights[0] * value;
        }
        for (distance, weight) in weights.iter().enumerate().skip(1) {
            let above = columns(row.saturating_sub(distance));
            let below = columns((row + distance).min(last));
            add_pair(&mut sums, *weight, above, below);
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

#[multiversion(targets = "simd")]
fn blur_along(padded: &[f32], weights: &[f32], out: &mut [f32]) {
    let radius = weights.len() - 1;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let shifted = |start: usize| &padded[block * BLOCK + start..][..out.len()];
        let mut sums = [0.0f32; BLOCK];
        for (sum, value) in sums.iter_mut().zip(shifted(radius)) {
            *sum = weights[0] * value;
        }
        for (distance, weight) in weights.iter().enumerate().skip(1) {
            add_pair(&mut sums, *weight, shifted(radius - distance), shifted(radius + distance));
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Adds `weight * (left + right)`; whole blocks, whose length the compiler knows, are handled separately from the last
/// one.
#[inline(always)]
fn add_pair(sums: &mut [f32; BLOCK], weight: f32, left: &[f32], right: &[f32]) {
    if let (Ok(left), Ok(right)) = (<&[f32; BLOCK]>::try_from(left), <&[f32; BLOCK]>::try_from(right)) {
        for i in 0..BLOCK {
            sums[i] += weight * (left[i] + right[i]);
        }
    } else {
        for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += weight * (left + right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the blurred plane.
    fn blurred(plane: &[f32], width: usize, sigma: f64) -> Vec<f32> {
        let mut out = vec![0.0; plane.len()];
        for (row, out) in out.chunks_mut(width).enumerate() {
            blur_row(plane, width, row, &gaussian(sigma), &mut Vec::new(), out);
        }
        out
    }

    #[test]
    fn a_point_becomes_the_product_of_two_gaussians() {
        let (width, height, sigma) = (45, 41, 1.7);
        let mut plane = vec![0.0; width * height];
        plane[20 * width + 33] = 1000.0;
        let found = blurred(&plane, width, sigma);
        let weights = gaussian(sigma);
        let weight = |distance: usize| weights.get(distance).copied().unwrap_or(0.0);
        for (i, value) in found.iter().enumerate() {
            let expected = 1000.0 * weight((i % width).abs_diff(33)) * weight((i / width).abs_diff(20));
            assert!((value - expected).abs() < 1e-3, "{i}: {value} {expected}");
        }
    }

    #[test]
    fn a_constant_stays_up_to_its_borders_even_in_tiny_views() {
        for (width, height) in [(1, 1), (2, 3), (70, 5)] {
            let found = blurred(&vec![200.0; width * height], width, 2.0);
            assert!(found.iter().all(|value| (value - 200.0).abs() < 1e-3), "{width} x {height}");
        }
    }

    #[test]
    fn the_smallest_sigma_leaves_a_picture_as_it_is() {
        let plane: Vec<f32> = (0..600).map(|i| (i * 37 % 256) as f32).collect();
        assert!(blurred(&plane, 30, 0.1).iter().zip(&plane).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
