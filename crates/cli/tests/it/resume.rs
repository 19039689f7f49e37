//! Resuming a run is the same as never having stopped it, to the last bit.

use std::process::{Command, Stdio};

use crate::program::{Finished, Place, wait_for};
use crate::segment::segment;

/// RegionSim starts at step 20, within the second epoch after the interruption. By cross-entropy a loss falls within six steps.
const LONG: [&str; 3] = ["train.duration=40 steps", "train.keep_last=100", "pixsim.distance=ce"];

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_killed_run_resumed_equals_one_never_killed() {
    let place = Place::new();
    place.pretrain("whole", &LONG).succeeded();
    let mut child = place.start_pretrain("killed", &LONG);
    // Step 6 lies in the middle of the second epoch of four steps.
    wait_for(&place.path("runs/killed/checkpoints/000000006"), &mut child);
    child.kill().unwrap();
    let report = std::fs::read_to_string(place.path("runs/killed/report.html")).unwrap();
    assert!(report.contains(">running<") && report.contains("Healthy so far"), "there while it runs");
    Finished::of(child);
    let resumed: Vec<&str> = LONG.iter().copied().chain(["--resume", "data.workers=3"]).collect();
    place.pretrain("killed", &resumed).succeeded().says(&["from step"]);
    for step in [8, 20, 40] {
        assert_eq!(place.weights("whole", step), place.weights("killed", step), "step {step}");
    }
    let losses =
        |name: &str| -> Vec<_> { place.metrics(name).iter().map(|row| row["loss"].clone()).collect() };
    assert_eq!(losses("whole"), losses("killed"), "each step is logged once");
    assert_eq!(losses("whole").len(), 40);
    place.pretrain("killed", &resumed).succeeded().says(&["finished"]);
}

/// Manifests did not say the method, the encoder's tensors and the number of categories at first.
#[test]
fn a_checkpoint_whose_manifest_says_less_is_resumed_and_read() {
    let place = Place::new();
    place.pretrain("pre", &["train.duration=2 steps"]).succeeded();
    segment(&place, "seg", &["train.duration=2 steps", "labels.categories=4"]).succeeded();
    let forget = |run: &str| {
        let path = place.path(&format!("runs/{run}/checkpoints/000000002/manifest.json"));
        let mut manifest: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for key in ["method", "encoder", "categories"] {
            assert!(manifest["run"].as_object_mut().unwrap().remove(key).is_some(), "{run} says {key}");
        }
        std::fs::write(&path, manifest.to_string()).unwrap();
    };
    let export = |run: &str, out: &str| {
        place.run(&["export", &format!("runs/{run}"), "--out", out]).succeeded();
        std::fs::read(place.path(out)).unwrap()
    };
    for (run, prefix, categories) in [("pre", "encoder.", "null"), ("seg", "backbone.", "4")] {
        let before = export(run, &format!("{run}-before.safetensors"));
        forget(run);
        assert_eq!(export(run, &format!("{run}-after.safetensors")), before);
        place.run(&["inspect", &format!("runs/{run}"), "--json"]).succeeded().prints(&[
            "\"method\": \"densesiam\"",
            &format!("\"encoder\": \"{prefix}\""),
            &format!("\"categories\": {categories}"),
        ]);
    }
    let pictures = place.path("pictures/val").display().to_string();
    place.run(&["predict", "runs/seg", &pictures, "--out", "maps"]).succeeded();
    place.pretrain("pre", &["train.duration=2 steps", "--resume"]).succeeded().says(&["finished"]);
    let resumed = ["train.duration=2 steps", "labels.categories=4", "--resume"];
    segment(&place, "seg", &resumed).succeeded().says(&["finished"]);
}

#[test]
fn interrupts_save_and_exit_with_their_code() {
    let place = Place::new();
    let signals =
        [("int", "-INT", 130), ("term", "-TERM", 143), ("usr1", "-USR1", 138), ("hup", "-HUP", 129)];
    // Tests may run under nohup themselves, which a program inherits.
    let nohup = hang_up_is_ignored("self");
    for (name, signal_name, code) in signals.into_iter().filter(|&(name, ..)| name != "hup" || !nohup) {
        let more = ["train.duration=4000 steps", "train.checkpoint_every=2000 steps"];
        let mut child = place.start_pretrain(name, &more);
        wait_for(&place.path(&format!("runs/{name}/pictures/features-000000003.png")), &mut child);
        signal(&child, signal_name);
        let run = format!("runs/{name}");
        let left = [format!("encoder: {run}/encoder.safetensors"), format!("report:  {run}/report.html")];
        let how = format!("go on with: densesiam pretrain {run} --resume");
        let stopped = Finished::of(child).exited(code).says(&["all is saved", &left[0], &left[1], &how]);
        assert!(!stopped.stderr().contains("error"), "{}", stopped.stderr());
        let checkpoints = std::fs::read_dir(place.path(&run).join("checkpoints")).unwrap();
        assert_eq!(checkpoints.count(), 2, "that before the first step, and that of the signal");
        for file in ["encoder.safetensors", "report.html"] {
            assert!(place.path(&run).join(file).is_file(), "{file}");
        }
    }
}

