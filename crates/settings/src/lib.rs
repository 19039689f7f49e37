//! What a recipe can contain. [`tables`] reads a recipe strictly by its [`keys`]; [`duration`] and [`schedule`] are
//! values in the settings of several crates; [`usual`] knows what other programs call a key. [`SettingError`] is the
//! one error for a setting that is not allowed: it names the key, its value, and the allowed values. Every crate that
//! has settings reports through it, so that all mistakes in a recipe are reported alike.

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
    /// The value that it holds.
    pub value: String,
    /// The values that would be accepted.
    pub allowed: String,
}

/// Fails with the key, the value and the allowed values, unless `holds`.
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

/// Fails with the key, the value and the range, unless the value is within the range; `unit` names what is counted or
/// measured. Every number has a range, however wide, so that no setting can ask for unlimited memory.
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
