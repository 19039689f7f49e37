//! Linear probes, as a user runs them: on made-up pictures whose labels the layer is trained on.

use std::fs;

use densesiam::tasks::probe::{Figure, Source, summarise};
use densesiam::tasks::segment::Absent;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::labelled::Taxonomy;
use densesiam_metrics::{ConfusionMatrix, Matching, SegmentationScores, Spread};
use densesiam_nn::Architecture;
use serde_json::Value;

use crate::program::{Finished, Place};

/// A probe that takes a second.
const INSTANT: [&str; 6] = [
    "probe.size=64",
    "probe.features=hypercolumn",
    "probe.epochs=6",
    "probe.batch_size=4",
    "probe.evaluate_batch_size=5",
    "run.threads=1",
];

/// A place with 24 labelled pictures to train on and 8 to score on, in `labelled`.
fn place() -> Place {
    let place = Place::new();
    let settings = DemoSettings { train: 24, val: 8, width: 96, height: 72, seed: 5 };
    write_demo(&place.path("labelled"), &settings).unwrap();
    place
}

fn probe(place: &Place, encoders: &[&str], more: &[&str]) -> Finished {
    let start = ["probe"].into_iter().chain(encoders.iter().copied()).chain(["data.root=labelled"]);
    place.run(&start.chain(INSTANT).chain(more.iter().copied()).collect::<Vec<_>>())
}

fn json(finished: Finished) -> Value {
    serde_json::from_str(&finished.succeeded().stdout()).unwrap()
}

