//! Reads test vectors, from `DENSESIAM_FIXTURES` or the copies in the repository, and fills weights by name.

use std::collections::HashMap;
use std::path::Path;

use densesiam_random::hash;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

/// One file of test vectors.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) settings: HashMap<String, String>,
    tensors: HashMap<String, Tensor>,
}

impl Fixture {
    pub(crate) fn setting<T: std::str::FromStr>(&self, key: &str) -> T {
        let text = self.settings.get(key).unwrap_or_else(|| panic!("{}: no setting {key}", self.name));
        text.parse().unwrap_or_else(|_| panic!("{}: {key} = {text}", self.name))
    }

    pub(crate) fn tensor(&self, key: &str) -> Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{}: no tensor {key}", self.name)).shallow_clone()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.tensor(key).double_value(&[0])
    }

    /// Names that start with `prefix`, less the prefix, sorted.
    pub(crate) fn names_under(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<_> = self.tensors.keys().filter_map(|name| name.strip_prefix(prefix)).collect();
        names.sort_unstable();
        names
    }
}

/// The test vectors of a family.
pub(crate) fn family(name: &str) -> Vec<Fixture> {
    densesiam_fixtures::family(name).iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Fixture {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let tensor = |(key, view): (String, safetensors::tensor::TensorView)| {
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        let kind = match view.dtype() {
            Dtype::F64 => Kind::Double,
            Dtype::F32 => Kind::Float,
            Dtype::I64 => Kind::Int64,
            Dtype::I32 => Kind::Int,
            Dtype::U8 => Kind::Uint8,
            Dtype::I8 => Kind::Int8,
            other => panic!("{name}: {key} is {other:?}"),
        };
        (key, Tensor::from_data_size(view.data(), &shape, kind))
    };
    let tensors = file.tensors().into_iter().map(tensor).collect();
    Fixture { settings: header.metadata().clone().unwrap_or_default(), tensors, name }
}

/// The numbers in `[-1, 1)` that belong to a name in every fixture of `seed` (FIXTURES: weights by name).
fn numbers_by_name(name: &str, seed: u64, count: u64) -> Vec<f32> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let base = hash(name.as_bytes()).wrapping_add(seed.wrapping_mul(GOLDEN));
    let unit = |i: u64| {
        let mut z = base.wrapping_add((i + 1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 40) as f64 / f64::from(1u32 << 24) * 2.0 - 1.0) as f32
    };
    (0..count).map(unit).collect()
}

/// The value that a parameter of this name has in every fixture of `seed`.
pub(crate) fn weight_by_name(name: &str, shape: &[i64], is_norm: bool, seed: u64) -> Tensor {
    let fan_in: i64 = shape[1..].iter().product();
    let bound = (6.0 / fan_in as f64).sqrt() as f32;
    let value = |u: f32| match (shape.len(), is_norm && name.ends_with(".weight")) {
        (1, true) => 1.0 + 0.1 * u,
        (1, false) => 0.1 * u,
        _ => u * bound,
    };
    let count = shape.iter().product::<i64>() as u64;
    let values: Vec<f32> = numbers_by_name(name, seed, count).into_iter().map(value).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// A view of a rival's fixture, in float64 (RIVAL_FIXTURES: views are not stored).
pub(crate) fn view_by_name(name: &str, shape: &[i64], seed: u64) -> Tensor {
    let values = numbers_by_name(name, seed, shape.iter().product::<i64>() as u64);
    Tensor::from_slice(&values).to_kind(Kind::Double).reshape(shape) * 2.0
}

/// Fills all parameters of a model. A one-dimensional weight is a batch norm's.
pub(crate) fn fill(parameters: &[(String, Tensor)], seed: u64) {
    tch::no_grad(|| {
        for (name, tensor) in parameters {
            let shape = tensor.size();
            let is_norm = shape.len() == 1 && name.ends_with(".weight");
            tensor.shallow_clone().copy_(&weight_by_name(name, &shape, is_norm, seed).to_device(Device::Cpu));
        }
    });
}

#[test]
fn weights_by_name_check() {
    let first = weight_by_name("encoder.conv1.weight", &[1, 6], false, 1);
    for (index, expected) in [0.568_127_3, -0.144_519_21, -0.324_919_1].iter().enumerate() {
        assert!((first.double_value(&[0, index as i64]) - expected).abs() < 1e-7);
    }
}
