//! What a segmentation costs, so that methods are compared by it: the seconds of an epoch by what they were spent on.

use std::fmt;

use super::clusters::{ENCODER, K_MEANS, READING};
use crate::run::Table;

/// Seconds of an epoch on the run's device, as its log has them. What is read while the device computes costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Waiting for pictures.
    pub reading: f64,
    /// Encoder passes without a gradient: features that are clustered, and labels. On a CUDA device labels are part of the steps, and
    /// k-means waits for the passes.
    pub without_gradient: f64,
    /// Steps: forward and backward pass and optimizer.
    pub with_gradient: f64,
    /// K-means.
    pub clustering: f64,
    /// Scores on the labelled pictures, which are no part of the training.
    pub evaluation: f64,
}

impl Cost {
    /// What the whole is called in tables.
    pub const TRAINING: &str = "seconds an epoch";

    /// Of a run's metrics and evaluations; `None` before its first step.
    pub fn of(metrics: &Table, evaluations: &Table) -> Option<Self> {
        let epochs = metrics.last("epoch").filter(|&epochs| epochs > 0.0)?;
        let an_epoch =
            |names: &[&str]| names.iter().flat_map(|name| metrics.values(name)).sum::<f64>() / epochs;
        // Once an epoch, however much of it is done.
        let a_pass = |name: &str| {
            let (sum, passes) =
                metrics.values(name).fold((0.0, 0.0), |(sum, passes), of| (sum + of, passes + 1.0));
            if passes == 0.0 { 0.0 } else { sum / passes }
        };
        let waiting = an_epoch(&["seconds_data"]);
        let steps = match an_epoch(&["seconds_forward", "seconds_backward", "seconds_optimizer"]) {
            // A CUDA device is timed by whole steps.
            0.0 => an_epoch(&["seconds_step"]) - waiting,
            parts => parts,
        };
        let in_training = evaluations.points("seconds").filter(|(step, _)| *step > 0.0);
        let evaluated: f64 = in_training.map(|(_, seconds)| seconds).sum();
        Some(Self {
            reading: waiting + a_pass(READING),
            without_gradient: a_pass(ENCODER) + an_epoch(&["seconds_labelling"]),
            with_gradient: steps,
            clustering: a_pass(K_MEANS),
            evaluation: evaluated / epochs,
        })
    }

    /// The seconds of an epoch of training, without evaluations.
    pub fn training(&self) -> f64 {
        self.reading + self.without_gradient + self.with_gradient + self.clustering
    }

    /// Names and values of its parts, as in tables.
    pub fn figures(&self) -> [(&'static str, f64); 6] {
        [
            (Self::TRAINING, self.training()),
            ("reading, s", self.reading),
            ("encoder without gradient, s", self.without_gradient),
            ("encoder with gradient, s", self.with_gradient),
            ("k-means, s", self.clustering),
            ("evaluation, s", self.evaluation),
        ]
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1} s", self.training())
    }
}
