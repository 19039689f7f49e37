//! The numbers of a step, which stay on the device until a log is due, and the checks of the monitors.

use std::time::{Duration, Instant};

use densesiam_nn::{Group, Step, Watched};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use crate::recipe::MonitorSettings;

/// A step whose numbers are still on the device.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Steps done after it.
    pub step: u64,
    /// Samples of this process's part of the batch, which are named if the loss is not finite.
    pub samples: Vec<u64>,
    /// Pictures in the batch of all processes.
    pictures: u64,
    names: Vec<&'static str>,
    numbers: Tensor,
    known: Vec<(&'static str, f64)>,
    counts: Vec<(&'static str, u64)>,
    /// What was done before the step and is no part of it, in seconds.
    apart: Vec<(&'static str, f64)>,
    /// When the step began, if its device computes asynchronously.
    began: Option<Instant>,
}

impl Pending {
    /// Keeps the scalars of a step without waiting for them.
    pub(crate) fn new(
        step: u64,
        (samples, pictures): (Vec<u64>, u64),
        scalars: &[(&'static str, Tensor)],
    ) -> Self {
        let numbers: Vec<_> =
            scalars.iter().map(|(_, scalar)| scalar.detach().to_kind(Kind::Float)).collect();
        let names = scalars.iter().map(|(name, _)| *name).collect();
        let numbers = Tensor::stack(&numbers, 0);
        Self {
            step,
            samples,
            pictures,
            names,
            numbers,
            known: Vec::new(),
            counts: Vec::new(),
            apart: Vec::new(),
            began: None,
        }
    }

    /// Adds numbers that are known without asking the device.
    pub(crate) fn with(mut self, known: &[(&'static str, f64)]) -> Self {
        self.known.extend_from_slice(known);
        self
    }

    /// Adds what was done before the step, in seconds.
    pub(crate) fn with_apart(mut self, seconds: &[(&'static str, f64)]) -> Self {
        self.apart.extend_from_slice(seconds);
        self
    }

    /// Adds how long the step has taken, which ends now: the seconds until its data were there, of its own labels, of forward
    /// and backward pass and of the optimizer. A CUDA device still computes then, and is timed by [`Pending::read_all`].
    pub(crate) fn timed(
        mut self,
        device: Device,
        (data, labelling): (f64, Option<f64>),
        [forward, backward, optimizer]: [f64; 3],
    ) -> Self {
        let seconds = data + labelling.unwrap_or_default() + forward + backward + optimizer;
        if device != Device::Cpu {
            self.began = Instant::now().checked_sub(Duration::from_secs_f64(seconds));
            return self.with(&[("seconds_data", data)]);
        }
        let pictures_per_second = self.pictures as f64 / seconds;
        self.with(&[("pictures_per_second", pictures_per_second), ("seconds_data", data)])
            .with(labelling.map(|labelling| ("seconds_labelling", labelling)).as_slice())
            .with(&[
                ("seconds_forward", forward),
                ("seconds_backward", backward),
                ("seconds_optimizer", optimizer),
            ])
    }

    /// Asks the device for the numbers of steps that followed each other. On a CUDA device all have the mean rate and time of a
    /// step, from the beginning of the first until the device has given the last number.
    pub(crate) fn read_all(steps: &[Self]) -> Vec<Row> {
        let mut rows: Vec<Row> = steps.iter().map(Self::read).collect();
        if let Some(began) = steps.first().and_then(|first| first.began) {
            // What was done between them.
            let apart: f64 = steps[1..].iter().flat_map(|step| &step.apart).map(|(_, seconds)| seconds).sum();
            let seconds = began.elapsed().as_secs_f64() - apart;
            let pictures: u64 = steps.iter().map(|step| step.pictures).sum();
            let times = [
                ("pictures_per_second", pictures as f64 / seconds),
                ("seconds_step", seconds / steps.len() as f64),
            ];
            rows.iter_mut().for_each(|row| row.values.extend(times));
        }
        rows
    }

    fn read(&self) -> Row {
        // One reading for all: each waits for the device.
        let mut numbers = vec![0f32; self.names.len()];
        self.numbers.copy_data(&mut numbers, self.names.len());
        let numbers = self.names.iter().copied().zip(numbers.into_iter().map(f64::from));
        let values = numbers.chain(self.known.iter().copied()).collect();
        Row { step: self.step, values, counts: self.counts.clone(), apart: self.apart.clone() }
    }
}

/// The numbers of a step: one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Steps done.
    pub step: u64,
    /// Names and values.
    pub values: Vec<(&'static str, f64)>,
    /// Names and values of what is counted.
    pub counts: Vec<(&'static str, u64)>,
    /// What was done before the step, in seconds.
    pub apart: Vec<(&'static str, f64)>,
}

impl Row {
    /// The value of this name, if the step has one.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// How long the step took.
    pub(crate) fn seconds(&self) -> f64 {
        let parts = self.values.iter().filter(|(name, _)| name.starts_with("seconds_"));
        self.get("seconds_step").unwrap_or_else(|| parts.map(|(_, seconds)| seconds).sum())
    }

    /// Whether every number is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.values.iter().all(|(_, value)| value.is_finite())
    }

    /// As a JSON object; whole numbers are written as such, and what is not finite as `null`.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("step".into(), json!(self.step));
        for &(name, value) in self.values.iter().chain(&self.apart) {
            // A count, though a device gave it.
            let is_count = name == CATEGORIES_USED && value.is_finite();
            object.insert(name.into(), if is_count { json!(value as u64) } else { json!(value) });
        }
        object.extend(self.counts.iter().map(|&(name, count)| (name.to_owned(), json!(count))));
        Value::Object(object)
    }

    /// Tags and values for TensorBoard, which groups by what stands before a slash.
    pub(crate) fn tagged(&self) -> Vec<(String, f64)> {
        let tag = |name: &str| {
            let grouped = ["loss", "seconds"].into_iter().find_map(|group| {
                name.strip_prefix(group)?.strip_prefix('_').map(|rest| format!("{group}/{rest}"))
            });
            grouped.unwrap_or_else(|| name.to_owned())
        };
        let counts = self.counts.iter().map(|&(name, count)| (name, count as f64));
        self.values
            .iter()
            .chain(&self.apart)
            .copied()
            .chain(counts)
            .map(|(name, value)| (tag(name), value))
            .collect()
    }

    /// What these numbers say of collapse: the number that is wrong, and how, in words.
    pub(crate) fn complaints(&self, settings: &MonitorSettings) -> Vec<(&'static str, String)> {
        let (least_spread, least_used) = (settings.min_spread, settings.min_categories);
        let spread = self.get("spread").filter(|&spread| spread < least_spread).map(|spread| {
            format!("the global outputs have collapsed: spread {spread:.4} is below {least_spread}")
        });
        let used = self.get(CATEGORIES_USED).filter(|&used| used < least_used as f64);
        let used = used.map(|used| format!("the pseudo-categories have collapsed: {used} in use"));
        [("spread", spread), (CATEGORIES_USED, used)]
            .into_iter()
            .filter_map(|(name, why)| Some((name, why?)))
            .collect()
    }
}

/// The number of pseudo-categories in use, as the monitors name it.
const CATEGORIES_USED: &str = "categories_used";

/// A step that was taken. Nothing in it has been read from the device.
pub struct Taken {
    /// The loss and the numbers that the learner returned.
    pub output: Step,
    /// The L2 norm of all gradients.
    pub gradient_norm: Tensor,
    /// 1 where loss or gradient were not finite, and no parameter was changed; else 0.
    pub skip: Tensor,
    /// Seconds of labelling the batch, if the method labelled it.
    pub labelling: Option<f64>,
    /// Seconds of the forward pass, the backward pass and the optimizer. A CUDA device still computes then.
    pub seconds: [f64; 3],
}

impl Taken {
    /// What the log keeps of the step; `seconds_data` is how long its batch was waited for, and `monitored` are the processes
    /// whose monitors are due.
    pub(crate) fn pending(
        &self,
        step: u64,
        (samples, pictures): (&[u64], u64),
        (device, seconds_data): (Device, f64),
        monitored: Option<&Group>,
    ) -> Pending {
        let pending = Pending::new(step, (samples.to_vec(), pictures), &self.numbers(monitored)).timed(
            device,
            (seconds_data, self.labelling),
            self.seconds,
        );
        Pending { counts: self.output.counts.clone(), ..pending }
    }

    /// The scalars of the step by their names in the log, those of the monitors, over all processes, where they are due.
    fn numbers(&self, monitored: Option<&Group>) -> Vec<(&'static str, Tensor)> {
        let mut numbers = vec![("loss", self.output.loss.shallow_clone())];
        numbers.extend(self.output.parts.iter().map(|(name, part)| (*name, part.shallow_clone())));
        numbers.push(("gradient_norm", self.gradient_norm.shallow_clone()));
        let watched =
            monitored.into_iter().flat_map(|group| self.output.watched.iter().map(move |seen| (seen, group)));
        numbers.extend(watched.flat_map(|(seen, group)| Watched::numbers(seen, group)));
        numbers
    }
}

/// A stopwatch that is read between the parts of a step.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it was started or last read.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        (now - std::mem::replace(&mut self.0, now)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(device: Device) -> Vec<Row> {
        let step = |step| {
            let loss = Tensor::from_slice(&[step as f32]).get(0);
            Pending::new(step, (vec![0; 4], 4), &[("loss", loss)]).timed(
                device,
                (0.25, None),
                [0.5, 1.0, 0.25],
            )
        };
        Pending::read_all(&[step(1), step(2)])
    }

    #[test]
    fn a_step_of_the_processor_has_the_time_of_its_parts() {
        for row in steps(Device::Cpu) {
            let names = ["pictures_per_second", "seconds_data", "seconds_forward", "seconds_step"];
            assert_eq!(names.map(|name| row.get(name)), [Some(2.0), Some(0.25), Some(0.5), None]);
        }
    }

    #[test]
    fn steps_of_a_cuda_device_are_timed_until_their_numbers_are_there() {
        let rows = steps(Device::Cuda(0));
        for row in &rows {
            let [rate, step] = ["pictures_per_second", "seconds_step"].map(|name| row.get(name).unwrap());
            assert!((rate * step - 4.0).abs() < 1e-9 && step >= 1.0, "{row:?}");
            assert_eq!(row.get("seconds_data"), Some(0.25));
            // The time at which work was queued does not tell when it was done.
            assert!(
                row.values.iter().all(|(name, _)| !name.ends_with("ward") && !name.ends_with("optimizer"))
            );
        }
        assert_eq!(rows.iter().map(|row| row.get("loss")).collect::<Vec<_>>(), [Some(1.0), Some(2.0)]);
    }
}
