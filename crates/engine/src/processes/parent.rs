//! The parent of the processes of one training on this machine, for `densesiam --nproc`: it starts them, hands them the
//! signals that it gets, and knows in the end which of them failed first.
//!
//! Of libtorch it uses the store alone, and no CUDA, whose driver would take memory of a card for a process that trains nothing.

mod children;
mod signals;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCHLD, SIGKILL, SIGTSTP};

use crate::processes::membership::{AGENT_STORE, LAUNCHER, MASTER_ADDR, MASTER_PORT, PARENT};
use children::Children;
use signals::Watch;

/// How many processes train, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The number of processes on each machine.
    pub processes: usize,
    /// The number of machines.
    pub nodes: usize,
    /// Which of them this one is, from 0.
    pub node: usize,
    /// The host and port of the store, which the parent of machine 0 serves. It may be left out for one machine.
    pub master: Option<(String, u16)>,
    /// How long the others may take to end by themselves once one has failed.
    pub patience: Duration,
}

/// How the processes of this machine ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Those that failed by themselves, in the order of time.
    pub failures: Vec<Failure>,
    /// The ranks of those that had to be killed, because they outlasted the patience.
    pub killed: Vec<usize>,
}

/// A process that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its rank among all processes.
    pub rank: usize,
    /// Its exit code, or 128 and the number of the signal that ended it, as shells say it.
    pub code: i32,
}

impl Ending {
    /// The exit code of the training: that of the process that failed first, or 0. `lost` is the code of a process that has lost
    /// another one; the end of that one may be seen later, but was first.
    pub fn code(&self, lost: i32) -> i32 {
        let cause = self.failures.iter().find(|failure| failure.code != lost);
        cause.or(self.failures.first()).map_or(0, |failure| failure.code)
    }
}

/// Processes that cannot be started or watched. None of them is left running.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// The options are out of range or contradict each other.
    #[error("{0}")]
    Plan(&'static str),
    /// Signals cannot be handled.
    #[error("cannot handle the signals that are handed on to the processes: {0}")]
    Signals(#[source] io::Error),
    /// A process cannot be started.
    #[error("cannot start {} for rank {rank}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The rank that it was to have.
        rank: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A process cannot be waited for.
    #[error("cannot find out whether the process of rank {rank} has ended: {source}")]
    Wait {
        /// Its rank.
        rank: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts `program` with `arguments` once for each process of this machine, and returns when all have ended. The store
/// is served by the caller: at the plan's master, or else at `store_port` of this machine.
///
/// SIGTERM, SIGINT, SIGUSR1 and SIGHUP are handed on to all processes. Once one has failed, the others notice by
/// themselves that it is lost; those that still run after the plan's patience are killed. To ask them by SIGTERM would
/// not help: they answer between two steps, and are within one, where they wait for the lost process.
///
/// # Errors
/// [`ParentError`] when the plan contradicts itself, or the system refuses.
pub fn supervise(
    program: &Path,
    arguments: &[OsString],
    plan: &Plan,
    store_port: u16,
) -> Result<Ending, ParentError> {
    plan.check()?;
    // Before the first process is started, for its end is a signal too.
    let signals = Watch::new().map_err(ParentError::Signals)?;
    let mut children = Children::default();
    for local_rank in 0..plan.processes {
        let rank = plan.rank(local_rank);
        let mut command = Command::new(program);
        command.args(arguments).envs(plan.variables(local_rank, store_port)).stdin(Stdio::null());
        let refused = |source| ParentError::Start { program: program.to_owned(), rank, source };
        children.start(rank, &mut command).map_err(refused)?;
    }
    let mut ending = Ending::default();
    let mut deadline = None;
    while !children.is_empty() {
        match signals.next(deadline) {
            Some(SIGCHLD) => {
                ending.failures.append(&mut children.take_ended()?);
                if !ending.failures.is_empty() {
                    deadline = deadline.or_else(|| Instant::now().checked_add(plan.patience));
                }
            }
            Some(SIGTSTP) => children.stop_with_parent().map_err(ParentError::Signals)?,
            Some(signal) => children.send(signal),
            None => {
                ending.killed = children.ranks();
                break;
            }
        }
    }
    Ok(ending)
}

/// The number of the parent's process.
const PARENT_NUMBER: &str = "DENSESIAM_PARENT";

/// Lets the system kill this process when its parent ends, be it by SIGKILL; and ends it now if the parent has gone already. A
/// process that no parent of ours has started is left alone.
pub fn end_with_parent() {
    let Some(parent) = std::env::var(PARENT_NUMBER).ok().and_then(|number| number.parse::<u32>().ok()) else {
        return;
    };
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // A parent that died before that call is not noticed any more, but this process then has another one.
    if std::os::unix::process::parent_id() != parent {
        std::process::exit(128 + SIGKILL);
    }
}

impl Plan {
    fn check(&self) -> Result<(), ParentError> {
        let fault = match self {
            Self { processes: 0, .. } => "--nproc 0 starts nothing; it must be 1 or more",
            Self { node, nodes, .. } if node >= nodes => "--node must be less than --nodes; it counts from 0",
            Self { nodes: 2.., master: None, .. } => {
                "--nodes needs --master HOST:PORT, the same on all: where --node 0 runs, and a port free there"
            }
            _ => return Ok(()),
        };
        Err(ParentError::Plan(fault))
    }

    fn rank(&self, local_rank: usize) -> usize {
        self.node * self.processes + local_rank
    }

    /// The variables that tell a process its place: torchrun's names, and one that says that they are ours.
    fn variables(&self, local_rank: usize, store_port: u16) -> [(&'static str, String); 9] {
        // With a master, its host even on its own machine: Gloo listens on the interface that leads to this address,
        // and other machines cannot reach 127.0.0.1.
        let (host, port) = self.master.clone().unwrap_or_else(|| ("127.0.0.1".to_owned(), store_port));
        [
            ("RANK", self.rank(local_rank).to_string()),
            ("WORLD_SIZE", (self.nodes * self.processes).to_string()),
            ("LOCAL_RANK", local_rank.to_string()),
            ("LOCAL_WORLD_SIZE", self.processes.to_string()),
            (MASTER_ADDR, host),
            (MASTER_PORT, port.to_string()),
            // On every machine: it is a parent that serves the store, if not always this one.
            (AGENT_STORE, "True".to_owned()),
            (LAUNCHER, PARENT.to_owned()),
            (PARENT_NUMBER, std::process::id().to_string()),
        ]
    }
}
