//! Writes the answer of a command to standard output. All other messages go to standard error.

use std::fmt::Display;
use std::io::{self, Write};

use densesiam::error::Error;

/// Writes an answer, or a part of it, to standard output.
///
/// # Errors
/// [`Error::Answer`] if the answer cannot be written completely, because a disk behind a redirection is full or the
/// reader has gone.
pub(crate) fn answer(text: impl Display) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    write!(output, "{text}").and_then(|()| output.flush()).map_err(Error::Answer)
}

/// Writes an answer of one line.
///
/// # Errors
/// As [`answer`].
pub(crate) fn answer_line(line: impl Display) -> Result<(), Error> {
    answer(format_args!("{line}\n"))
}