fn numbers(value: &Value, key: &str) -> Vec<f64> {
    value[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn random_features_beat_the_most_frequent_class_and_repeat_by_seed() {
    let place = place();
    let two = json(probe(&place, &["random"], &["--seeds", "2", "--json"]));
    for figure in two["figures"].as_array().unwrap() {
        let classes = figure["per_class"].as_array().unwrap();
        let labelled: Vec<f64> = classes.iter().map(|class| class["labelled"].as_f64().unwrap()).collect();
        let share = labelled.iter().copied().fold(0.0, f64::max) / labelled.iter().sum::<f64>();
        // Whoever answers with one class alone is right on its share, and has an IoU for that class only.
        let (miou, aacc) = (figure["mIoU"].as_f64().unwrap(), figure["aAcc"].as_f64().unwrap());
        assert!(aacc > share + 0.1, "{aacc} against {share}");
        assert!(miou > 2.0 * share / classes.len() as f64, "{miou} against {share}");
        assert_eq!(figure["matching"], "identity");
    }
    assert_ne!(two["figures"][0]["mIoU"], two["figures"][1]["mIoU"], "another seed");
    let again = json(probe(&place, &["random"], &["run.seed=2", "--json"]));
    assert_eq!(again["figures"][0], two["figures"][1], "the same seed, to the last digit");
    assert_eq!((&two["seeds"], &again["seeds"]), (&serde_json::json!([1, 2]), &serde_json::json!([2])));
    assert!(!place.path("runs").exists(), "nothing is written");
}

#[test]
fn runs_and_files_are_probed_under_their_names() {
    let place = place();
    place.pretrain("run", &["train.duration=2 steps"]).succeeded();
    let encoders =
        ["random", "ours=runs/run", "ours=runs/run/checkpoints/000000002", "runs/run/encoder.safetensors"];
    let found = json(probe(&place, &encoders, &["--seeds", "2", "--json"]));
    let figures = found["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 8);
    for seed in 0..2 {
        let of = |encoder: usize| {
            (&figures[2 * encoder + seed]["per_class"], &figures[2 * encoder + seed]["loss"])
        };
        assert!(of(1) == of(2) && of(2) == of(3), "run, checkpoint and exported file are one encoder");
        assert_ne!(of(0), of(1));
    }
    let groups = found["summary"].as_array().unwrap();
    let names: Vec<_> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["random", "ours", "runs/run/encoder.safetensors"]);
    assert_eq!(numbers(&groups[1]["mIoU"], "single").len(), 4);
    assert_eq!(groups[0]["difference"], Value::Null);

    let table = probe(&place, &["random", "ours=runs/run/"], &["probe.epochs=1", "probe.pictures=8"]);
    let table = table
        .succeeded()
        .says(&["8 of folder train, scored on 8 of folder val", "ours seed 1: loss"])
        .stdout();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("random ") && lines[2].starts_with("ours "), "{table}");
}

#[test]
fn a_segmentation_is_probed_by_its_backbone() {
    let place = place();
    let run = ["segment", "camvid_r18", "labels.layout=auto", "data.root=labelled", "run.name=segmentation"];
    let short = ["encoder.width=16", "augment.base_size=64", "augment.size=32", "auxiliary.classes=8"];
    let shorter = ["evaluate.size=32", "train.batch_size=4", "train.duration=1 steps", "run.threads=1"];
    place.run(&run.into_iter().chain(short).chain(shorter).collect::<Vec<_>>()).succeeded();
    let both = ["runs/segmentation", "runs/segmentation/encoder.safetensors"];
    let found = json(probe(&place, &both, &["probe.epochs=1", "--json"]));
    assert_eq!(found["figures"][0]["per_class"], found["figures"][1]["per_class"]);
}

#[test]
fn figures_are_summed_up_by_name() {
    let figure = |name: &str, seed, right| {
        let matrix = ConfusionMatrix::from_counts(2, 2, 255, vec![right, 10 - right, 0, 10]).unwrap();
        let scores = SegmentationScores::new(&matrix, &Matching::identity(2), None).unwrap();
        let architecture = Architecture::ResNet18;
        let absent = Absent::of(&scores, &Taxonomy::parse("a\nb\n", "classes.txt".as_ref()).unwrap());
        Figure { name: name.into(), source: Source::Random, architecture, seed, loss: 0.0, scores, absent }
    };
    let figures =
        [figure("a", 1, 2), figure("b", 1, 10), figure("a", 2, 4), figure("b", 2, 10), figure("a", 1, 6)];
    let groups = summarise(&figures);
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // Accuracies 12, 14 and 16 of 20: mean 0.7, deviation 2 of 20.
    let (mean, deviation) = (groups[0].aacc.mean, groups[0].aacc.deviation.unwrap());
    assert!((mean - 0.7).abs() < 1e-12 && (deviation - 0.1).abs() < 1e-12, "{mean} {deviation}");
    assert_eq!(groups[0].aacc.single.len(), 3);
    assert_eq!((groups[1].miou.mean, groups[1].miou.deviation), (1.0, Some(0.0)));
    let difference = groups[1].difference.unwrap();
    assert!(groups[0].difference.is_none() && (difference - (1.0 - groups[0].miou.mean)).abs() < 1e-12);
    assert_eq!(Spread::of(vec![0.25]).unwrap().deviation, None, "one figure has no deviation");
}

#[test]
fn whatever_cannot_be_probed_says_what_to_do() {
    let place = place();
    let says = |encoders: &[&str], more: &[&str], code, parts: &[&str]| {
        probe(&place, encoders, more).exited(code).says(parts);
    };
    says(&["runs/nothing"], &[], 2, &["runs/nothing", "no encoder", "`random`", "dot in its key"]);
    says(&["seed=3"], &[], 2, &["\"3\" is no encoder", "dot in its key"]);
    says(&["probe.epoch=3"], &[], 2, &["no encoder is named"]);
    says(&["random"], &["probe.epoch=3"], 2, &["did you mean `probe.epochs`?"]);
    says(&["random"], &["probe.epochs=0"], 2, &["probe.epochs = 0"]);
    says(&["random"], &["probe.size=0"], 2, &["probe.size = 0"]);
    says(&["random"], &["data.root=pictures/train/images"], 3, &["no layout", "ROOT/SPLIT/labels"]);
    says(&["random"], &["data.root="], 2, &["data.root=DIR"]);
    says(&["random"], &["labels.train=nowhere"], 3, &["split \"nowhere\"", "labelled/nowhere"]);
    says(&["random"], &["labels.train=val"], 2, &["labels.train and labels.val"]);
    says(&["random"], &["probe.size=8192"], 2, &["GiB", "probe.pictures=2,"]);
    says(&["labelled"], &[], 4, &["no checkpoint at labelled"]);
    says(&["labelled/classes.txt"], &[], 4, &["classes.txt", "safetensors"]);
    place.pretrain("run", &["train.duration=2 steps"]).succeeded();
    let file = "runs/run/encoder.safetensors";
    says(&["random", file], &["encoder.architecture=resnet34"], 4, &[file, "encoder.architecture"]);
    let label = place.path("labelled/train/labels/0003.png");
    fs::remove_file(&label).unwrap();
    says(&["random"], &[], 3, &["0003.png", "no label map"]);
}
