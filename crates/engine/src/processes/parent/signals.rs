//! The signals that a parent gets, one after the other.

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use crate::interrupt::hang_up_is_ignored;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

/// A queue of signals that, unlike signal-hook's own, can be waited on for a limited time.
pub(super) struct Watch {
    received: Receiver<i32>,
    handle: Handle,
}

impl Watch {
    /// Takes over the signals by which a run is stopped, Ctrl-Z, and the one that says that a child has ended. SIGHUP
    /// is left alone where it is ignored: `nohup` wants children that ignore it too, and they would not.
    pub(super) fn new() -> io::Result<Self> {
        let hang_up = (!hang_up_is_ignored()).then_some(SIGHUP);
        let mut signals =
            Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGTSTP].into_iter().chain(hang_up))?;
        let handle = signals.handle();
        let (sender, received) = mpsc::channel();
        let pass_on = move || signals.forever().try_for_each(|signal| sender.send(signal));
        thread::Builder::new().name("signals".to_owned()).spawn(pass_on)?;
        Ok(Self { received, handle })
    }

    /// The next signal, or none if there is none until `deadline`.
    pub(super) fn next(&self, deadline: Option<Instant>) -> Option<i32> {
        match deadline {
            Some(deadline) => {
                self.received.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
            }
            None => self.received.recv().ok(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
    }
}
