//! Made-up inputs, which several tests share.

use densesiam_geometry::{Region, View};
use densesiam_nn::{Architecture, EncoderSettings};
use densesiam_random::{Key, Purpose, RngExt};
use tch::Tensor;

pub(crate) fn encoder() -> EncoderSettings {
    EncoderSettings { architecture: Architecture::ResNet18, ..EncoderSettings::default() }
}

/// Uniform numbers from -1 to 1, in float64.
pub(crate) fn noise(shape: &[i64], sample: u64) -> Tensor {
    let mut stream = Key::new(3, Purpose::Demo).sample(sample).rng();
    let count = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..count).map(|_| stream.random_range(-1.0..1.0)).collect();
    Tensor::from_slice(&values).reshape(shape)
}

pub(crate) fn keys(count: usize) -> Vec<Key> {
    (0..count as u64).map(|sample| Key::new(1, Purpose::Points).sample(sample)).collect()
}

pub(crate) fn view([x0, y0, x1, y1]: [f64; 4], flip: bool) -> View {
    View { crop: Region { x0, y0, x1, y1 }, flip }
}

pub(crate) fn value(tensor: &Tensor) -> f64 {
    tensor.double_value(&[])
}
