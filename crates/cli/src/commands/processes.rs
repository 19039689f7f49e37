//! A training of several processes: `--nproc` starts them, and each finds the others, whoever has started it.

use std::time::Duration;

use crate::exit_code::ExitCode;
use clap::Args;
use densesiam::error::Error;
use densesiam::recipe::{Common, NormSharing, RunSettings};
use densesiam::run::{Run, all_succeed, exchange, unless_lost};
use densesiam_engine::environment::Environment;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::processes::membership::{Launcher, started_without_srun};
use densesiam_engine::processes::parent::{self, Ending, end_with_parent, supervise};
use densesiam_engine::processes::{Membership, membership};
use densesiam_engine::run_dir::{RunLayout, Start};
use densesiam_nn::Group;
use densesiam_torch_ext::StoreServer;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many processes train together.
#[derive(Debug, Args)]
pub(crate) struct ProcessArguments {
    /// Start so many processes on this machine, which train together
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub nproc: usize,
    /// The machines on which this command is started
    #[arg(long, value_name = "M", default_value_t = 1, requires = "master")]
    pub nodes: usize,
    /// Which of these machines this one is, from 0
    #[arg(long, value_name = "I", default_value_t = 0, requires = "nodes")]
    pub node: usize,
    /// A host and port of machine 0, which all machines can reach
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub master: Option<(String, u16)>,
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| "not HOST:PORT, as in node0:29500".to_owned())
}

/// How long processes may take to end by themselves once one has failed; torchrun gives 30 seconds.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long a name server may take to learn the name of a machine that has just started.
const NAME_SERVER: Duration = Duration::from_secs(30);

/// The processes of one training, seen from one of them.
pub(super) struct Processes {
    /// The place of this one.
    pub(super) membership: Membership,
    /// Where the others meet, if this process serves it.
    _store: Option<StoreServer>,
}

/// Starts the processes that the command line asks for, waits for them, and exits with the code of the one that failed first.
/// In a process that is to train together with others, returns these.
pub(super) fn start(arguments: &ProcessArguments) -> Result<Option<Processes>, Error> {
    let usage = |error: &dyn std::fmt::Display| Error::Usage(error.to_string());
    let cannot_meet = |error| Error::Usage(format!("the processes cannot meet: {error}"));
    end_with_parent();
    let variables = |name: &str| std::env::var(name).ok();
    let membership = Membership::of_this_process().map_err(|error| usage(&error))?;
    let &ProcessArguments { nproc, nodes, node, ref master } = arguments;
    let asked = nproc.saturating_mul(nodes);
    if let Some(Membership { launcher, .. }) = &membership
        && *launcher != Launcher::OwnParent
        && asked > 1
    {
        return Err(usage(&format!("{launcher} has started this process; leave out --nproc")));
    }
    if let Some(membership) = membership {
        membership.find_store(NAME_SERVER).map_err(|error| usage(&error))?;
        let store = membership.serve().map_err(cannot_meet)?;
        return Ok(Some(Processes { membership, _store: store }));
    }
    if asked == 1 {
        started_without_srun(&variables)
            .into_iter()
            .for_each(|warning| say(format_args!("warning: {warning}")));
        return Ok(None);
    }
    let plan = parent::Plan { processes: nproc, nodes, node, master: master.clone(), patience: PATIENCE };
    let port = master.as_ref().map_or(0, |(_, port)| *port);
    let server = (node == 0).then(|| StoreServer::start(port)).transpose().map_err(cannot_meet)?;
    let program = std::env::current_exe().map_err(|error| Error::file("the program", error))?;
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let port = server.as_ref().map_or(port, StoreServer::port);
    let ending = supervise(&program, &given, &plan, port).map_err(|error| usage(&error))?;
    std::process::exit(said(&ending));
}

impl Processes {
    /// The group of all for one purpose; `timeout` in seconds is the longest wait for one.
    pub(super) fn group(&self, purpose: &str, timeout: u64) -> Result<Group, Error> {
        let Membership { rank, world, .. } = self.membership;
        self.join(purpose, [rank, world], timeout)
    }

    fn join(&self, name: &str, place: [usize; 2], timeout: u64) -> Result<Group, Error> {
        let missing = |error| Error::Elsewhere(format!("not all processes have come: {error}"));
        self.membership.join(name, place, Duration::from_secs(timeout)).map_err(missing)
    }
}

/// What the first process finds, in every process: the others need not see the same files.
pub(super) fn found_by_first<T: Serialize + DeserializeOwned>(
    processes: Option<&Processes>,
    (what, run): (&str, &RunSettings),
    find: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(processes) = processes else { return find() };
    let group = processes.group(what, run.timeout)?;
    let found = (group.rank() == 0).then(find).transpose();
    let found = unless_lost(&[&group], || all_succeed(&group, found)).map_err(Error::Elsewhere)??;
    let all = exchange(&group, what, &found).map_err(Error::Elsewhere)?;
    let none = || Error::Internal(format!("the first process has no {what}"));
    all.into_iter().flatten().next().ok_or_else(none)
}

