//! Lengths of training with their unit in the recipe (`"200 epochs"`), resolved once to steps, so that no reader has
//! to guess what a bare number counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A length of training, as a recipe states it. Written and read as text: `"200 epochs"`, `"20 steps"`,
/// `"50000 images"`, `"0.5 of training"`, `"never"`; the blank may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Duration {
    /// Passes over the data set, not below 0; may be fractional.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u64),
    /// Pictures seen, all processes together.
    Images(u64),
    /// A share of the whole training, in 0..=1.
    OfTraining(f64),
    /// Never.
    Never,
}

/// A duration that cannot be understood, or cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not a duration: the recipe's fault.
    #[error(
        "{text:?} is not a duration; allowed: \"200 epochs\", \"20 steps\", \"50000 images\", \
         \"0.5 of training\" (0 to 1), \"never\""
    )]
    Syntax {
        /// The text found.
        text: String,
    },
    /// A bare number, which may be meant to count steps or epochs: the recipe's fault.
    #[error("{text} has no unit; write {}, whichever is meant", with_units(text))]
    NoUnit {
        /// The text found.
        text: String,
    },
    /// The length of the training is given as a share of itself, or is unlimited.
    #[error("training cannot last {text:?}; give epochs, steps or images")]
    NoLength {
        /// The duration found.
        text: String,
    },
}

/// The facts of a training that a duration is resolved with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Steps in one pass over the data set, at least 1.
    pub steps_per_epoch: u64,
    /// Pictures in one step, all processes together, at least 1.
    pub batch_size: u64,
    /// Steps of the whole training.
    pub total_steps: u64,
}

/// The progress of a training; every schedule is a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Steps done.
    pub step: u64,
    /// The whole training.
    pub horizon: Horizon,
}

impl Now {
    /// Whether a part of the training that starts at `start` has started.
    pub fn is_past(&self, start: Duration) -> bool {
        start.resolve(&self.horizon).is_some_and(|start| self.step >= start)
    }

    /// Whether a part of the training that starts at `start` starts now, after the first step.
    pub fn is_at(&self, start: Duration) -> bool {
        self.step > 0 && start.resolve(&self.horizon) == Some(self.step)
    }
}

impl Horizon {
    /// The horizon of a training of length `training`.
    ///
    /// # Errors
    /// [`DurationError::NoLength`] when `training` is a share of itself, or never ends.
    pub fn new(training: Duration, steps_per_epoch: u64, batch_size: u64) -> Result<Self, DurationError> {
        let horizon = Self { steps_per_epoch, batch_size, total_steps: 0 };
        match training {
            Duration::OfTraining(_) | Duration::Never => {
                Err(DurationError::NoLength { text: training.to_string() })
            }
            _ => Ok(Self { total_steps: training.resolve(&horizon).unwrap_or(0), ..horizon }),
        }
    }
}

impl Duration {
    /// The duration in steps before it is rounded to whole ones, `None` for never.
    pub fn exact(&self, horizon: &Horizon) -> Option<f64> {
        match *self {
            Self::Epochs(epochs) => Some(epochs * horizon.steps_per_epoch as f64),
            Self::Steps(steps) => Some(steps as f64),
            Self::Images(images) => Some(images as f64 / horizon.batch_size.max(1) as f64),
            Self::OfTraining(fraction) => Some(fraction * horizon.total_steps as f64),
            Self::Never => None,
        }
    }

    /// The duration in steps, `None` for never. Fractions are rounded to the nearest step, pictures up to whole steps;
    /// a duration above zero is at least one step.
    pub fn resolve(&self, horizon: &Horizon) -> Option<u64> {
        let exact = self.exact(horizon)?;
        Some(match *self {
            Self::Steps(steps) => steps,
            Self::Images(_) => exact.ceil() as u64,
            _ if exact > 0.0 => (exact.round() as u64).max(1),
            _ => 0,
        })
    }
}

/// How long something lasts, as a recipe states it: a [`Duration`], or a time (`"2 hours"`, `"30 minutes"`, `"1 day"`). The time of
/// a whole training is converted to steps as soon as the rate of the machine is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Length {
    /// A length that is the same on every machine.
    Counted(Duration),
    /// Seconds, above 0.
    Time(f64),
}

