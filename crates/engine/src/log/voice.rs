//! Where a run says how it goes.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::Sender;

/// Who hears what a run says. A library call is given one, so that nothing is printed that its caller did not ask for.
#[derive(Clone, Debug, Default)]
pub enum Voice {
    /// Standard error: lines, and a bar of progress where it is a terminal.
    Terminal,
    /// Nobody: the run directory alone tells how the run went.
    #[default]
    Nobody,
    /// A channel, message by message; a receiver that is gone is nobody.
    Channel(Sender<String>),
}

impl Voice {
    /// Says a line, or lines.
    pub fn say(&self, lines: impl Display) {
        match self {
            Self::Terminal => say(lines),
            Self::Nobody => {}
            Self::Channel(hearer) => drop(hearer.send(lines.to_string())),
        }
    }

    /// Whether a bar of progress can be drawn.
    pub(super) fn has_bar(&self) -> bool {
        matches!(self, Self::Terminal) && io::stderr().is_terminal()
    }
}

/// Says a line, or lines, on standard error, ended by a line feed. Where nobody listens any more, because a terminal was
/// closed or the program that read the lines has ended, the training goes on.
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
