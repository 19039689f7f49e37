//! Long and hard runs: killed over and over, and over thousands of steps.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use densesiam_random::{Key, Purpose, RngExt};

use crate::processes::ranks;
use crate::program::{Finished, Place, wait_for};

/// Numbered checkpoints of a folder, and whether one is being written.
fn checkpoints(folder: &Path) -> (Vec<String>, bool) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let (whole, others): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    (whole, !others.is_empty())
}

/// Waits until the run has got further than `known`, then to within a checkpoint's write or for some milliseconds.
/// Whether the program is still running.
fn wait_to_kill(folder: &Path, child: &mut Child, known: &[String], pause: Option<u64>) -> bool {
    let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
    while checkpoints(folder).0.iter().all(|name| known.contains(name)) {
        if ended(child) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    match pause {
        Some(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
        None => {
            while !checkpoints(folder).1 && !ended(child) {
                std::hint::spin_loop();
            }
        }
    }
    !ended(child)
}

#[test]
fn a_run_that_is_killed_twenty_times_ends_as_one_never_killed() {
    const KILLS: u64 = 20;
    let place = Place::new();
    let more = ["train.duration=160 steps", "train.checkpoint_every=1 steps", "train.keep_last=3"];
    place.pretrain("whole", &more).succeeded();
    let folder = place.path("runs/killed/checkpoints");
    let resumed: Vec<&str> = more.iter().copied().chain(["--resume"]).collect();
    let mut random = Key::new(7, Purpose::Demo).rng();
    let (mut kills, mut within_writes) = (0, 0);
    while kills < KILLS {
        let known = checkpoints(&folder).0;
        let mut child = place.start_pretrain("killed", if kills == 0 { &more } else { &resumed });
        let pause = (kills % 2 == 0).then(|| random.random_range(0..80));
        if !wait_to_kill(&folder, &mut child, &known, pause) {
            panic!("the run ended after {kills} kills: {}", Finished::of(child).stderr());
        }
        child.kill().unwrap();
        Finished::of(child);
        kills += 1;
        within_writes += u64::from(checkpoints(&folder).1);
    }
    println!("{KILLS} kills, {within_writes} within the write of a checkpoint");
    assert!(within_writes >= KILLS / 4);
    place.pretrain("killed", &resumed).succeeded();
    assert_eq!(place.weights("whole", 160), place.weights("killed", 160));
    let losses =
        |name: &str| -> Vec<_> { place.metrics(name).iter().map(|row| row["loss"].clone()).collect() };
    assert_eq!(losses("whole"), losses("killed"), "each step is logged once");
    assert_eq!(checkpoints(&folder).0, checkpoints(&place.path("runs/whole/checkpoints")).0);
}

/// Resident memory of a process in MiB.
fn resident(process: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

#[test]
#[ignore = "takes minutes: make endurance"]
fn memory_is_flat_over_two_thousand_steps() {
    let place = Place::new();
    // Few lines are said: they wait in a pipe that nobody reads before the end.
    let more = [
        "train.duration=2000 steps",
        "train.log_every=20 steps",
        "train.checkpoint_every=100 steps",
        "train.pictures_every=100 steps",
    ];
    let mut child = place.start_pretrain("long", &more);
    let metrics = place.path("runs/long/metrics.jsonl");
    wait_for(&metrics, &mut child);
    let mut samples: Vec<(usize, f64)> = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let steps = fs::read(&metrics).unwrap().iter().filter(|&&byte| byte == b'\n').count();
        samples.extend(resident(&child.id().to_string()).map(|memory| (steps, memory)));
        std::thread::sleep(Duration::from_millis(100));
    }
    Finished::of(child).succeeded();
    let largest = |steps: std::ops::Range<usize>| {
        let within = samples.iter().filter(|(step, _)| steps.contains(step));
        within.map(|(_, memory)| *memory).fold(0.0, f64::max)
    };
    let (early, late) = (largest(100..400), largest(1600..2001));
    println!("resident: {early:.1} MiB in steps 100 to 400, {late:.1} MiB in steps 1600 to 2000");
    assert!(early > 0.0 && late <= early * 1.01, "{early} {late}");
}

#[test]
#[ignore = "takes a minute: make endurance"]
fn memory_of_two_processes_is_flat_over_three_hundred_steps() {
    let place = Place::new();
    let more = [
        "train.duration=300 steps",
        "train.log_every=5 steps",
        "train.checkpoint_every=50 steps",
        "train.pictures_every=50 steps",
        "--nproc",
        "2",
    ];
    let mut child = place.start_pretrain("long", &more);
    let metrics = place.path("runs/long/metrics.jsonl");
    wait_for(&metrics, &mut child);
    let ranks = ranks(&child);
    let mut samples: Vec<(usize, [f64; 2])> = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let steps = fs::read(&metrics).unwrap().iter().filter(|&&byte| byte == b'\n').count();
        let memory: Vec<_> = ranks.iter().filter_map(|rank| resident(rank)).collect();
        samples.extend(<[f64; 2]>::try_from(memory).ok().map(|memory| (steps, memory)));
        std::thread::sleep(Duration::from_millis(100));
    }
    Finished::of(child).succeeded();
    for rank in [0, 1] {
        let largest = |steps: std::ops::Range<usize>| {
            let within = samples.iter().filter(|(step, _)| steps.contains(step));
            within.map(|(_, memory)| memory[rank]).fold(0.0, f64::max)
        };
        let (early, late) = (largest(60..160), largest(200..301));
        println!("process {rank}: {early:.1} MiB in steps 60 to 160, {late:.1} MiB in steps 200 to 300");
        assert!(early > 0.0 && late <= early * 1.02, "{early} {late}");
    }
}
