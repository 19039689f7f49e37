//! The variables of one launcher, read with errors that name them.

use std::num::NonZeroU16;
use std::str::FromStr;

use super::{AGENT_STORE, Launcher, MASTER_ADDR, MASTER_PORT};
use super::{MembershipError, ServedBy, StoreAddress, Variables};

/// What a launcher gave to this process.
pub(super) struct Given<'v> {
    pub(super) variables: &'v Variables<'v>,
    /// Named in errors.
    pub(super) launcher: Launcher,
}

impl Given<'_> {
    /// A variable, if it is set. One that is set to nothing counts as not set: so do scripts unset variables.
    fn get(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<String, MembershipError> {
        self.get(name).ok_or(MembershipError::Missing { launcher: self.launcher, name })
    }

    fn number<N: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<N, MembershipError> {
        let value = self.text(name)?;
        value.parse().map_err(|_| self.unreadable(name, value, expected))
    }

    fn unreadable(&self, name: &'static str, value: String, expected: &'static str) -> MembershipError {
        MembershipError::Value { launcher: self.launcher, name, value, expected }
    }

    /// Whether none of two variables is set.
    pub(super) fn has_neither(&self, one: &str, other: &str) -> bool {
        self.get(one).is_none() && self.get(other).is_none()
    }

    /// A rank, or a number of processes.
    pub(super) fn count(&self, name: &'static str) -> Result<usize, MembershipError> {
        self.number(name, "a whole number")
    }

    /// A number of restarts; 0 if it is not set.
    pub(super) fn restarts(&self, name: &'static str) -> Result<u64, MembershipError> {
        if self.get(name).is_none() {
            return Ok(0);
        }
        self.number::<u32>(name, "a whole number").map(u64::from)
    }

    /// Holds a variable against the one that bounds it, each with its name.
    pub(super) fn check(
        &self,
        fits: bool,
        (name, value): (&'static str, usize),
        (limit_name, limit): (&'static str, usize),
    ) -> Result<(), MembershipError> {
        let too_large = MembershipError::TooLarge { launcher: self.launcher, name, value, limit_name, limit };
        if fits { Ok(()) } else { Err(too_large) }
    }

    /// Where the store is. Slurm says nothing about it, so it is derived from what all tasks of a step know; variables
    /// that are set all the same come first, for where that port is taken or that name leads to the wrong network.
    pub(super) fn store(&self) -> Result<StoreAddress, MembershipError> {
        let is_slurm = self.launcher == Launcher::Slurm;
        let host = match self.get(MASTER_ADDR) {
            None if is_slurm => self.first_node()?,
            _ => self.text(MASTER_ADDR)?,
        };
        let port = match self.get(MASTER_PORT) {
            None if is_slurm => self.port_of_step()?,
            _ => self.number::<NonZeroU16>(MASTER_PORT, "a port, 1 to 65535")?.get(),
        };
        let is_served = self.get(AGENT_STORE).as_deref() == Some("True");
        let served_by = if is_served { ServedBy::Launcher } else { ServedBy::RankZero };
        Ok(StoreAddress { host, port, served_by })
    }

    /// The node of rank 0: the first one of the step.
    fn first_node(&self) -> Result<String, MembershipError> {
        const NODES: &str = "SLURM_STEP_NODELIST";
        let list = self.text(NODES)?;
        first_node(&list)
            .ok_or_else(|| self.unreadable(NODES, list, "a list of nodes such as gnode[07,10-12]"))
    }

    /// A port that two jobs, or two steps of one job, on the same node hardly share. Lightning counts jobs from 15000
    /// too. Both numbers are bounded, which keeps it a port.
    fn port_of_step(&self) -> Result<u16, MembershipError> {
        let job: u64 = self.number("SLURM_JOB_ID", "a whole number")?;
        let step: u64 = self.number("SLURM_STEP_ID", "a whole number")?;
        Ok(15_000 + (job % 10_000) as u16 + (step % 10_000) as u16)
    }

    /// How many tasks of the step are on this node.
    pub(super) fn tasks_of_this_node(&self) -> Result<usize, MembershipError> {
        const TASKS: &str = "SLURM_STEP_TASKS_PER_NODE";
        let (list, node) = (self.text(TASKS)?, self.count("SLURM_NODEID")?);
        tasks_of_node(&list, node).ok_or_else(|| {
            self.unreadable(TASKS, list, "a list of tasks, like 4(x2),3, as long as SLURM_NODEID needs")
        })
    }
}

/// The first of a list of nodes as Slurm writes it: `gnode[07,10-12],x3` is gnode07, gnode10, gnode11, gnode12 and x3.
/// A name may have several brackets. None: it is no such list.
pub(super) fn first_node(list: &str) -> Option<String> {
    let mut node = String::new();
    let mut rest = list;
    while let Some((before, inside)) = rest.split_once('[').filter(|(before, _)| !before.contains(',')) {
        let (numbers, after) = inside.split_once(']')?;
        node.push_str(before);
        // Numbers stay text, for their zeros in front are part of the name.
        node.push_str(numbers.split([',', '-']).next().filter(|number| !number.is_empty())?);
        rest = after;
    }
    node.push_str(rest.split(',').next()?);
    (!node.is_empty() && !node.contains(']')).then_some(node)
}

/// The number of tasks of one node in a list as Slurm writes it: `4(x2),3` is 4, 4 and 3. None: it is no such list, or
/// one that ends before that node.
pub(super) fn tasks_of_node(list: &str, mut node: usize) -> Option<usize> {
    for run in list.split(',') {
        let (tasks, nodes) = match run.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (run, 1),
        };
        if node < nodes {
            return tasks.parse().ok();
        }
        node -= nodes;
    }
    None
}