impl Length {
    /// The length in steps; `None` for never, and for a time.
    pub fn resolve(&self, horizon: &Horizon) -> Option<u64> {
        match self {
            Self::Counted(duration) => duration.resolve(horizon),
            Self::Time(_) => None,
        }
    }

    /// The length as a time, if it is given as one; one that no clock reaches is none.
    pub fn time(&self) -> Option<std::time::Duration> {
        match self {
            Self::Counted(_) => None,
            Self::Time(seconds) => std::time::Duration::try_from_secs_f64(*seconds).ok(),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted(duration) => duration.fmt(formatter),
            Self::Time(seconds) if *seconds < 3600.0 => write!(formatter, "{} minutes", seconds / 60.0),
            Self::Time(seconds) => write!(formatter, "{} hours", seconds / 3600.0),
        }
    }
}

impl FromStr for Length {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        const UNITS: [(&str, f64); 6] = [
            ("minutes", 60.0),
            ("minute", 60.0),
            ("hours", 3600.0),
            ("hour", 3600.0),
            ("days", 86_400.0),
            ("day", 86_400.0),
        ];
        let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.trim().strip_suffix(unit)?, seconds)));
        let Some((number, seconds)) = unit else { return Ok(Self::Counted(text.parse()?)) };
        let seconds = real(number.trim_end(), f64::MAX).map(|number| number * seconds);
        let seconds = seconds.filter(|seconds| *seconds > 0.0 && seconds.is_finite());
        seconds.map(Self::Time).ok_or_else(|| DurationError::Syntax { text: text.to_owned() })
    }
}

