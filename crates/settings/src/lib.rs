//! What a recipe can say: [`tables`] reads it, strictly, by its [`keys`], [`duration`] and [`schedule`] are values that several crates have
//! in their settings, [`usual`] knows what other programs call a key. [`SettingError`] is the one error for a setting that
//! cannot be: which key of the recipe, what it holds, what is allowed. Every crate that has settings checks them through
//! it, so that all mistakes in a recipe read alike.

pub mod duration;
pub mod keys;
pub mod schedule;
pub mod tables;
pub mod usual;

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A setting holds a value that is not allowed: the recipe's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value} is not possible; allowed: {allowed}")]
pub struct SettingError {
    /// Dotted key in the recipe, as it can be pasted on a command line.
    pub key: &'static str,
    /// What it holds.
    pub value: String,
    /// What would be accepted.
    pub allowed: String,
}

/// Errs with key, value and what is allowed unless `holds`.
///
/// # Errors
/// [`SettingError`].
pub fn require(
    holds: bool,
    key: &'static str,
    value: &dyn ToString,
    allowed: &'static str,
) -> Result<(), SettingError> {
    if holds {
        Ok(())
    } else {
        Err(SettingError { key, value: value.to_string(), allowed: allowed.to_owned() })
    }
}

/// Errs with key, value and the range unless the value is within it; `unit` is what is counted or measured. A setting that
/// is a number has a range, however wide, so that none can ask for memory without end.
///
/// # Errors
/// [`SettingError`].
pub fn within<T: PartialOrd + Display + Copy>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
    unit: &str,
) -> Result<(), SettingError> {
    if range.contains(&value) {
        return Ok(());
    }
    let allowed = format!("{} to {} {unit}", range.start(), range.end());
    Err(SettingError { key, value: value.to_string(), allowed })
}