#[test]
fn under_nohup_a_run_outlives_its_terminal() {
    let place = Place::new();
    let arguments = place.instant("nohup", &["train.duration=200 steps"]);
    let mut child = Command::new("sh")
        .args(["-c", r#"trap "" HUP; exec "$0" "$@""#, env!("CARGO_BIN_EXE_densesiam")])
        .args(&arguments)
        .current_dir(place.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&place.path("runs/nohup/pictures/features-000000003.png"), &mut child);
    assert!(hang_up_is_ignored(&child.id().to_string()));
    signal(&child, "-HUP");
    assert!(child.wait().unwrap().success());
    assert_eq!(place.metrics("nohup").len(), 200);
}

fn hang_up_is_ignored(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
}

#[test]
fn a_damaged_checkpoint_is_skipped_with_a_warning() {
    let place = Place::new();
    place.pretrain("damaged", &[]).succeeded();
    let model = place.path("runs/damaged/checkpoints/000000006/model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let whole = place.weights("damaged", 4);
    place.pretrain("damaged", &["--resume"]).succeeded().says(&[
        "000000006",
        "is damaged and not used",
        "from step 4",
    ]);
    assert_ne!(place.weights("damaged", 6), whole);
}

#[test]
fn what_would_change_the_result_cannot_change_at_resume() {
    let place = Place::new();
    place.pretrain("changed", &[]).succeeded();
    let other = ["--resume", "pixsim.weight=0.5", "train.log_every=2 steps"];
    place.pretrain("changed", &other).exited(4).says(&["pixsim.weight", "same recipe"]);
    std::fs::remove_file(place.pictures().join("0003.jpg")).unwrap();
    place.pretrain("changed", &["--resume"]).exited(4).says(&["other pictures", "16 then", "15 now"]);
}

#[test]
fn a_run_is_resumed_by_its_directory() {
    let place = Place::new();
    place.pretrain("there", &[]).succeeded();
    std::fs::remove_dir_all(place.path("runs/there/checkpoints/000000006")).unwrap();
    place.run(&["pretrain", "runs/there", "--resume"]).succeeded().says(&["from step 4 of 6"]);
}

#[test]
fn where_all_checkpoints_are_damaged_nothing_is_started_over() {
    let place = Place::new();
    place.pretrain("lost", &["train.keep_last=1"]).succeeded();
    std::fs::write(place.path("runs/lost/checkpoints/000000006/model.safetensors"), "rubbish").unwrap();
    place
        .pretrain("lost", &["train.keep_last=1", "--resume"])
        .exited(4)
        .says(&["000000006", "no checkpoint can be used"]);
    assert_eq!(place.metrics("lost").len(), 6);
}

#[test]
fn a_run_without_its_checkpoints_is_not_started_over() {
    let place = Place::new();
    place.pretrain("emptied", &[]).succeeded();
    std::fs::remove_dir_all(place.path("runs/emptied/checkpoints")).unwrap();
    place.pretrain("emptied", &["--resume"]).exited(4).says(&["runs/emptied", "--overwrite"]);
    assert_eq!(place.metrics("emptied").len(), 6);
    place.pretrain("emptied", &["--overwrite"]).succeeded();
}

#[test]
fn a_run_is_saved_before_its_first_step() {
    let place = Place::new();
    place.pretrain("whole", &LONG).succeeded();
    let mut child = place.start_pretrain("early", &LONG);
    wait_for(&place.path("runs/early/checkpoints/000000000"), &mut child);
    signal(&child, "-TERM");
    Finished::of(child).exited(143).says(&["all is saved"]);
    // What the signal found done is set aside, so that the run goes on from its first checkpoint.
    for step in 1..=40 {
        let _ = std::fs::remove_dir_all(place.path(&format!("runs/early/checkpoints/{step:09}")));
    }
    let resumed: Vec<&str> = LONG.iter().copied().chain(["--resume"]).collect();
    place.pretrain("early", &resumed).succeeded().says(&["from step 0 of 40"]);
    assert_eq!(place.weights("whole", 40), place.weights("early", 40));
    assert_eq!(place.metrics("early").len(), 40);
}

#[test]
fn a_pretraining_goes_on_from_the_given_weights_wherever_it_was_stopped() {
    let place = Place::new();
    place.pretrain("given", &["run.seed=7"]).succeeded();
    let weights = "encoder.weights=runs/given/encoder.safetensors";
    // A run directory stands for its encoder.
    let of_run = place.pretrain("whole", &["encoder.weights=runs/given"]).succeeded();
    of_run.says(&["ResNet18 from runs/given", "120 of 120"]);
    let none = place.pretrain("none", &["encoder.weights=pictures", "--dry-run"]).exited(4);
    none.says(&["pictures", "without an encoder.safetensors"]);
    place.pretrain("random", &["--dry-run"]).succeeded().says(&["ResNet18 from random weights"]);
    let given = densesiam_weights::read(&place.path("runs/given/encoder.safetensors"), &Default::default());
    let begun = place.path("runs/first/checkpoints/000000000/model.safetensors");
    let mut child = place.start_pretrain("first", &[weights]);
    wait_for(&begun, &mut child);
    let begun = densesiam_weights::read(&begun, &Default::default());
    child.kill().unwrap();
    Finished::of(child);
    let tensor = |file: &densesiam_weights::WeightsFile, name: &str| {
        file.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.bytes.to_vec()).unwrap()
    };
    let [given, begun] = [given, begun].map(Result::unwrap);
    assert_eq!(tensor(&given, "layer1.0.conv1.weight"), tensor(&begun, "encoder.layer1.0.conv1.weight"));
    // What is given is not asked for again once it has been taken.
    std::fs::remove_file(place.path("runs/given/encoder.safetensors")).unwrap();
    place.pretrain("first", &[weights, "--resume"]).succeeded();
    assert_eq!(place.weights("whole", 6), place.weights("first", 6));
    place.pretrain("gone", &[weights, "--dry-run"]).exited(4).says(&["runs/given/encoder.safetensors"]);
}

/// A run of a program that did not have all of today's keys goes on: what it lacks had its default.
#[test]
fn a_run_from_before_a_key_is_resumed() {
    let place = Place::new();
    place.pretrain("old", &[]).succeeded();
    let recipe = place.path("runs/old/recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("weights = \"\"\n", "")).unwrap();
    assert!(text.contains("weights = \"\"\n"));
    place.pretrain("old", &["--resume"]).succeeded().says(&["finished"]);
}

#[test]
fn a_run_that_was_killed_before_it_wrote_its_recipe_can_be_begun() {
    let place = Place::new();
    for (name, how) in [("new", None), ("resumed", Some("--resume")), ("over", Some("--overwrite"))] {
        std::fs::create_dir_all(place.path(&format!("runs/{name}/checkpoints"))).unwrap();
        std::fs::write(place.path(&format!("runs/{name}/.lock")), "").unwrap();
        place.pretrain(name, how.as_slice()).succeeded().says(&["from step 0 of 6"]);
    }
}

#[test]
fn a_copied_run_goes_on_in_the_copy() {
    let place = Place::new();
    place.pretrain("first", &[]).succeeded();
    std::fs::rename(place.path("runs/first"), place.path("runs/second")).unwrap();
    std::fs::remove_dir_all(place.path("runs/second/checkpoints/000000006")).unwrap();
    place.run(&["pretrain", "runs/second", "--resume"]).succeeded().says(&["runs/second", "from step 4"]);
    assert!(!place.path("runs/first").exists());
}

/// A time is measured once: what goes on has the steps, and so the schedule, with which it began.
#[test]
fn a_time_becomes_steps_that_a_resumed_run_keeps() {
    let place = Place::new();
    let time = ["train.duration=0.05 minutes"];
    place.pretrain("timed", &time).succeeded().says(&["pictures a second here"]);
    let recipe = std::fs::read_to_string(place.path("runs/timed/recipe.toml")).unwrap();
    let steps = place.metrics("timed").len();
    assert!(recipe.contains(&format!("duration = \"{steps} steps\"")), "{recipe}");
    let resumed = place.pretrain("timed", &[time[0], "--resume"]).succeeded();
    assert!(!resumed.stderr().contains("pictures a second here"), "{}", resumed.stderr());
    assert_eq!(place.metrics("timed").len(), steps);
}