impl TryFrom<String> for Length {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Length> for String {
    fn from(length: Length) -> Self {
        length.to_string()
    }
}

/// Whether something that happens every `every` steps is due once `step` steps are done (so never at 0). `every` of
/// `None` or 0 is never. `at_end` holds the total if the last step counts as due as well.
pub fn is_due(step: u64, every: Option<u64>, at_end: Option<u64>) -> bool {
    let multiple = every.is_some_and(|every| every > 0 && step.is_multiple_of(every));
    step > 0 && (multiple || at_end == Some(step))
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(formatter, "{epochs} epochs"),
            Self::Steps(steps) => write!(formatter, "{steps} steps"),
            Self::Images(images) => write!(formatter, "{images} images"),
            Self::OfTraining(fraction) => write!(formatter, "{fraction} of training"),
            Self::Never => write!(formatter, "never"),
        }
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let plain = text.trim();
        if real(plain, f64::MAX).is_some() {
            return Err(DurationError::NoUnit { text: plain.to_owned() });
        }
        parse(plain).ok_or_else(|| DurationError::Syntax { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Duration> {
    const UNITS: [&str; 7] = ["epochs", "epoch", "steps", "step", "images", "image", "of training"];
    if text == "never" {
        return Some(Duration::Never);
    }
    let (number, unit) = UNITS.iter().find_map(|unit| Some((text.strip_suffix(unit)?.trim_end(), *unit)))?;
    match unit {
        "epoch" | "epochs" => Some(Duration::Epochs(real(number, f64::MAX)?)),
        "step" | "steps" => Some(Duration::Steps(number.parse().ok()?)),
        "image" | "images" => Some(Duration::Images(number.parse().ok()?)),
        _ => Some(Duration::OfTraining(real(number, 1.0)?)),
    }
}

/// The durations that a bare number could mean.
fn with_units(number: &str) -> String {
    let whole = number.parse::<u64>().is_ok();
    let [first, second] = if whole { ["steps", "epochs"] } else { ["epochs", "of training"] };
    format!("\"{number} {first}\" or \"{number} {second}\"")
}

/// A number in 0..=`highest`.
fn real(text: &str, highest: f64) -> Option<f64> {
    text.parse().ok().filter(|value| (0.0..=highest).contains(value))
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Horizon = Horizon { steps_per_epoch: 10, batch_size: 4, total_steps: 100 };

    fn steps(text: &str) -> Option<u64> {
        text.parse::<Duration>().unwrap().resolve(&HORIZON)
    }

    #[test]
    fn every_unit_resolves_to_steps() {
        assert_eq!(steps("3 epochs"), Some(30));
        assert_eq!(steps("0.25 epochs"), Some(3));
        assert_eq!(steps("1 step"), Some(1));
        assert_eq!(steps("41 images"), Some(11));
        assert_eq!(steps("0.5 of training"), Some(50));
        assert_eq!(steps("never"), None);
    }

    #[test]
    fn the_blank_before_the_unit_may_be_left_out() {
        for (text, written) in [
            ("10epochs", "10 epochs"),
            ("1.5epochs", "1.5 epochs"),
            ("1e2epochs", "100 epochs"),
            ("20steps", "20 steps"),
            ("0.5of training", "0.5 of training"),
            (" 3   images ", "3 images"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn a_bare_number_is_asked_for_its_unit() {
        for (text, meant) in [
            ("10", "\"10 steps\" or \"10 epochs\""),
            (" 0 ", "\"0 steps\" or \"0 epochs\""),
            ("0.5", "\"0.5 epochs\" or \"0.5 of training\""),
        ] {
            let said = text.parse::<Duration>().unwrap_err().to_string();
            assert_eq!(said, format!("{} has no unit; write {meant}, whichever is meant", text.trim()));
        }
    }

    #[test]
    fn only_nothing_resolves_to_zero() {
        assert_eq!(steps("0.001 epochs"), Some(1));
        assert_eq!(steps("0.0001 of training"), Some(1));
        assert_eq!(steps("0 epochs"), Some(0));
        assert_eq!(steps("0 steps"), Some(0));
    }

    #[test]
    fn text_survives_the_round_trip() {
        for text in ["200 epochs", "1.5 epochs", "20 steps", "50000 images", "0.5 of training", "never"] {
            let duration: Duration = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(serde_json::to_string(&duration).unwrap(), format!("{text:?}"));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_allowed_forms() {
        for text in
            ["steps", "-1 steps", "1.5 steps", "2 of training", "NaN epochs", "inf epochs", "5 hours", ""]
        {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains("\"200 epochs\"") && error.contains("\"never\""), "{error}");
        }
    }

    #[test]
    fn a_training_may_be_given_a_time() {
        for (text, seconds) in [("2 hours", 7200.0), ("90minutes", 5400.0), ("0.5 days", 43_200.0)] {
            let length: Length = text.parse().unwrap();
            assert_eq!(length, Length::Time(seconds));
            assert_eq!(length.to_string().parse::<Length>().unwrap(), length);
        }
        assert_eq!("3 epochs".parse(), Ok(Length::Counted(Duration::Epochs(3.0))));
        for text in ["0 hours", "-1 hours", "hours", "inf days"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_length_is_steps_or_a_time() {
        let resolved = |text: &str| {
            let length: Length = text.parse().unwrap();
            (length.resolve(&HORIZON), length.time().map(|time| time.as_secs()))
        };
        assert_eq!(resolved("3 epochs"), (Some(30), None));
        assert_eq!(resolved("10 minutes"), (None, Some(600)));
        assert_eq!(resolved("never"), (None, None));
        assert_eq!(resolved("1e300 days"), (None, None));
    }

    #[test]
    fn a_start_is_at_one_step_and_past_from_there_on() {
        let horizon = Horizon { steps_per_epoch: 10, batch_size: 4, total_steps: 20 };
        let now = |step| Now { step, horizon };
        let half = Duration::OfTraining(0.5);
        assert_eq!([9, 10, 11].map(|step| now(step).is_past(half)), [false, true, true]);
        assert_eq!([9, 10, 11].map(|step| now(step).is_at(half)), [false, true, false]);
        // A part that is on from the beginning does not start later.
        assert!(now(0).is_past(Duration::Steps(0)) && !now(0).is_at(Duration::Steps(0)));
        assert!(!now(20).is_past(Duration::Never) && !now(20).is_at(Duration::Never));
    }

    #[test]
    fn training_needs_a_length_of_its_own() {
        assert_eq!(Horizon::new(Duration::Epochs(10.0), 10, 4).unwrap(), HORIZON);
        assert!(Horizon::new(Duration::OfTraining(0.5), 10, 4).is_err());
        assert!(Horizon::new(Duration::Never, 10, 4).is_err());
    }

    #[test]
    fn due_at_multiples_and_if_asked_at_the_end() {
        let due = |every, at_end| (0..=10).filter(|&step| is_due(step, every, at_end)).collect::<Vec<_>>();
        assert_eq!(due(Some(4), None), [4, 8]);
        assert_eq!(due(Some(4), Some(10)), [4, 8, 10]);
        assert_eq!(due(None, Some(10)), [10]);
        assert!(due(Some(0), None).is_empty());
    }
}
