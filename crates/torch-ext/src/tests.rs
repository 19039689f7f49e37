//! Tests the layers, each in the file of its name, against libtorch in float64 and against themselves, and the other
//! functions of each folder.

mod batch_norm;
mod clusters;
mod compiled;
mod contrast;
mod convolution;
mod cross_entropy;
mod cuda;
mod group;
mod libtorch;
mod max_pool;
mod moments;
mod place;
mod processor;
mod roi_align;
mod sample;

use densesiam_random::{Key, Purpose};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use super::*;

/// Normal noise of this shape, float32.
fn noise(shape: &[i64], seed: u64) -> Tensor {
    let stream = StandardNormal.sample_iter(Key::new(seed, Purpose::Demo).rng());
    let values: Vec<f32> = stream.take(shape.iter().product::<i64>() as usize).collect();
    Tensor::from_slice(&values).reshape(shape)
}
