//! What the test vectors of the evaluations by transfer have in common: their pictures, and other frameworks' names.

use serde_json::Value;
use tch::{Kind, Tensor};

use crate::fixtures::Fixture;

/// Names and tensors as the fixture calls them.
pub(crate) fn renamed(
    tensors: Vec<(String, Tensor)>,
    rename: impl Fn(&str) -> String,
) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

/// A setting that is a structure.
pub(crate) fn json(fixture: &Fixture, key: &str) -> Value {
    serde_json::from_str(&fixture.setting::<String>(key)).unwrap()
}

pub(crate) fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

/// Normalised in float64, from bytes `[..., 3, H, W]`.
pub(crate) fn normalised(bytes: &Tensor) -> Tensor {
    let row = |values: [f64; 3]| Tensor::from_slice(&values).reshape([3, 1, 1]);
    (bytes.to_kind(Kind::Double) - row([123.675, 116.28, 103.53])) / row([58.395, 57.12, 57.375])
}
