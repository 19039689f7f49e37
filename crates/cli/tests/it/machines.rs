//! Several processes on several machines, and on one whose disk is full. Machines are namespaces of the kernel's, which only root
//! may make.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::processes::{free_port, newest_checkpoint};
use crate::program::{Finished, Place, wait_for};

/// Whether a command of the system succeeds.
fn does(line: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether a test has to be left out, which is said.
fn left_out(allowed: bool, what: &str) -> bool {
    if !allowed {
        println!("LEFT OUT: {what} needs root and unshare");
    }
    !allowed
}

/// A process started by `before`, a command line, with torchrun's variables.
fn start(
    place: &Place,
    before: &[&str],
    [rank, world]: [usize; 2],
    store: (&str, u16),
    arguments: &[String],
) -> Child {
    let rank = rank.to_string();
    let variables = [
        ("RANK", &*rank),
        ("WORLD_SIZE", &world.to_string()),
        ("LOCAL_RANK", "0"),
        ("LOCAL_WORLD_SIZE", "1"),
        ("MASTER_ADDR", store.0),
        ("MASTER_PORT", &store.1.to_string()),
    ];
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(env!("CARGO_BIN_EXE_densesiam")).args(arguments);
    command.envs(variables).env("CUDA_VISIBLE_DEVICES", "").current_dir(place.path("."));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Two machines with a cable between them.
struct TwoMachines([String; 2]);

impl TwoMachines {
    const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

    /// None where this is not allowed.
    fn new() -> Option<Self> {
        let machines = Self([0, 1].map(|number| format!("densesiam-{}-{number}", std::process::id())));
        let [one, two] = &machines.0;
        let added = [one, two].iter().all(|name| does(&format!("ip netns add {name}")));
        let joined =
            added && does(&format!("ip link add cable netns {one} type veth peer name cable netns {two}"));
        let up = |(name, address): (&String, &str)| {
            does(&format!("ip -n {name} address add {address}/24 dev cable"))
                && does(&format!("ip -n {name} link set cable up"))
                && does(&format!("ip -n {name} link set lo up"))
        };
        (joined && machines.0.iter().zip(Self::ADDRESSES).all(up)).then_some(machines)
    }

    fn pull_the_cable(&self) {
        assert!(does(&format!("ip -n {} link set cable down", self.0[1])));
    }
}

impl Drop for TwoMachines {
    fn drop(&mut self) {
        for name in &self.0 {
            does(&format!("ip netns del {name}"));
        }
    }
}

fn inspected(place: &Place, folder: &Path) {
    place.run(&["inspect", folder.to_str().unwrap()]).succeeded();
}

#[test]
fn two_machines_train_until_the_cable_between_them_is_pulled() {
    let machines = TwoMachines::new();
    let Some(machines) = machines.as_ref().filter(|_| !left_out(machines.is_some(), "a veth pair")) else {
        return;
    };
    let place = Place::new();
    let long = ["train.duration=100000 steps", "run.timeout=4", "train.pictures_every=never"];
    let arguments = place.instant("run", &long);
    let mut children = [0, 1].map(|rank| {
        let before = ["ip", "netns", "exec", &machines.0[rank]];
        start(&place, &before, [rank, 2], (TwoMachines::ADDRESSES[0], 29500), &arguments)
    });
    wait_for(&place.path("runs/run/checkpoints/000000004"), &mut children[0]);
    let pulled = Instant::now();
    machines.pull_the_cable();
    for child in children {
        Finished::of(child).exited(8).says(&["another process of this training is lost", "--resume"]);
    }
    assert!(pulled.elapsed() < Duration::from_secs(60), "{:?}", pulled.elapsed());
    inspected(&place, &place.path(&format!("runs/run/checkpoints/{}", newest_checkpoint(&place, "run"))));
}

#[test]
fn processes_of_a_machine_have_common_batch_statistics() {
    if left_out(does("unshare --uts true"), "another host name") {
        return;
    }
    let place = Place::new();
    let train = |name: &str, settings: &[&str]| {
        let port = free_port();
        let arguments = place.instant(name, &[&["train.batch_size=6", "run.timeout=60"], settings].concat());
        // The first and the last are of one machine.
        let children = [0, 1, 2].map(|rank| {
            let renamed = format!("hostname machine{} && exec \"$0\" \"$@\"", rank % 2);
            start(
                &place,
                &["unshare", "--uts", "sh", "-c", &renamed],
                [rank, 3],
                ("127.0.0.1", port),
                &arguments,
            )
        });
        for child in children {
            Finished::of(child).succeeded();
        }
        place.weights(name, 6)
    };
    let machine = ["train.batch_norm=machine"];
    let [once, again] = ["once", "again"].map(|name| train(name, &machine));
    assert_eq!(once, again, "to the bit");
    let [all, local] =
        ["all", "local"].map(|sharing| train(sharing, &[&format!("train.batch_norm={sharing}")]));
    assert!(once != all && once != local);
}

#[test]
fn a_disk_that_is_full_ends_all_and_what_was_saved_is_whole() {
    if left_out(does("unshare --mount true"), "a small disk") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("disk")).unwrap();
    let long = ["train.duration=100 steps", "train.keep_last=100", "run.dir=disk", "--nproc", "2"];
    // A checkpoint takes 90 MB.
    let script = "mount -t tmpfs -o size=240m tmpfs disk && \"$0\" \"$@\"; code=$?
        cp -r disk/full/checkpoints/000000002 left && ls -A disk/full/checkpoints > listed; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_densesiam")]);
    command.args(place.instant("full", &long)).current_dir(place.path(".")).env("CUDA_VISIBLE_DEVICES", "");
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = Finished::of(output).exited(4);
    ended.says(&["error: ", "No space left on device", "[process 1] error: ", "(process 0: "]);
    inspected(&place, &place.path("left"));
    assert_eq!(fs::read_to_string(place.path("listed")).unwrap(), "000000000\n000000002\n", "nothing half");
}