/// Says how the processes ended, and returns the exit code.
fn said(ending: &Ending) -> i32 {
    if !ending.killed.is_empty() {
        say(format_args!("processes {:?} did not end by themselves, and were killed", ending.killed));
    }
    ending.code(ExitCode::Lost as i32)
}

/// What this process is called in messages: nothing if it trains alone.
pub(crate) fn name() -> String {
    match Membership::of_this_process() {
        Ok(Some(Membership { rank, .. })) => format!("[process {rank}] "),
        _ => String::new(),
    }
}

/// Whether this is the process that speaks to the user.
pub(crate) fn speaks() -> bool {
    !matches!(Membership::of_this_process(), Ok(Some(Membership { rank: 1.., .. })))
}

/// Whether another program has started this process as one of several. Ours sends it a Ctrl-C once.
pub(super) fn by_launcher() -> bool {
    let membership = Membership::of_this_process();
    matches!(membership, Ok(Some(Membership { launcher, .. })) if launcher != Launcher::OwnParent)
}

/// Who hears of this process: nobody, if another process speaks.
pub(super) fn voice() -> Voice {
    if speaks() { Voice::Terminal } else { Voice::Nobody }
}

/// Divides the run among the processes, for one purpose; all of them are then there.
pub(super) fn join(run: &mut Run, processes: Option<&Processes>, purpose: &str) -> Result<(), Error> {
    let Some(processes) = processes else { return Ok(()) };
    let Membership { local_rank, local_world, .. } = processes.membership;
    run.join(processes.group(purpose, run.common.run.timeout)?, [local_rank, local_world])?;
    run.norm_group = norm_group(Some(processes), &run.common, (purpose, &run.group))?;
    Ok(())
}

/// Those processes of the group for this purpose that have common batch statistics with this one, as `train.batch_norm` says.
pub(super) fn norm_group(
    processes: Option<&Processes>,
    common: &Common,
    (purpose, group): (&str, &Group),
) -> Result<Group, Error> {
    let (Some(processes), Common { run, train, .. }) = (processes, common) else { return Ok(Group::alone()) };
    match train.batch_norm {
        NormSharing::All => return Ok(group.clone()),
        NormSharing::Local => return Ok(Group::alone()),
        NormSharing::Machine => {}
    }
    let machines = exchange(group, "machine", &machine()).map_err(Error::Elsewhere)?;
    let own = &machines[group.rank()];
    let members: Vec<_> = (0..group.world()).filter(|&rank| machines[rank] == *own).collect();
    if members.len() == 1 {
        return Ok(Group::alone());
    }
    let place = members.iter().take_while(|&&rank| rank < group.rank()).count();
    processes.join(&format!("{purpose}/norms/{}", members[0]), [place, members.len()], run.timeout)
}

/// The name of this machine.
pub(super) fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Whether a run goes on: because the user asks for it, or because a launcher starts the training again, and so means it.
pub(super) struct GoingOn {
    asked: bool,
    /// How often launchers have started the training again.
    restarts: u64,
    /// Those that have, where they have names.
    launches: Vec<String>,
}

impl GoingOn {
    pub(super) fn of(asked: bool) -> Result<Self, Error> {
        let variables = |name: &str| std::env::var(name).ok();
        let restarts = membership::restarts(&variables).map_err(|error| Error::Usage(error.to_string()))?;
        Ok(Self { asked, restarts, launches: membership::launches(&variables, true) })
    }

    /// Whether any run could: the same for all processes.
    pub(super) fn is_possible(&self) -> bool {
        self.asked || self.restarts > 0
    }

    /// Whether there is a run in this directory, and it does. A run that another launch has begun, or none, is not what a launcher
    /// means: it was there before, and the first attempt has not come so far.
    pub(super) fn is_meant(&self, run: &RunLayout) -> bool {
        run.recipe().is_file() && (self.asked || self.restarts > 0 && self.has_begun(run))
    }

    fn has_begun(&self, run: &RunLayout) -> bool {
        let begun_in = Environment::launches_of(&run.environment());
        self.launches.is_empty() || self.launches.iter().any(|launch| begun_in.contains(launch))
    }

    /// How the run starts.
    pub(super) fn start(&self, run: &RunLayout, asked: Start, voice: &Voice) -> Start {
        if self.asked || !self.is_meant(run) {
            return asked;
        }
        voice.say(format_args!(
            "this training was started again ({}): the run goes on from its newest checkpoint",
            self.restarts
        ));
        Start::Resume
    }
}
