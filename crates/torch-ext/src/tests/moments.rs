//! The statistics of batch norm on CUDA devices where sums in float32 lose digits: values far from each other, or from 0. About
//! the first row they were off by 3e-3 where that row lay 100 deviations away, by 0.15 at 1,000.

use super::place::places;
use super::*;

const CHANNELS: i64 = 8;

/// Mean and unbiased variance of each channel, in float64: those that the norm records.
fn recorded(map: &Tensor) -> [Tensor; 2] {
    let running = [0.0, 1.0].map(|value| Tensor::full([CHANNELS], value, (Kind::Float, map.device())));
    let norm = BatchNorm {
        affine: None,
        running: (&running[0], &running[1]),
        views: 1,
        momentum: 1.0,
        epsilon: 1e-5,
        residual: None,
        relu: false,
        group: None,
    };
    let _ = batch_norm(map, norm);
    running.map(|of| of.to_kind(Kind::Double).to_device(Device::Cpu))
}

/// `count` rows of normal noise, in units of its deviation: the first, the first half or all of them lie `distance` away.
fn far_away(distance: f64, rows: i64, of_them: i64) -> Tensor {
    let map = noise(&[rows, CHANNELS], 1);
    let _ = map.narrow(0, 0, of_them).g_add_scalar_(distance);
    map
}

#[test]
fn moments_keep_their_digits_at_every_distance() {
    // Many rows for each thread, and less than one.
    for rows in [300_000, 3_001, 40] {
        for distance in [0.0, 10.0, 100.0, 1e3, 1e4] {
            for of_them in [1, rows / 2, rows] {
                let map = far_away(distance, rows, of_them);
                let double = map.to_kind(Kind::Double);
                let mean = double.mean_dim(0, false, Kind::Double);
                let variance = double.var_dim(0, true, false);
                for place in places().filter(place::Place::has_cuda_kernels) {
                    let [found_mean, found_variance] = recorded(&map.to_device(place.device));
                    let largest = |of: Tensor| of.abs().max().double_value(&[]);
                    let of_mean = largest((found_mean - &mean) / variance.sqrt());
                    let of_variance = largest((found_variance - &variance) / &variance);
                    let case = format!("{of_them} of {rows} rows {distance} deviations away");
                    // In float32 a value is only known to 6e-8 of its distance from 0.
                    assert!(of_mean < 1e-6 + 1e-7 * distance, "{case}: mean, by {of_mean:e} deviations");
                    assert!(
                        of_variance < 1e-5_f64.max(1e-8 * distance),
                        "{case}: variance, by {of_variance:e}"
                    );
                }
            }
        }
    }
}
