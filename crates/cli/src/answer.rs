//! What a command answers on standard output. Everything else is said on standard error.

use std::fmt::Display;
use std::io::{self, Write};

use densesiam::error::Error;

/// Writes an answer, or a part of it, to standard output.
///
/// # Errors
/// [`Error::Answer`] where it cannot be written whole: a full disk behind a redirection, or a reader that went away.
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
