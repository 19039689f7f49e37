//! A training of several processes: `--nproc` starts them, and each finds the others, whoever has started it.

use std::time::Duration;

use crate::exit_code::ExitCode;
use clap::Args;
use densesiam::error::Error;
use densesiam::recipe::Training;
use densesiam::run::Run;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::processes::membership::{Launcher, started_without_srun};
use densesiam_engine::processes::parent::{self, Ending, end_with_parent, supervise};
use densesiam_engine::processes::{Membership, membership};
use densesiam_engine::run_dir::Start;
use densesiam_nn::Group;
use densesiam_settings::duration::Length;
use densesiam_torch_ext::StoreServer;

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

/// Starts the processes that the command line asks for, waits for them, and exits with the code of the one that failed first.
/// In a process that is to train, returns its place.
pub(super) fn start(arguments: &ProcessArguments) -> Result<Option<Membership>, Error> {
    let usage = |error: &dyn std::fmt::Display| Error::Usage(error.to_string());
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
    if membership.is_some() || asked == 1 {
        if membership.is_none() {
            started_without_srun(&variables)
                .into_iter()
                .for_each(|warning| say(format_args!("warning: {warning}")));
        }
        return Ok(membership);
    }
    let plan = parent::Plan { processes: nproc, nodes, node, master: master.clone(), patience: PATIENCE };
    let port = master.as_ref().map_or(0, |(_, port)| *port);
    let server = (node == 0).then(|| StoreServer::start(port)).transpose();
    let server = server.map_err(|error| usage(&format!("the processes cannot meet: {error}")))?;
    let program = std::env::current_exe().map_err(|error| Error::file("the program", error))?;
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let port = server.as_ref().map_or(port, StoreServer::port);
    let ending = supervise(&program, &given, &plan, port).map_err(|error| usage(&error))?;
    std::process::exit(said(&ending));
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

/// Who hears of this process: nobody, if another process speaks.
pub(super) fn voice() -> Voice {
    if speaks() { Voice::Terminal } else { Voice::Nobody }
}

/// Why a length that has to be measured is refused.
pub(super) const MEASURED: &str =
    "several processes would measure different lengths; give train.duration in epochs or steps";

/// Fails where each process would choose the length of the training by itself.
pub(super) fn refuse_measured<R: Training>(recipe: &R) -> Result<(), Error> {
    match recipe.clone().common().train.duration {
        Length::Counted(_) => Ok(()),
        Length::Time(_) => Err(Error::Usage(
            "several processes would measure different lengths; give train.duration in epochs or steps"
                .into(),
        )),
    }
}

/// The run as one of the membership's processes, all of which are then there.
pub(super) fn join(run: Run, membership: Option<&Membership>) -> Result<Run, Error> {
    let Some(membership) = membership else { return Ok(run) };
    let group = group(Some(membership), run.common.run.timeout)?;
    run.with_group(group, [membership.local_rank, membership.local_world])
}

/// The membership's processes, all of which are then there; `timeout` in seconds is the longest wait for one.
pub(super) fn group(membership: Option<&Membership>, timeout: u64) -> Result<Group, Error> {
    let Some(membership) = membership else { return Ok(Group::alone()) };
    let missing = |error| Error::Elsewhere(format!("not all processes have come: {error}"));
    membership.join(Duration::from_secs(timeout)).map_err(missing)
}

/// Whether a launcher starts this training again after a failure, and so means it to go on.
pub(super) fn restarted() -> Result<bool, Error> {
    let restarts = membership::restarts(&|name| std::env::var(name).ok());
    restarts.map(|restarts| restarts > 0).map_err(|error| Error::Usage(error.to_string()))
}

/// How the run starts: one that is to go on and has not begun begins.
pub(super) fn start_of(run: &Run, restarted: bool, asked: Start) -> Start {
    if restarted && run.layout().recipe().is_file() { Start::Resume } else { asked }
}
