//! Asking a run to stop: a signal sets a flag that the loop checks between steps, so that it can save and end.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

/// The exit status of a process that a second Ctrl-C ends, as shells report it: 128 + SIGINT.
const SECOND_INTERRUPT: i32 = 130;

/// A signal by which a run is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: a supervisor's or a cluster's request.
    Terminate,
    /// SIGHUP: the terminal was closed, or the connection to it lost.
    HangUp,
    /// SIGUSR1: the warning that Slurm's `--signal` sends before the time is up.
    User1,
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP (the terminal was closed)",
            Self::User1 => "SIGUSR1",
        })
    }
}

/// The signals, with their numbers.
pub const SIGNALS: [(Signal, i32); 4] = [
    (Signal::Interrupt, SIGINT),
    (Signal::Terminate, SIGTERM),
    (Signal::User1, SIGUSR1),
    (Signal::HangUp, SIGHUP),
];

/// The watch of this process, once it exists. Handlers belong to the whole process, even if it trains several times.
static WATCH: Mutex<Option<Interrupt>> = Mutex::new(None);

/// The handlers cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot handle the signals by which a run is stopped: {source}")]
pub struct InterruptError {
    #[from]
    source: io::Error,
}

/// Watches for signals from [`Interrupt::install`] to the end of the process.
#[derive(Clone, Debug)]
pub struct Interrupt {
    /// The signal's number, 0 for none yet.
    received: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM, SIGUSR1 and, unless it is ignored as under `nohup`, SIGHUP; with `second_ends`, a second SIGINT
    /// ends the process at once. A write beyond the limit on file sizes becomes an error of the write, where the system would end the process
    /// (SIGXFSZ). A second call
    /// returns the first one's watch: what one training was asked, the next ones are asked too.
    ///
    /// # Errors
    /// [`InterruptError`] when the system refuses.
    pub fn install(second_ends: bool) -> Result<Self, InterruptError> {
        let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(installed) = &*watch {
            return Ok(installed.clone());
        }
        let received = Arc::new(AtomicUsize::new(0));
        let interrupted = Arc::new(AtomicBool::new(false));
        // Registered in the order in which they act: the first SIGINT does not trigger the shutdown, and then arms it.
        if second_ends {
            flag::register_conditional_shutdown(SIGINT, SECOND_INTERRUPT, Arc::clone(&interrupted))?;
            flag::register(SIGINT, interrupted)?;
        }
        for (_, number) in
            SIGNALS.into_iter().filter(|&(signal, _)| signal != Signal::HangUp || !hang_up_is_ignored())
        {
            flag::register_usize(number, Arc::clone(&received), number as usize)?;
        }
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(watch.insert(Self { received }).clone())
    }

    /// A watch that is never asked, for callers that stop a run in no other way than by ending the process.
    pub fn never() -> Self {
        Self { received: Arc::new(AtomicUsize::new(0)) }
    }

    /// A watch that was asked already.
    pub fn asked(signal: Signal) -> Self {
        let number =
            SIGNALS.iter().find(|(known, _)| *known == signal).map_or(0, |(_, number)| *number as usize);
        Self { received: Arc::new(AtomicUsize::new(number)) }
    }

    /// The last signal received, if any.
    pub fn requested(&self) -> Option<Signal> {
        let received = self.received.load(Ordering::SeqCst);
        SIGNALS.iter().find(|(_, number)| *number as usize == received).map(|(signal, _)| *signal)
    }
}

/// Whether the process was started to outlive the terminal: under `nohup` SIGHUP is ignored, and a handler would end
/// that. Only Linux reports this.
pub(crate) fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (SIGHUP - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::Command;

    /// Handlers belong to the whole process, so they are all tested in one test.
    #[test]
    fn signals_are_seen_and_a_second_interrupt_ends_the_process() {
        let interrupt = Interrupt::install(true).unwrap();
        assert_eq!(interrupt.requested(), None);
        for (signal, number) in [SIGNALS[2], SIGNALS[1], SIGNALS[0]] {
            raise(number).unwrap();
            assert_eq!(interrupt.requested(), Some(signal));
        }
        assert_eq!(
            Interrupt::install(true).unwrap().requested(),
            Some(Signal::Interrupt),
            "one watch a process"
        );
        raise(SIGXFSZ).unwrap();
        assert_eq!(interrupt.requested(), Some(Signal::Interrupt));
        if std::env::var_os("RAISE_TWICE").is_some() {
            raise(SIGINT).unwrap();
            unreachable!("the second interrupt ends the process");
        }
        let name = "interrupt::tests::signals_are_seen_and_a_second_interrupt_ends_the_process";
        let twice = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("RAISE_TWICE", "1")
            .output()
            .unwrap();
        assert_eq!(twice.status.code(), Some(SECOND_INTERRUPT));
    }
}
