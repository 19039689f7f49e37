//! Several processes that train one model: the same run as one process's, and a clear end when one of them is lost.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::program::{Finished, Place, borrowed, wait_for};
use crate::segment::{evaluations, segment};

/// The environment of a process, as `NAME=VALUE`.
fn environment(process: &str) -> Vec<String> {
    let text = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    text.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The process numbers of the living children of a parent, by rank.
pub(crate) fn ranks(parent: &Child) -> Vec<String> {
    let listed = Command::new("pgrep").args(["-P", &parent.id().to_string()]).output().unwrap();
    let mut ranks: Vec<(String, String)> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|process| {
            let rank =
                environment(process).iter().find_map(|part| part.strip_prefix("RANK=").map(str::to_owned));
            Some((rank?, process.to_owned()))
        })
        .collect();
    ranks.sort();
    ranks.into_iter().map(|(_, process)| process).collect()
}

fn kill(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

fn is_gone(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

fn assert_gone(processes: &[String]) {
    let start = Instant::now();
    while !processes.iter().all(|process| is_gone(process)) {
        assert!(start.elapsed() < Duration::from_secs(10), "{processes:?} are left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn losses(place: &Place, run: &str) -> Vec<f64> {
    place.metrics(run).iter().map(|row| row["loss"].as_f64().unwrap()).collect()
}

/// A small model.
const SMALL: [&str; 5] = [
    "encoder.architecture=resnet18",
    "pixsim.dim=8",
    "regionsim.dim=8",
    "global.dim=32",
    "train.pictures_every=never",
];

/// At a rate at which rounding is not amplified to what is compared, and with losses whose sum is not near 0.
const FIVE: [&str; 6] = [
    "train.batch_size=5",
    "regionsim.start=3 steps",
    "run.precision=fp32",
    "train.keep_last=100",
    "optimizer.base_learning_rate=0.2",
    "pixsim.distance=ce",
];

#[test]
fn two_processes_pretrain_and_segment_as_one() {
    let place = Place::new();
    let two = [&FIVE[..], &["--nproc", "2"]].concat();
    place.pretrain("one", &FIVE).succeeded();
    place.pretrain("two", &two).succeeded();
    place.pretrain("again", &two).succeeded();
    let (one, two) = (losses(&place, "one"), losses(&place, "two"));
    assert_eq!(two.len(), 6, "one process writes");
    for (step, (one, two)) in one.iter().zip(&two).enumerate().take(4) {
        assert!((one - two).abs() < 1e-3 * one.abs(), "step {step}: {one}, {two}");
    }
    assert_eq!(place.weights("two", 6), place.weights("again", 6), "to the bit");
    for file in ["report.html", "encoder.safetensors", "environment.json"] {
        assert!(place.path(&format!("runs/two/{file}")).is_file(), "{file}");
    }

    let settings = ["train.duration=3 steps", "labels.categories=4", "train.batch_size=5"];
    segment(&place, "seg-one", &settings).succeeded();
    segment(&place, "seg-two", &[&settings[..], &["--nproc", "2"]].concat()).succeeded();
    let scores = |run| evaluations(&place, run).remove(0);
    assert_eq!(scores("seg-one"), scores("seg-two"), "before training, from the same counts");
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let place = Place::new();
    let all = [&FIVE[..], &["train.duration=12 steps"]].concat();
    place.pretrain("whole", &[&all[..], &["--nproc", "2"]].concat()).succeeded();
    let mut child = place.start_pretrain("parts", &[&all[..], &["--nproc", "2"]].concat());
    wait_for(&place.path("runs/parts/checkpoints/000000004"), &mut child);
    let before = ranks(&child);
    kill("-KILL", &child.id().to_string());
    Finished::of(child);
    assert_gone(&before);
    // The same number of processes goes on to the bit, and another one up to rounding.
    let resumed = [&all[..], &["--resume", "--nproc", "2"]].concat();
    place.pretrain("parts", &resumed).succeeded().says(&["from step"]);
    assert_eq!(place.weights("whole", 12), place.weights("parts", 12));
    fs::remove_dir_all(place.path("runs/parts/checkpoints/000000012")).unwrap();
    fs::remove_dir_all(place.path("runs/parts/checkpoints/000000010")).unwrap();
    place.pretrain("parts", &[&all[..], &["--resume"]].concat()).succeeded().says(&["from step 8"]);
    let (whole, parts) = (losses(&place, "whole"), losses(&place, "parts"));
    assert_eq!(parts.len(), 12);
    assert!((whole[8] - parts[8]).abs() < 1e-3 * whole[8].abs(), "{} {}", whole[8], parts[8]);
}

/// A training of two processes, once it has taken some steps.
fn started(place: &Place, name: &str) -> (Child, Vec<String>) {
    let long = ["train.duration=100000 steps", "--nproc", "2", "run.timeout=5", "train.pictures_every=never"];
    let mut child = place.start_pretrain(name, &long);
    wait_for(&place.path(&format!("runs/{name}/checkpoints/000000004")), &mut child);
    let ranks = ranks(&child);
    assert_eq!(ranks.len(), 2);
    (child, ranks)
}

pub(crate) fn newest_checkpoint(place: &Place, run: &str) -> String {
    let checkpoints = fs::read_dir(place.path(&format!("runs/{run}/checkpoints"))).unwrap();
    let mut names: Vec<_> =
        checkpoints.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.pop().unwrap()
}

#[test]
fn a_lost_process_ends_the_training_with_a_whole_checkpoint() {
    let place = Place::new();
    for (name, victim, signal, code) in
        [("last", 1, "-KILL", 137), ("first", 0, "-KILL", 137), ("stopped", 1, "-STOP", 8)]
    {
        let (child, ranks) = started(&place, name);
        kill(signal, &ranks[victim]);
        let ended = Finished::of(child).exited(code);
        assert_gone(&ranks);
        let errors = ended.stderr().lines().filter(|line| line.contains("error:")).count();
        assert_eq!(errors, 1, "{}", ended.stderr());
        ended.says(&["another process of this training is lost", "--resume"]);
        let newest = place.path(&format!("runs/{name}/checkpoints/{}", newest_checkpoint(&place, name)));
        place.run(&["inspect", newest.to_str().unwrap()]).succeeded();
    }
}

#[test]
fn a_signal_to_one_process_or_to_their_parent_saves_and_ends_all() {
    let place = Place::new();
    for (name, whom) in [("parent", None), ("first", Some(0)), ("last", Some(1))] {
        let (child, ranks) = started(&place, name);
        let process = whom.map_or(child.id().to_string(), |rank: usize| ranks[rank].clone());
        kill("-TERM", &process);
        let ended = Finished::of(child).exited(143);
        assert_eq!(ended.stderr().matches("all is saved").count(), 1, "{}", ended.stderr());
        assert_gone(&ranks);
        let saved: u64 = newest_checkpoint(&place, name).parse().unwrap();
        assert_eq!(place.metrics(name).len() as u64, saved);
    }
}

/// Starts a process as torchrun does.
fn by_torchrun(place: &Place, places: [usize; 2], port: u16, settings: &[&str]) -> Child {
    by_torchrun_as(place, "run", places, port, settings)
}

fn by_torchrun_as(
    place: &Place,
    name: &str,
    [rank, world]: [usize; 2],
    port: u16,
    settings: &[&str],
) -> Child {
    let arguments = place.instant(name, settings);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", world.to_string());
    command.env("LOCAL_RANK", rank.to_string()).env("LOCAL_WORLD_SIZE", world.to_string());
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command.spawn().unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn processes_that_do_not_fit_together_say_so() {
    let place = Place::new();
    let port = free_port();
    let [first, other] = [(0, "run.seed=1"), (1, "run.seed=2")]
        .map(|(rank, setting)| by_torchrun(&place, [rank, 2], port, &[setting, "run.timeout=5"]));
    Finished::of(other).exited(2).says(&["process 1 differs from process 0 in run.seed"]);
    Finished::of(first).exited(8).says(&["process 1 differs from process 0 in run.seed"]);

    let alone = by_torchrun(&place, [0, 2], free_port(), &["run.timeout=2"]);
    Finished::of(alone).exited(8).says(&["not all processes have come"]);

    place.pretrain("many", &["--nproc", "3"]).exited(2).says(&["train.batch_size=6 or higher"]);
    let port = free_port();
    let [first, other] = [(0, "monitor.every=1 steps"), (1, "monitor.every=2 steps")]
        .map(|(rank, setting)| by_torchrun(&place, [rank, 2], port, &[setting, "run.timeout=5"]));
    Finished::of(other).exited(2).says(&["process 1 differs from process 0 in monitor.every"]);
    Finished::of(first).exited(8);
    assert!(!Path::new(&place.path("runs/many")).exists());
}

/// The number of steps is measured by all, and is that of the first process; where the run goes on, it is the one that the run
/// began with. Resuming starts the processes that serve their own store too.
#[test]
fn processes_measure_a_length_together_and_keep_it() {
    let place = Place::new();
    let timed = ["train.duration=0.005 minutes", "--nproc", "2"];
    let ended = place.pretrain("timed", &timed).succeeded().says(&["becomes", "pictures a second here"]);
    assert_eq!(ended.stderr().matches("becomes").count(), 1, "one process says it");
    let steps = place.metrics("timed").len();
    assert!(steps > 0);
    let resumed = [&timed[..], &["--resume"]].concat();
    place.pretrain("timed", &resumed).succeeded().says(&[&format!("{steps} steps are done")]);
    let port = free_port();
    let settings = [timed[0], "--resume", "run.timeout=20"];
    let [first, other] = [0, 1].map(|rank| by_torchrun_as(&place, "timed", [rank, 2], port, &settings));
    Finished::of(other).succeeded();
    Finished::of(first).succeeded().says(&[&format!("{steps} steps are done")]);

    let folder = place.pictures().display().to_string();
    let chosen = [&["pretrain", &folder, "augment.size=32", "--nproc", "2"], &SMALL[..]].concat();
    let mut child = place.command(&chosen).spawn().unwrap();
    wait_for(&place.path("runs/pictures-train-images/metrics.jsonl"), &mut child);
    kill("-TERM", &child.id().to_string());
    Finished::of(child).exited(143).says(&["train.duration=", "measured"]);
    let go_on = [&chosen[..], &["--resume"]].concat();
    let child = place.command(&go_on).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    kill("-TERM", &child.id().to_string());
    let ended = Finished::of(child).exited(143);
    assert!(!ended.stderr().contains("chosen for"), "{}", ended.stderr());
}

#[test]
fn checkpoints_by_age_are_those_of_the_first_process_and_resume_exactly() {
    let place = Place::new();
    let whole = ["train.duration=24 steps", "train.checkpoint_every=24 steps"];
    for processes in [&["--nproc", "1"], &["--nproc", "2"]] {
        let [whole_run, aged_run] = ["whole", "aged"].map(|name| format!("{name}-{}", processes[1]));
        let settings = [&whole[..], &processes[..]].concat();
        place.pretrain(&whole_run, &settings).succeeded();
        let aged =
            [&settings[..], &["train.checkpoint_every=0.0002 minutes", "train.keep_last=100"]].concat();
        place.pretrain(&aged_run, &aged).succeeded();
        let folder = place.path(&format!("runs/{aged_run}/checkpoints"));
        let mut steps: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        steps.sort();
        assert!(steps.len() > 3, "{steps:?}");
        for later in steps.split_off(steps.len() / 2) {
            fs::remove_dir_all(folder.join(later)).unwrap();
        }
        place.pretrain(&aged_run, &[&aged[..], &["--resume"]].concat()).succeeded().says(&["from step"]);
        assert_eq!(place.weights(&whole_run, 24), place.weights(&aged_run, 24));
    }
}

/// The running statistics of process 0 and of process 1 differ, and what is saved is neither: so the run that goes on has what
/// the run had.
#[test]
fn processes_with_statistics_of_their_own_save_one_state_and_resume() {
    let place = Place::new();
    let two = [&FIVE[..], &["train.duration=8 steps", "--nproc", "2"]].concat();
    let with = |name: &str, more: &[&str]| place.pretrain(name, &[&two[..], more].concat());
    with("all", &[]).succeeded();
    with("machine", &["train.batch_norm=machine"]).succeeded();
    assert_eq!(place.weights("all", 8), place.weights("machine", 8), "of one machine");
    let local = ["train.batch_norm=local"];
    with("local", &local).succeeded();
    with("again", &local).succeeded();
    assert_eq!(place.weights("local", 8), place.weights("again", 8), "to the bit");
    assert_ne!(place.weights("all", 8), place.weights("local", 8));
    for later in ["000000006", "000000008"] {
        fs::remove_dir_all(place.path(&format!("runs/again/checkpoints/{later}"))).unwrap();
    }
    with("again", &["train.batch_norm=local", "--resume"]).succeeded().says(&["from step 4"]);
    assert_eq!(place.weights("local", 8), place.weights("again", 8), "after it was resumed");
    // One process has no others to share with.
    place.pretrain("one", &FIVE).succeeded();
    place.pretrain("one-local", &[&FIVE[..], &local].concat()).succeeded();
    assert_eq!(place.weights("one", 6), place.weights("one-local", 6));

    let settings =
        ["train.duration=4 steps", "labels.categories=4", "train.batch_norm=local", "--nproc", "2"];
    segment(&place, "seg-local", &settings).succeeded();
}

#[test]
fn a_picture_that_cannot_be_read_is_met_by_all() {
    let place = Place::new();
    fs::write(place.pictures().join("0003.jpg"), b"no picture").unwrap();
    place.pretrain("two", &["--nproc", "2"]).succeeded();
    let list = fs::read_to_string(place.path("runs/two/bad_files.txt")).unwrap();
    assert_eq!(list.lines().count(), 1, "{list}");
    let few = ["--nproc", "2", "data.max_bad_share=0.01"];
    let ended = place.pretrain("few", &few).exited(3);
    ended.says(&["are unreadable, more than"]);
}

#[test]
fn the_doctor_and_the_benchmark_measure_several_processes() {
    let place = Place::new();
    place
        .run(&["doctor", "--nproc", "2", "--json"])
        .succeeded()
        .prints(&["densesiam --nproc", "sum_100mb_seconds"]);
    let small = ["encoder.architecture=resnet18", "augment.size=32", "pixsim.dim=8", "regionsim.dim=8"];
    let bench =
        [&["bench", "step", "--nproc", "2", "--no-limits", "--steps", "1", "--warmup", "1"], &small[..]];
    let answer = place.run(&bench.concat()).succeeded().stdout();
    assert_eq!(answer.lines().count(), 1, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["together"]["processes"], &answer["batch"]), (&2.into(), &16.into()));
    let efficiency = answer["together"]["efficiency_strong"].as_f64().unwrap();
    assert!((0.01..10.0).contains(&efficiency), "{efficiency}");
}

/// A launcher that starts a training again means the run that this launch has begun, and no other of the same name.
#[test]
fn a_run_that_another_launch_began_is_not_taken_up_again() {
    let place = Place::new();
    let of_job = |job: &str, restarts: &str, more: &[&str]| {
        let arguments = place.instant("run", more);
        let mut command = place.command(&borrowed(&arguments));
        command.env("SLURM_JOB_ID", job).env("SLURM_RESTART_COUNT", restarts);
        Finished::of(command.spawn().unwrap())
    };
    of_job("7", "0", &["train.duration=2 steps"]).succeeded();
    let before = place.weights("run", 2);
    of_job("8", "1", &["train.duration=2 steps"]).exited(4).says(&["exists", "--resume"]);
    // A requeued job whose first attempt ended before it came to its run.
    let again = ["train.duration=2 steps", "run.seed=5", "--overwrite"];
    of_job("8", "1", &again).succeeded();
    assert_ne!(place.weights("run", 2), before, "another training was asked for");
    let told = of_job("8", "2", &again).succeeded();
    told.says(&["started again (2)", "goes on from its newest checkpoint", "finished"]);
}
