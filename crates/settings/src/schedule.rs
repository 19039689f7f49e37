//! The learning rate as a pure function of the step, so there is nothing to save, and a resumed run cannot drift.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::duration::{Duration, Horizon};
use crate::{SettingError, require};

/// The shape of the learning rate over the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// From the peak to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts).
    #[default]
    Cosine,
    /// The peak throughout.
    Constant,
    /// Multiplied by `step_factor` at every milestone.
    Step,
    /// From the peak to `final_share` of it, along a power of the share of the training that remains (mmsegmentation's
    /// `poly`).
    Polynomial,
}

/// How the learning rate changes over the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The shape after the warm-up.
    pub kind: ScheduleKind,
    /// Linear rise to the peak at the start; `"0 steps"` for none.
    pub warmup: Duration,
    /// The share of the peak at which the warm-up starts, as in detectron2. With 0 it rises in equal parts from nothing, the
    /// first of which the first step has already.
    pub warmup_share: f64,
    /// The times at which `kind = "step"` lowers the rate; empty for the other kinds.
    pub milestones: Vec<Duration>,
    /// What each milestone multiplies the rate by, above 0 and at most 1.
    pub step_factor: f64,
    /// The exponent of `kind = "polynomial"`, above 0.
    pub power: f64,
    /// The share of the peak at which `kind = "polynomial"` ends, from 0 to 1.
    pub final_share: f64,
    /// Whether the shape is evaluated at the start of each epoch and held, as SimSiam's published code does, and not
    /// at every step. The warm-up always rises at every step.
    pub per_epoch: bool,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Cosine,
            warmup: Duration::Steps(0),
            warmup_share: 0.0,
            milestones: Vec::new(),
            step_factor: 0.1,
            power: 0.9,
            final_share: 0.0,
            per_epoch: false,
        }
    }
}

impl ScheduleSettings {
    /// Checks what can be checked without knowing the length of the training.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range, or that contradicts `kind`.
    pub fn validate(&self) -> Result<(), SettingError> {
        let (warmup, factor) = (self.warmup, self.step_factor);
        require(
            warmup != Duration::Never,
            "optimizer.schedule.warmup",
            &warmup,
            "a duration other than never",
        )?;
        require(
            factor > 0.0 && factor <= 1.0,
            "optimizer.schedule.step_factor",
            &factor,
            "above 0, at most 1",
        )?;
        let (start, power, end) = (self.warmup_share, self.power, self.final_share);
        require((0.0..=1.0).contains(&start), "optimizer.schedule.warmup_share", &start, "from 0 to 1")?;
        require(power > 0.0 && power.is_finite(), "optimizer.schedule.power", &power, "above 0")?;
        require((0.0..=1.0).contains(&end), "optimizer.schedule.final_share", &end, "from 0 to 1")?;
        let milestones = self.milestones.iter().map(Duration::to_string).collect::<Vec<_>>();
        require(
            milestones.is_empty() != (self.kind == ScheduleKind::Step),
            "optimizer.schedule.milestones",
            &format!("{milestones:?}"),
            "at least one duration with kind = \"step\", none with the other kinds",
        )
    }
}

/// A schedule resolved to steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRate {
    kind: ScheduleKind,
    warmup: u64,
    warmup_share: f64,
    milestones: Vec<u64>,
    step_factor: f64,
    power: f64,
    final_share: f64,
    /// Steps over which the shape is held: 1, or those of an epoch.
    held: u64,
    total: u64,
}

impl LearningRate {
    /// Resolves `settings` against the training's length.
    ///
    /// # Errors
    /// [`SettingError`] as of [`ScheduleSettings::validate`], or when the warm-up outlasts the training.
    pub fn new(settings: &ScheduleSettings, horizon: &Horizon) -> Result<Self, SettingError> {
        settings.validate()?;
        let exact = settings.warmup.exact(horizon).unwrap_or(0.0);
        require(
            exact == 0.0 || exact < horizon.total_steps as f64,
            "optimizer.schedule.warmup",
            &settings.warmup,
            "shorter than the training",
        )?;
        // Rounding to whole steps must not forbid a warm-up that is short enough: 0.05 of one step is no step.
        let warmup = settings.warmup.resolve(horizon).unwrap_or(0);
        Ok(Self {
            kind: settings.kind,
            warmup: warmup.min(horizon.total_steps.saturating_sub(1)),
            warmup_share: settings.warmup_share,
            milestones: settings
                .milestones
                .iter()
                .filter_map(|milestone| milestone.resolve(horizon))
                .collect(),
            step_factor: settings.step_factor,
            power: settings.power,
            final_share: settings.final_share,
            held: if settings.per_epoch { horizon.steps_per_epoch.max(1) } else { 1 },
            total: horizon.total_steps,
        })
    }

