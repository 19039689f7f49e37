//! Which of the processes of one training this one is, read from the variables that launchers set.
//!
//! Variables are all that is looked at, and they are handed in, so that every launcher is tested with a table.

mod given;
#[cfg(test)]
mod tests;

use std::fmt;

use given::Given;

/// Names the launcher. Our own parent sets it, beside torchrun's variables, to [`PARENT`].
pub(crate) const LAUNCHER: &str = "DENSESIAM_LAUNCHER";
pub(crate) const PARENT: &str = "parent";
pub(crate) const MASTER_ADDR: &str = "MASTER_ADDR";
pub(crate) const MASTER_PORT: &str = "MASTER_PORT";
/// "True" where the launcher serves the store; with any other value rank 0 does, as in PyTorch.
pub(crate) const AGENT_STORE: &str = "TORCHELASTIC_USE_AGENT_STORE";

/// Looks up a variable by its name; none if it is not set. For the process itself: `&|name| std::env::var(name).ok()`.
pub type Variables<'v> = dyn Fn(&str) -> Option<String> + 'v;

/// The place of this process among those of one training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its number among all processes, from 0.
    pub rank: usize,
    /// The number of all processes: two or more.
    pub world: usize,
    /// Its number among those of its machine, from 0.
    pub local_rank: usize,
    /// The number of processes on its machine.
    pub local_world: usize,
    /// Where the processes find each other.
    pub store: StoreAddress,
    /// How often this training was started again: see [`restarts`].
    pub restarts: u64,
    /// Who started the process.
    pub launcher: Launcher,
}

/// The address of the key-value store through which the processes of one training find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAddress {
    /// The name or the IP address of the machine.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Who listens there.
    pub served_by: ServedBy,
}

/// The process that serves the store; the others are its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// The process of rank 0.
    RankZero,
    /// The launcher, so that the store outlives rank 0: torchrun's agent, or our own parent.
    Launcher,
}

/// A program that starts the processes of one training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `densesiam --nproc`: see [`crate::processes::parent`].
    OwnParent,
    /// PyTorch's launcher.
    Torchrun,
    /// Slurm's `srun`.
    Slurm,
    /// The `mpirun` of Open MPI.
    OpenMpi,
    /// The `mpirun` of MPICH and of its descendants, such as Intel MPI.
    Mpich,
}

/// Variables of a launcher that are incomplete or contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// A variable is not set, although others of the same launcher are.
    #[error("{launcher} seems to have started this process, but {name} is not set; {}", launcher.advice())]
    Missing {
        /// The launcher.
        launcher: Launcher,
        /// The variable.
        name: &'static str,
    },
    /// A variable cannot be read.
    #[error("{name} is {value:?}, which is not {expected}; {}", launcher.advice())]
    Value {
        /// The launcher.
        launcher: Launcher,
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What its value should be.
        expected: &'static str,
    },
    /// The name of the machine where the processes meet leads nowhere.
    #[error(
        "the host {host:?}, where the processes meet, is not known here ({reason}); set MASTER_ADDR to a name or an address of the \
         machine of process 0 that every machine knows"
    )]
    UnknownHost {
        /// The name.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// Two variables contradict each other.
    #[error("{name} is {value}, which is too large where {limit_name} is {limit}; {}", launcher.advice())]
    TooLarge {
        /// The launcher.
        launcher: Launcher,
        /// The variable that is too large.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The variable that bounds it.
        limit_name: &'static str,
        /// The value of that one.
        limit: usize,
    },
}

impl Membership {
    /// Finds out who started this process, and as which of how many. None: it trains alone, because no launcher
    /// started it, or started one process only.
    ///
    /// # Errors
    /// [`MembershipError`] when the variables of the launcher are incomplete, unreadable or contradict each other.
    pub fn from_environment(variables: &Variables<'_>) -> Result<Option<Self>, MembershipError> {
        let Some(launcher) = Launcher::detect(variables) else { return Ok(None) };
        let (given, names) = (Given { variables, launcher }, launcher.names());
        let (rank, world) = (given.count(names.rank)?, given.count(names.world)?);
        given.check(rank < world, (names.rank, rank), (names.world, world))?;
        if world == 1 {
            return Ok(None);
        }
        let (local_rank, local_world) = match launcher {
            Launcher::Slurm => (given.count(names.local_rank)?, given.tasks_of_this_node()?),
            // Operators of clusters set the other variables alone, where a machine has one process.
            Launcher::Torchrun if given.has_neither(names.local_rank, names.local_world) => (0, 1),
            _ => (given.count(names.local_rank)?, given.count(names.local_world)?),
        };
        given.check(
            local_rank < local_world,
            (names.local_rank, local_rank),
            (names.local_world, local_world),
        )?;
        given.check(local_world <= world, (names.local_world, local_world), (names.world, world))?;
        let (store, restarts) = (given.store()?, restarts(variables)?);
        Ok(Some(Self { rank, world, local_rank, local_world, store, restarts, launcher }))
    }
}

