use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::*;
use crate::processes::membership::{Launcher, Membership, ServedBy, StoreAddress};

/// Long enough for a busy machine; no test waits that long when all is well.
const LONG: Duration = Duration::from_secs(60);

fn plan(processes: usize, patience: Duration) -> Plan {
    Plan { processes, nodes: 1, node: 0, master: None, patience }
}

/// Supervises processes that run a script of the shell.
fn run(script: &str, plan: &Plan) -> Result<Ending, ParentError> {
    supervise(Path::new("/bin/sh"), &["-c".into(), script.into()], plan, 4711)
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The letter of a process's state, as `ps` shows it; none if it is gone, or ended and only not waited for.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
    let letter = stat.rsplit(") ").next()?.chars().next()?;
    (!matches!(letter, 'Z' | 'X')).then_some(letter)
}

/// The process numbers that children wrote to files of their rank's name.
fn pids(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .filter(|pid| pid.ends_with('\n'))
        .collect()
}

fn all_gone(folder: &Path) -> bool {
    pids(folder).iter().all(|pid| state(pid).is_none())
}

#[test]
fn a_training_succeeds_when_all_processes_do() {
    let ending = run("sleep 0.0$RANK", &plan(3, LONG)).unwrap();
    assert_eq!((ending.code(8), ending), (0, Ending::default()));
}

#[test]
fn what_outlasts_a_failure_and_the_patience_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; echo $$ > $RANK; sleep 100 & echo $! > sleep$RANK
        if [ $RANK = 1 ]; then kill $!; until [ -s sleep0 ] && [ -s sleep2 ]; do sleep 0.01; done; exit 3; fi; wait",
        folder.path().display()
    );
    let start = Instant::now();
    let ending = run(&script, &plan(3, Duration::from_millis(100))).unwrap();
    assert_eq!(ending, Ending { failures: vec![Failure { rank: 1, code: 3 }], killed: vec![0, 2] });
    assert!(start.elapsed() < LONG);
    assert_eq!(pids(folder.path()).len(), 6);
    until("no process is left", || all_gone(folder.path()));
}

/// Each process waits until its parent has taken note of the end of the one after it.
#[test]
fn the_first_failure_counts_and_later_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; echo $$ > $RANK; next=$((RANK + 1)); [ $RANK = 2 ] && exit 7
        until [ -s $next ]; do sleep 0.01; done; while kill -0 $(cat $next); do sleep 0.01; done 2> log
        exit $((4 + RANK))",
        folder.path().display()
    );
    let ending = run(&script, &plan(3, LONG)).unwrap();
    let failures =
        vec![(2, 7), (1, 5), (0, 4)].into_iter().map(|(rank, code)| Failure { rank, code }).collect();
    assert_eq!((ending.code(8), ending), (7, Ending { failures, killed: Vec::new() }));
}

#[test]
fn a_process_that_a_signal_ended_counts_as_in_shells() {
    assert_eq!(run("kill -KILL $$", &plan(1, LONG)).unwrap().code(8), 137);
    assert_eq!(run("kill -SEGV $$", &plan(1, LONG)).unwrap().code(8), 139);
}

/// What the parent sets is what [`Membership`] reads.
#[test]
fn processes_are_told_their_places() {
    let alone = (plan(2, LONG), "127.0.0.1", 4711);
    let second =
        Plan { nodes: 3, node: 1, master: Some(("first.local".to_owned(), 29_500)), ..plan(2, LONG) };
    for (plan, host, port) in [alone, (second, "first.local", 29_500)] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "env > {}/$LOCAL_RANK; readlink /proc/self/fd/0 >> {0}/$LOCAL_RANK",
            folder.path().display()
        );
        assert_eq!(run(&script, &plan).unwrap().code(8), 0);
        for local_rank in 0..2 {
            let written = fs::read_to_string(folder.path().join(local_rank.to_string())).unwrap();
            assert!(written.ends_with("\n/dev/null\n"), "no process takes what is typed");
            let variable = |name: &str| {
                let value = written.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                value.map(str::to_owned)
            };
            let membership = Membership::from_environment(&variable).unwrap();
            let (rank, world) = (plan.node * 2 + local_rank, plan.nodes * 2);
            let store = StoreAddress { host: host.to_owned(), port, served_by: ServedBy::Launcher };
            let launcher = Launcher::OwnParent;
            let expected =
                Membership { rank, world, local_rank, local_world: 2, store, restarts: 0, launcher };
            assert_eq!(membership, Some(expected));
        }
    }
}

#[test]
fn what_cannot_be_started_is_named() {
    let error = supervise(Path::new("/no/such/program"), &[], &plan(2, LONG), 4711).unwrap_err().to_string();
    assert!(error.starts_with("cannot start /no/such/program for rank 0: "), "{error}");
    for (plan, option) in [
        (plan(0, LONG), "--nproc"),
        (Plan { nodes: 0, ..plan(2, LONG) }, "--node must be less"),
        (Plan { node: 1, ..plan(2, LONG) }, "--node must be less"),
        (Plan { nodes: 2, ..plan(2, LONG) }, "--master HOST:PORT"),
    ] {
        let error = run("true", &plan).unwrap_err().to_string();
        assert!(error.contains(option), "{error}");
    }
}