    /// The factor of the peak learning rate, in 0..=1, for the step that follows `step` finished ones.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.warming(step);
        }
        let step = step - step % self.held;
        match self.kind {
            ScheduleKind::Cosine => 0.5 * (1.0 + (PI * self.progress(step)).cos()),
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step => self.step_factor.powi(self.passed(step)),
            ScheduleKind::Polynomial => {
                let remaining = (1.0 - self.progress(step)).powf(self.power);
                self.final_share + (1.0 - self.final_share) * remaining
            }
        }
    }

    fn warming(&self, step: u64) -> f64 {
        if self.warmup_share == 0.0 {
            return (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let done = step as f64 / self.warmup as f64;
        self.warmup_share * (1.0 - done) + done
    }

    /// The share of the training after the warm-up that is done, in 0..=1.
    fn progress(&self, step: u64) -> f64 {
        let length = self.total.saturating_sub(self.warmup).max(1);
        (step.saturating_sub(self.warmup) as f64 / length as f64).min(1.0)
    }

    fn passed(&self, step: u64) -> i32 {
        self.milestones.iter().filter(|&&milestone| milestone <= step).count() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Horizon = Horizon { steps_per_epoch: 10, batch_size: 4, total_steps: 100 };

    fn rate(settings: &str) -> LearningRate {
        LearningRate::new(&serde_json::from_str(settings).unwrap(), &HORIZON).unwrap()
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} {right}");
    }

    #[test]
    fn cosine_starts_at_the_peak_and_ends_at_nothing() {
        let rate = rate("{}");
        close(rate.at(0), 1.0);
        close(rate.at(50), 0.5);
        close(rate.at(100), 0.0);
        close(rate.at(25), 0.5 * (1.0 + (PI / 4.0).cos()));
    }

    #[test]
    fn per_epoch_holds_simsiams_value_over_the_epoch() {
        let rate = rate(r#"{"per_epoch": true}"#);
        // main_simsiam.py: init_lr * 0.5 * (1. + math.cos(math.pi * epoch / args.epochs))
        for step in 30..40 {
            close(rate.at(step), 0.5 * (1.0 + (PI * 3.0 / 10.0).cos()));
        }
    }

    #[test]
    fn warmup_rises_linearly_to_the_peak_and_the_shape_follows() {
        let rate = rate(r#"{"warmup": "1 epoch"}"#);
        for step in 0..=10 {
            close(rate.at(step), (step + 1) as f64 / 11.0);
        }
        close(rate.at(55), 0.5);
        close(rate.at(100), 0.0);
    }

    #[test]
    fn milestones_lower_a_step_schedule() {
        let rate = rate(r#"{"kind": "step", "milestones": ["60 steps", "0.8 of training", "never"]}"#);
        close(rate.at(59), 1.0);
        close(rate.at(60), 0.1);
        close(rate.at(80), 0.01);
    }

    #[test]
    fn a_polynomial_falls_to_its_final_share() {
        let rate = rate(r#"{"kind": "polynomial", "power": 2.0, "final_share": 0.1}"#);
        close(rate.at(0), 1.0);
        close(rate.at(50), 0.1 + 0.9 * 0.25);
        close(rate.at(100), 0.1);
    }

    #[test]
    fn a_warmup_from_a_share_starts_there() {
        let rate = rate(r#"{"kind": "constant", "warmup": "10 steps", "warmup_share": 0.001}"#);
        close(rate.at(0), 0.001);
        close(rate.at(5), 0.001 * 0.5 + 0.5);
        close(rate.at(10), 1.0);
    }

    #[test]
    fn constant_stays() {
        let rate = rate(r#"{"kind": "constant"}"#);
        assert!((0..100).all(|step| rate.at(step) == 1.0));
    }

    #[test]
    fn any_share_of_a_training_is_a_warmup_however_short_the_training() {
        for total_steps in 1..=40 {
            let horizon = Horizon { steps_per_epoch: 1 + total_steps / 3, batch_size: 4, total_steps };
            for share in [0.0, 0.001, 0.05, 0.5, 0.95, 0.999] {
                let settings =
                    ScheduleSettings { warmup: Duration::OfTraining(share), ..ScheduleSettings::default() };
                let rate = LearningRate::new(&settings, &horizon).unwrap();
                assert!(rate.warmup < total_steps, "{share} of {total_steps} steps");
                let rates: Vec<f64> = (0..total_steps).map(|step| rate.at(step)).collect();
                assert!(rates.iter().all(|rate| *rate > 0.0 && *rate <= 1.0), "{rates:?}");
                close(rates[rate.warmup as usize], 1.0);
            }
        }
    }

    #[test]
    fn a_warmup_is_too_long_by_its_length_and_not_by_rounding() {
        let one_step = Horizon { steps_per_epoch: 1, batch_size: 4, total_steps: 1 };
        let warmup = |text: &str| {
            let settings = ScheduleSettings { warmup: text.parse().unwrap(), ..ScheduleSettings::default() };
            LearningRate::new(&settings, &one_step).map(|rate| rate.warmup)
        };
        for short_enough in ["0 steps", "0.05 of training", "0.5 epochs", "3 images"] {
            assert_eq!(warmup(short_enough), Ok(0), "{short_enough}");
        }
        for too_long in ["1 steps", "1 of training", "1 epochs", "4 images", "7 steps"] {
            assert_eq!(warmup(too_long).unwrap_err().key, "optimizer.schedule.warmup", "{too_long}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        for (settings, key) in [
            (r#"{"kind": "step"}"#, "optimizer.schedule.milestones"),
            (r#"{"milestones": ["1 step"]}"#, "optimizer.schedule.milestones"),
            (r#"{"warmup": "never"}"#, "optimizer.schedule.warmup"),
            (r#"{"warmup": "100 steps"}"#, "optimizer.schedule.warmup"),
            (r#"{"step_factor": 0}"#, "optimizer.schedule.step_factor"),
            (r#"{"warmup_share": 2}"#, "optimizer.schedule.warmup_share"),
            (r#"{"power": 0}"#, "optimizer.schedule.power"),
            (r#"{"final_share": -1}"#, "optimizer.schedule.final_share"),
        ] {
            let error = LearningRate::new(&serde_json::from_str(settings).unwrap(), &HORIZON).unwrap_err();
            assert_eq!(error.key, key);
        }
        assert!(serde_json::from_str::<ScheduleSettings>(r#"{"warm_up": "1 step"}"#).is_err());
    }
}
