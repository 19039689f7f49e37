//! Segmentation by the methods that DenseSiam is compared with.

use std::fs;

use image::RgbImage;

use crate::program::{Finished, Place, borrowed, wait_for};
use crate::segment::evaluations;

/// A name, a method, and settings laid over its recipe.
pub(crate) const METHODS: [(&str, &str, &[&str]); 5] = [
    ("picie", "picie", &[]),
    ("picie_h", "picie", &["picie.overclusters=9", "clustering.initial_batches=2", "clustering.sample=0.5"]),
    ("mdc", "mdc", &[]),
    ("mdc_centroids", "mdc", &["mdc.classifier=centroids", "clustering.statistics=running"]),
    ("iic", "iic", &["iic.overclusters=6", "iic.radius=1", "iic.heads=alternate"]),
];

const SMALL: [&str; 12] = [
    "labels.layout=auto",
    "encoder.width=16",
    "augment.base_size=64",
    "augment.size=32",
    "evaluate.size=32",
    "evaluate.every=5 steps",
    "train.batch_size=4",
    "train.duration=10 steps",
    "train.checkpoint_every=1 steps",
    "train.keep_last=2",
    "train.pictures=2",
    "run.threads=1",
];

fn arguments(place: &Place, (name, method): (&str, &str), more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["segment".to_owned(), format!("{method}_camvid_r18")];
    arguments.extend([format!("run.name={name}"), format!("data.root={}", place.path("pictures").display())]);
    arguments.extend(SMALL.iter().chain(more).map(|&setting| setting.to_owned()));
    arguments
}

pub(crate) fn segment(place: &Place, named: (&str, &str), more: &[&str]) -> Finished {
    place.run(&borrowed(&arguments(place, named, more)))
}

/// The network of the epoch's start, clusters and Adam's state are tensors of the checkpoint. The runs end within an epoch, and are
/// killed within another.
#[test]
fn a_killed_segmentation_of_any_method_resumed_equals_one_never_killed() {
    let place = Place::new();
    for (name, method, more) in METHODS {
        let (whole, killed) = (format!("whole_{name}"), format!("killed_{name}"));
        segment(&place, (&whole, method), more).succeeded().says(&["losses", "step 10: mIoU"]);
        let begun = arguments(&place, (&killed, method), more);
        let mut child = place.command(&borrowed(&begun)).spawn().unwrap();
        wait_for(&place.path(&format!("runs/{killed}/checkpoints/000000002")), &mut child);
        child.kill().unwrap();
        Finished::of(child);
        segment(&place, (&killed, method), &[more, &["--resume"]].concat()).succeeded().says(&["from step"]);
        for step in [9, 10] {
            assert!(place.weights(&whole, step) == place.weights(&killed, step), "{name}, step {step}");
        }
        assert_eq!(evaluations(&place, &whole), evaluations(&place, &killed), "{name}");
        let first = &place.metrics(&whole)[0];
        let clusters = method != "iic";
        assert_eq!(first.get("seconds_clustering_encoder").is_some(), clusters, "{name}: {first}");
        assert_eq!(first.get("seconds_labelling").is_some(), clusters, "{name}: {first}");
        let page = fs::read_to_string(place.path(&format!("runs/{whole}/report.html"))).unwrap();
        assert!(page.contains("cost of an epoch"), "{name}");
        let run = format!("runs/{whole}");
        place.run(&["predict", &run, "pictures", "--out", &format!("out_{name}")]).succeeded();
        // The encoder that was trained, and not the one that labels.
        let encoder = place.path(&format!("{run}/encoder.safetensors"));
        let encoder = densesiam_weights::read(&encoder, &Default::default()).unwrap();
        assert!(encoder.tensors.iter().all(|tensor| !tensor.name.starts_with("key_")), "{name}");
        [whole, killed]
            .iter()
            .for_each(|run| fs::remove_dir_all(place.path(&format!("runs/{run}"))).unwrap());
    }
}

#[test]
fn what_cannot_be_clustered_is_said() {
    let place = Place::new();
    // 16 pictures, of which one position each is held.
    let most = ["labels.categories=4096", "clustering.sample=0.01"];
    segment(&place, ("few", "picie"), &most).exited(3).says(&["feature vectors", "4096 clusters"]);
    segment(&place, ("other", "picie"), &["pixsim.weight=0"]).exited(2).says(&["unknown key", "pixsim"]);
    segment(&place, ("none", "picie"), &["method=stego"]).exited(2).says(&["no method stego", "picie"]);
    segment(&place, ("far", "iic"), &["iic.radius=9"]).exited(2).says(&["iic.radius", "within the map"]);
    segment(&place, ("one", "picie"), &["picie.overclusters=1"]).exited(2).says(&["picie.overclusters"]);
    segment(&place, ("share", "mdc"), &["clustering.sample=0"]).exited(2).says(&["clustering.sample"]);
}

/// All features are one point: all clusters but one are empty, and take parts of it.
#[test]
fn pictures_of_one_colour_are_clustered_without_an_end() {
    let place = Place::new();
    let folder = place.path("grey");
    fs::create_dir(&folder).unwrap();
    for number in 0..16 {
        let grey = RgbImage::from_pixel(64, 64, image::Rgb([128; 3]));
        grey.save(folder.join(format!("{number}.png"))).unwrap();
    }
    let root = format!("data.root={}", folder.display());
    let settings = [&*root, "labels.categories=5", "augment.jitter_probability=0", "train.duration=4 steps"];
    for method in ["picie", "mdc", "iic"] {
        segment(&place, (method, method), &settings).succeeded().says(&["100.0%"]);
    }
}

/// Pictures that vanish between two epochs are bad files like any other.
#[test]
fn a_set_that_shrinks_between_epochs_is_gone_on_with() {
    let place = Place::new();
    let settings = ["data.max_bad_share=0.1", "train.duration=24 steps"];
    let begun = arguments(&place, ("shrinks", "picie"), &settings);
    let mut child = place.command(&borrowed(&begun)).spawn().unwrap();
    wait_for(&place.path("runs/shrinks/checkpoints/000000005"), &mut child);
    child.kill().unwrap();
    Finished::of(child);
    let mut files: Vec<_> =
        fs::read_dir(place.pictures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let resumed = [settings[0], settings[1], "--resume"];
    // As a file that another program is about to replace.
    fs::write(&files[0], b"").unwrap();
    segment(&place, ("shrinks", "picie"), &resumed).succeeded().says(&["unreadable"]);
    fs::write(&files[1], b"").unwrap();
    fs::write(&files[2], b"").unwrap();
    let again = [settings[0], "train.duration=5 steps"];
    segment(&place, ("again", "picie"), &again).exited(3).says(&["unreadable"]);
}

/// Each process clusters its part of the pictures, and all have the same clusters.
#[test]
fn two_processes_cluster_as_one() {
    let place = Place::new();
    let settings = ["train.duration=6 steps", "run.precision=fp32", "optimizer.base_learning_rate=1e-6"];
    segment(&place, ("one", "picie"), &settings).succeeded();
    segment(&place, ("two", "picie"), &[&settings[..], &["--nproc", "2"]].concat()).succeeded();
    let losses = |run: &str| -> Vec<f64> {
        place.metrics(run).iter().map(|row| row["loss"].as_f64().unwrap()).collect()
    };
    for (one, two) in losses("one").into_iter().zip(losses("two")) {
        assert!((one - two).abs() < 1e-2, "{one}, {two}");
    }
}