/// How often launchers have started this training again, after a failure (torchrun) or a requeue (Slurm). If it is not
/// 0, there is a run to resume, even if one process alone is left of a training of several.
///
/// # Errors
/// [`MembershipError::Value`] when a count is no number.
pub fn restarts(variables: &Variables<'_>) -> Result<u64, MembershipError> {
    // A job that is requeued starts torchrun anew, which counts from 0: the sum grows with either.
    let torchrun =
        Given { variables, launcher: Launcher::Torchrun }.restarts("TORCHELASTIC_RESTART_COUNT")?;
    let slurm = Given { variables, launcher: Launcher::Slurm }.restarts("SLURM_RESTART_COUNT")?;
    Ok(torchrun + slurm)
}

/// What started this training, with the names that stay the same when it is started again: `torchrun ID`, `slurm JOB`. With
/// `again`, only those that have started it again. An id of torchrun that names nothing is left out.
pub fn launches(variables: &Variables<'_>, again: bool) -> Vec<String> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let launch = |launcher: &str, id: &str, restarts: &str| {
        let counts = set(restarts).is_some_and(|count| count != "0");
        set(id).filter(|id| id != "none" && (counts || !again)).map(|id| format!("{launcher} {id}"))
    };
    let torchrun = launch("torchrun", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT");
    let slurm = launch("slurm", "SLURM_JOB_ID", "SLURM_RESTART_COUNT");
    torchrun.into_iter().chain(slurm).collect()
}

/// A warning for a process that trains alone in a Slurm job of several tasks. In a batch script, and in a shell of
/// `salloc`, the variables of the job are set, but those of a step only by `srun`. To be asked for where
/// [`Membership::from_environment`] found nothing.
pub fn started_without_srun(variables: &Variables<'_>) -> Option<String> {
    let tasks =
        variables("SLURM_NTASKS").filter(|tasks| tasks.parse().is_ok_and(|tasks: usize| tasks > 1))?;
    Some(format!(
        "SLURM_NTASKS is {tasks}, but this process trains alone; to train with all tasks, write srun before the command"
    ))
}

/// The variables by which a launcher tells a process its place.
struct Names {
    rank: &'static str,
    world: &'static str,
    local_rank: &'static str,
    local_world: &'static str,
}

impl Launcher {
    /// The launcher whose variables are set: the innermost one, for those of an outer one stay set within it (a batch
    /// job may start torchrun).
    fn detect(variables: &Variables<'_>) -> Option<Self> {
        let is_set = |name: &str| variables(name).is_some_and(|value| !value.is_empty());
        let (torchrun, slurm) = (Self::Torchrun.names(), Self::Slurm.names());
        if variables(LAUNCHER).as_deref() == Some(PARENT) {
            return Some(Self::OwnParent);
        }
        if is_set(torchrun.rank) || is_set(torchrun.world) {
            return Some(Self::Torchrun);
        }
        let mpi = [Self::OpenMpi, Self::Mpich].into_iter().find(|mpi| is_set(mpi.names().world));
        // srun may set MPICH's variables as well (`--mpi=pmi2`), to its own numbers. Other numbers are those of an
        // mpirun within the step: one typed in a shell that srun opened, or one that reaches its machines by srun.
        let is_within_step = |mpi: Names| {
            variables(mpi.rank) != variables(slurm.rank) || variables(mpi.world) != variables(slurm.world)
        };
        if is_set(slurm.world) && !mpi.is_some_and(|mpi| is_within_step(mpi.names())) {
            return Some(Self::Slurm);
        }
        mpi
    }

    fn names(self) -> Names {
        let (rank, world, local_rank, local_world) = match self {
            Self::OwnParent | Self::Torchrun => ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
            // The names of a step: those of the job are set in its batch script too, which is one process.
            Self::Slurm => {
                ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE")
            }
            Self::OpenMpi => (
                "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE",
                "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE",
            ),
            Self::Mpich => ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
        };
        Names { rank, world, local_rank, local_world }
    }

    /// What to do where its variables are wrong.
    fn advice(self) -> &'static str {
        match self {
            Self::OwnParent => "start it by densesiam --nproc N, or unset DENSESIAM_LAUNCHER",
            Self::Torchrun => "start it by torchrun --no-python, or unset RANK and WORLD_SIZE to train alone",
            Self::Slurm => "start it by srun, or set MASTER_ADDR and MASTER_PORT if the address is at fault",
            Self::OpenMpi => {
                "start it by mpirun -x MASTER_ADDR=HOST -x MASTER_PORT=29500, HOST being rank 0's"
            }
            Self::Mpich => {
                "start it by mpiexec -genv MASTER_ADDR HOST -genv MASTER_PORT 29500, HOST being rank 0's"
            }
        }
    }
}

impl fmt::Display for Launcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OwnParent => "densesiam --nproc",
            Self::Torchrun => "torchrun",
            Self::Slurm => "srun",
            Self::OpenMpi => "mpirun (Open MPI)",
            Self::Mpich => "mpirun (MPICH)",
        })
    }
}
