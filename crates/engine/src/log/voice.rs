//! Where a run prints its messages.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::Sender;

/// The receiver of a run's messages. A library call is given a voice, so that nothing is printed that its caller did
/// not ask for.
#[derive(Clone, Debug, Default)]
pub enum Voice {
    /// Standard error: lines, and a progress bar if it is a terminal.
    Terminal,
    /// Nobody: only the run directory shows how the run went.
    #[default]
    Nobody,
    /// A channel, message by message; if the receiver is gone, messages are dropped.
    Channel(Sender<String>),
}

impl Voice {
    /// Prints a line, or lines.
    pub fn say(&self, lines: impl Display) {
        match self {
            Self::Terminal => say(lines),
            Self::Nobody => {}
            Self::Channel(hearer) => drop(hearer.send(lines.to_string())),
        }
    }

    /// Whether a progress bar can be drawn.
    pub(super) fn has_bar(&self) -> bool {
        matches!(self, Self::Terminal) && io::stderr().is_terminal()
    }
}

/// Prints a line, or lines, to standard error, ended by a line feed. If nobody reads them any more, because the
/// terminal was closed or the reading program has ended, the training continues.
pub fn say(lines: impl Display) {
    let mut lines = lines.to_string();
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    let _ = io::stderr().write_all(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_channel_has_every_message_and_its_receiver_may_go() {
        let (sender, receiver) = channel();
        let voice = Voice::Channel(sender);
        voice.say("begun");
        voice.say(format_args!("step {}", 1));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["begun", "step 1"]);
        drop(receiver);
        voice.say("unheard");
    }
}
