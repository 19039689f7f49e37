//! The numbers of a step, kept on the device until a log is due, and the judgement of the monitors.

use std::time::Instant;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use crate::recipe::MonitorSettings;

/// A step whose numbers are still on the device.
#[derive(Debug)]
pub struct Pending {
    /// Steps done after it.
    pub step: u64,
    /// Samples of its batch, to name them should its loss not be finite.
    pub samples: Vec<u64>,
    names: Vec<&'static str>,
    numbers: Tensor,
    known: Vec<(&'static str, f64)>,
}

impl Pending {
    /// Keeps the scalars of a step without waiting for them.
    pub fn new(step: u64, samples: Vec<u64>, scalars: &[(&'static str, Tensor)]) -> Self {
        let numbers: Vec<_> =
            scalars.iter().map(|(_, scalar)| scalar.detach().to_kind(Kind::Float)).collect();
        let names = scalars.iter().map(|(name, _)| *name).collect();
        Self { step, samples, names, numbers: Tensor::stack(&numbers, 0), known: Vec::new() }
    }

    /// Adds numbers that are known without asking the device.
    pub fn with(mut self, known: &[(&'static str, f64)]) -> Self {
        self.known.extend_from_slice(known);
        self
    }

    /// Asks the device for the numbers.
    pub fn read(&self) -> Row {
        let numbers = self
            .names
            .iter()
            .enumerate()
            .map(|(index, name)| (*name, self.numbers.double_value(&[index as i64])));
        Row { step: self.step, values: numbers.chain(self.known.iter().copied()).collect() }
    }
}

/// The numbers of a step: one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// Names and values.
    pub values: Vec<(&'static str, f64)>,
}

impl Row {
    /// The value of this name, if the step has one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// Whether every number is finite.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|(_, value)| value.is_finite())
    }

    /// As a JSON object; whole numbers are written as such, and what is not finite as `null`.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("step".into(), json!(self.step));
        for &(name, value) in &self.values {
            let whole = value.fract() == 0.0 && value.abs() < 9e15 && COUNTS.contains(&name);
            object.insert(name.into(), if whole { json!(value as i64) } else { json!(value) });
        }
        Value::Object(object)
    }

    /// Tags and values for TensorBoard, which groups by what stands before a slash.
    pub fn tagged(&self) -> Vec<(String, f64)> {
        let tag = |name: &str| {
            let grouped = ["loss", "seconds"].into_iter().find_map(|group| {
                name.strip_prefix(group)?.strip_prefix('_').map(|rest| format!("{group}/{rest}"))
            });
            grouped.unwrap_or_else(|| name.to_owned())
        };
        self.values.iter().map(|(name, value)| (tag(name), *value)).collect()
    }

    /// What these numbers say of collapse: the number that is wrong, and how, in words.
    pub fn complaints(&self, settings: &MonitorSettings) -> Vec<(&'static str, String)> {
        let (least_spread, least_used) = (settings.min_spread, settings.min_categories);
        let spread = self.get("spread").filter(|&spread| spread < least_spread).map(|spread| {
            format!("the global outputs have collapsed: spread {spread:.4} is below {least_spread}")
        });
        let used = self.get("categories_used").filter(|&used| used < least_used as f64);
        let used = used.map(|used| format!("the pseudo-categories have collapsed: {used} in use"));
        [("spread", spread), ("categories_used", used)]
            .into_iter()
            .filter_map(|(name, why)| Some((name, why?)))
            .collect()
    }
}

/// Names of numbers that count something.
const COUNTS: [&str; 4] = ["without_overlap", "without_dense_loss", "redrawn_views", "categories_used"];

/// A stopwatch that is read between the parts of a step.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it was started or last read.
    pub fn lap(&mut self) -> f64 {
        let now = Instant::now();
        (now - std::mem::replace(&mut self.0, now)).as_secs_f64()
    }
}
