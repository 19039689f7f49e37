//! The processes that a parent has started and that have not ended yet.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGCONT, SIGKILL, SIGSTOP};
use signal_hook::low_level::raise;

use super::{Failure, ParentError};

/// Processes with their ranks. Those that are left when this is dropped are killed.
#[derive(Default)]
pub(super) struct Children(Vec<(usize, Child)>);

impl Children {
    /// Starts a process.
    ///
    /// It gets a group of its own. The terminal sends Ctrl-C to its whole group: in that, a child would get it a second
    /// time when it is handed on, and a second one ends a process before it has saved.
    pub(super) fn start(&mut self, rank: usize, command: &mut Command) -> io::Result<()> {
        command.process_group(0);
        self.0.push((rank, command.spawn()?));
        Ok(())
    }

    /// Whether all have ended.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranks of those that have not ended.
    pub(super) fn ranks(&self) -> Vec<usize> {
        self.0.iter().map(|(rank, _)| *rank).collect()
    }

    /// Takes out the processes that have ended, and returns those that failed.
    pub(super) fn take_ended(&mut self) -> Result<Vec<Failure>, ParentError> {
        let mut failures = Vec::new();
        let mut at = 0;
        while let Some((rank, child)) = self.0.get_mut(at) {
            let rank = *rank;
            let Some(status) = child.try_wait().map_err(|source| ParentError::Wait { rank, source })? else {
                at += 1;
                continue;
            };
            self.0.remove(at);
            // What has no exit code was ended by a signal.
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            if code != 0 {
                failures.push(Failure { rank, code });
            }
        }
        Ok(failures)
    }

    /// Sends a signal to each process, and to those that it may have started itself.
    pub(super) fn send(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        for (_, child) in &self.0 {
            // It fails for a child that is gone, which is what is wanted.
            let _ = kill_process_group(Pid::from_child(child), signal);
        }
    }

    /// Stops all processes and this one, as Ctrl-Z does within one group; they go on when this one does.
    pub(super) fn stop_with_parent(&self) -> io::Result<()> {
        self.send(SIGSTOP);
        raise(SIGSTOP)?;
        self.send(SIGCONT);
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.send(SIGKILL);
        for (_, child) in &mut self.0 {
            // It fails for a child that is gone, which is what is wanted.
            let _ = child.wait();
        }
    }
}
