//! The settings that the methods with a queue have in common, and their allowed values.

use densesiam_settings::{SettingError, require, within};

use super::divides;

/// Settings of a contrast with a queue, which each method has in a table of its own.
pub(crate) struct Contrast {
    /// Their dotted keys, in the order of the fields below.
    pub(crate) keys: [&'static str; 6],
    /// Temperature of the similarities.
    pub(crate) temperature: f64,
    /// Momentum of the teacher.
    pub(crate) momentum: f64,
    /// Keys in the queue.
    pub(crate) queue: i64,
    /// Hidden channels of the projector; 0 stands for a width that it takes from elsewhere.
    pub(crate) hidden: i64,
    /// Channels of its output.
    pub(crate) dim: i64,
    /// Parts of the batch that have their own batch statistics.
    pub(crate) groups: i64,
}

/// The keys of a [`Contrast`] in this table.
macro_rules! contrast_keys {
    ($table:literal) => {
        [
            concat!($table, ".temperature"),
            concat!($table, ".momentum"),
            concat!($table, ".queue"),
            concat!($table, ".hidden"),
            concat!($table, ".dim"),
            concat!($table, ".groups"),
        ]
    };
}
pub(crate) use contrast_keys;

impl Contrast {
    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        let [temperature, momentum, queue, hidden, dim, groups] = self.keys;
        let possible = self.temperature > 0.0 && self.temperature.is_finite();
        require(possible, temperature, &self.temperature, "a finite number above 0")?;
        within(momentum, self.momentum, 0.0..=1.0, "(a share)")?;
        within(queue, self.queue, 1..=16_777_216, "keys")?;
        within(hidden, self.hidden, 0..=65536, "channels")?;
        within(dim, self.dim, 2..=65536, "channels")?;
        within(groups, self.groups, 1..=1024, "parts of a batch")
    }

    /// Checks whether a batch of all processes fits into the queue and can be normalised in parts.
    ///
    /// # Errors
    /// The setting that does not fit.
    pub(crate) fn fits_batch(&self, batch_size: usize, processes: usize) -> Result<(), SettingError> {
        let [_, _, queue, _, _, groups] = self.keys;
        require(self.queue >= batch_size as i64, queue, &self.queue, "train.batch_size and above")?;
        divides(groups, self.groups, batch_size, processes)
    }
}