/// So it is where the second process cannot be started, or the parent panics.
#[test]
fn processes_do_not_outlive_their_list() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("echo $$ > {}/0; sleep 100", folder.path().display());
    let mut children = Children::default();
    children.start(0, Command::new("/bin/sh").args(["-c", &script])).unwrap();
    until("it runs", || pids(folder.path()).len() == 1 && !all_gone(folder.path()));
    assert!(children.start(1, &mut Command::new("/no/such/program")).is_err());
    assert_eq!(children.ranks(), [0]);
    drop(children);
    assert!(all_gone(folder.path()));
}

/// A parent in a process of its own, which can be sent signals. Its children write their process numbers to files of
/// the name of their rank, and then a line to `RANK.signals` for each signal, without ending but for SIGTERM.
struct Separate {
    parent: Child,
    folder: tempfile::TempDir,
}

const SCRIPT: &str = "DENSESIAM_TEST_SCRIPT";

impl Separate {
    /// Starts it by this test program, in which [`a_separate_parent`] is all that runs.
    fn start(through: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, signals) = (folder.path().display(), "INT USR1 HUP");
        // `wait` can be interrupted, and a shell that starts a process aside is not held up where that one is stopped.
        let script = format!(
            "cd {path}; mkdir -p signals; for name in {signals}; do trap \"echo $name >> signals/$RANK\" $name; done
            trap 'echo TERM >> signals/$RANK; exit 143' TERM
            echo $$ > $RANK; while :; do sleep 1 & wait; done"
        );
        let own = env::current_exe().unwrap();
        let mut words: Vec<OsString> = through.iter().map(OsString::from).collect();
        words.push(own.into());
        let parent = Command::new(&words[0])
            .args(&words[1..])
            .args(["--exact", "processes::parent::tests::a_separate_parent", "--nocapture"])
            .env(SCRIPT, script)
            .stdout(Stdio::null())
            // The shell says there which signal has ended its sleep.
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let separate = Self { parent, folder };
        until("both children are there", || pids(separate.folder.path()).len() == 2);
        separate
    }

    /// Sends a signal to the parent, or as a terminal does to its group.
    fn send(&self, signal: i32, group: bool) {
        let signal = Signal::from_named_raw(signal).unwrap();
        let parent = Pid::from_child(&self.parent);
        if group { kill_process_group(parent, signal) } else { kill_process(parent, signal) }.unwrap();
    }

    /// The signals that a child has noted.
    fn noted(&self, rank: usize) -> String {
        let path = self.folder.path().join("signals").join(rank.to_string());
        fs::read_to_string(path).unwrap_or_default().replace('\n', " ")
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the parent ends", || {
            status = self.parent.try_wait().unwrap();
            status.is_some()
        });
        until("no child is left", || all_gone(self.folder.path()));
        status.unwrap()
    }
}

/// Nothing is left where a test fails.
impl Drop for Separate {
    fn drop(&mut self) {
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

#[test]
fn a_separate_parent() {
    if let Ok(script) = env::var(SCRIPT) {
        std::process::exit(run(&script, &plan(2, LONG)).unwrap().code(8));
    }
}

#[test]
fn signals_reach_every_process_once() {
    let mut separate = Separate::start(&["/usr/bin/env"]);
    let mut expected = String::new();
    // The terminal's own go to the whole group of the parent, in which no child is.
    for (signal, name, group) in [(SIGUSR1, "USR1 ", false), (SIGINT, "INT ", true), (SIGHUP, "HUP ", true)] {
        separate.send(signal, group);
        expected.push_str(name);
        until(name, || (0..2).all(|rank| separate.noted(rank).len() >= expected.len()));
    }
    separate.send(SIGTERM, false);
    assert_eq!(separate.wait().code(), Some(143));
    expected.push_str("TERM ");
    assert_eq!([separate.noted(0), separate.noted(1)], [expected.clone(), expected]);
}

#[test]
fn a_parent_under_nohup_and_its_processes_ignore_that_the_terminal_is_closed() {
    let mut separate = Separate::start(&["/bin/sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    separate.send(SIGHUP, true);
    separate.send(SIGUSR1, false);
    until("the other signal comes", || (0..2).all(|rank| separate.noted(rank) == "USR1 "));
    separate.send(SIGTERM, false);
    assert_eq!(separate.wait().code(), Some(143));
}

#[test]
fn all_processes_stop_and_go_on_with_the_parent() {
    let mut separate = Separate::start(&["/usr/bin/env"]);
    let are_stopped = |stopped: bool| {
        pids(separate.folder.path())
            .iter()
            .all(|pid| state(pid).is_some_and(|letter| (letter == 'T') == stopped))
    };
    separate.send(SIGTSTP, true);
    until("all stop", || are_stopped(true) && state(&separate.parent.id().to_string()) == Some('T'));
    separate.send(SIGCONT, true);
    until("all go on", || are_stopped(false));
    separate.send(SIGTERM, false);
    assert_eq!(separate.wait().code(), Some(143));
}
