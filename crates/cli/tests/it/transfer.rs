//! Transfer to labels, as a user runs it: on made-up pictures.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Finished, Place, wait_for};

/// A training of six steps that takes seconds, with batch statistics that are measured again.
const INSTANT: [&str; 9] = [
    "encoder.architecture=resnet18",
    "encoder.weights=random",
    "train.batch_size=4",
    "train.duration=6 steps",
    "train.log_every=1 steps",
    "train.checkpoint_every=1 steps",
    "train.keep_last=2",
    "evaluate.precise_batches=2",
    "run.threads=1",
];

const SEGMENTATION: [&str; 5] = [
    "augment.size=33",
    "evaluate.every=3 steps",
    "evaluate.scale=[0,0]",
    "evaluate.window=48",
    "evaluate.stride=32",
];

const DETECTION: [&str; 7] = [
    "augment.short_sides=[48,64]",
    "evaluate.every=3 steps",
    "evaluate.short_side=64",
    "detector.anchor_sizes=[16.0,32.0]",
    "rpn.pre_nms=[200,100]",
    "rpn.post_nms=[50,30]",
    "roi.batch=16",
];

/// The name of the kind of network, its recipe, and its settings.
const KINDS: [(&str, &[&str]); 2] = [("segmentation_folder", &SEGMENTATION), ("voc_folder", &DETECTION)];

fn transfer(place: &Place, recipe: &str, name: &str, more: &[&str]) -> Finished {
    place.run(&borrowed(&arguments(place, recipe, name, more)))
}

fn arguments(place: &Place, recipe: &str, name: &str, more: &[&str]) -> Vec<String> {
    let root = if recipe == "voc_folder" { voc(place) } else { place.path("pictures") };
    let settings = KINDS.iter().find(|(kind, _)| *kind == recipe).unwrap().1;
    let own = [format!("data.root={}", root.display()), format!("run.name={name}")];
    let words = ["transfer", recipe].into_iter().chain(INSTANT).chain(settings.iter().copied());
    words.map(str::to_owned).chain(own).chain(more.iter().map(|&word| word.to_owned())).collect()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A set in VOC's format of the made-up pictures: a box in each, and one more in every other one.
fn voc(place: &Place) -> PathBuf {
    let root = place.path("voc");
    if root.is_dir() {
        return root;
    }
    for folder in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (split, from) in [("train", place.pictures()), ("val", place.path("pictures/val/images"))] {
        let mut files: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut names = String::new();
        for (number, file) in files.iter().enumerate() {
            let stem = format!("{split}_{}", file.file_stem().unwrap().to_str().unwrap());
            let extension = file.extension().unwrap().to_str().unwrap();
            fs::copy(file, root.join(format!("JPEGImages/{stem}.{extension}"))).unwrap();
            fs::write(root.join(format!("Annotations/{stem}.xml")), annotation(file, number)).unwrap();
            names += &format!("{stem}\n");
        }
        fs::write(root.join(format!("ImageSets/Main/{split}.txt")), names).unwrap();
    }
    root
}

fn annotation(picture: &Path, number: usize) -> String {
    let (width, height) = image::image_dimensions(picture).unwrap();
    let object = |class: &str, [x0, y0, x1, y1]: [u32; 4]| {
        format!(
            "<object><name>{class}</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>\
             <ymax>{y1}</ymax></bndbox></object>"
        )
    };
    let mut objects = object("hill", [3, 5, width / 2, height / 2]);
    if number.is_multiple_of(2) {
        objects += &object("lake", [width / 3, height / 3, width - 2, height - 1]);
    }
    format!(
        "<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )
}

fn evaluations(place: &Place, name: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(place.path(&format!("runs/{name}/evaluations.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_killed_transfer_resumed_equals_one_never_killed() {
    let place = Place::new();
    for (recipe, _) in KINDS {
        let (whole, killed) = (format!("whole_{recipe}"), format!("killed_{recipe}"));
        transfer(&place, recipe, &whole, &[]).succeeded().says(&[
            "step 3: ",
            "step 6: ",
            "from random weights",
        ]);
        let mut child = place.command(&borrowed(&arguments(&place, recipe, &killed, &[]))).spawn().unwrap();
        wait_for(&place.path(&format!("runs/{killed}/checkpoints/000000002")), &mut child);
        child.kill().unwrap();
        Finished::of(child);
        transfer(&place, recipe, &killed, &["--resume"]).succeeded().says(&["from step"]);
        for step in [5, 6] {
            assert!(place.weights(&whole, step) == place.weights(&killed, step), "{recipe}, step {step}");
        }
        let scores = evaluations(&place, &whole);
        assert_eq!(scores.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 6]);
        let report = fs::read_to_string(place.path(&format!("runs/{whole}/report.html"))).unwrap();
        assert!(report.contains("Losses") && report.contains("Trained and scored"), "{recipe}");
        assert!(place.path(&format!("runs/{whole}/encoder.safetensors")).is_file());
    }
}

#[test]
fn a_detector_draws_boxes_and_its_results_are_scored_as_in_its_run() {
    let place = Place::new();
    transfer(&place, "voc_folder", "detector", &[]).succeeded();
    let root = voc(&place).display().to_string();
    let pictures = place.path("pictures/val/images").display().to_string();
    place
        .run(&["predict", "runs/detector", &pictures, "--out", "found"])
        .succeeded()
        .prints(&["results.json"]);
    let results = fs::read_to_string(place.path("found/results.json")).unwrap();
    let results: Vec<serde_json::Value> = serde_json::from_str(&results).unwrap();
    assert!(results.iter().all(|result| ["hill", "lake"].contains(&result["category"].as_str().unwrap())));
    place
        .run(&["predict", "runs/detector", &pictures, "--out", "found"])
        .exited(2)
        .says(&["exists", "--overwrite"]);

    let last = evaluations(&place, "detector").pop().unwrap();
    let results = fs::read_dir(place.path("runs/detector/detections")).unwrap().count();
    assert!(results > 0);
    let scored = place
        .run(&[
            "evaluate",
            "--detections",
            "runs/detector/detections",
            "--ground-truth",
            &root,
            "--split",
            "val",
            "--json",
        ])
        .succeeded();
    let scored: serde_json::Value = serde_json::from_str(&scored.stdout()).unwrap();
    for figure in ["AP", "AP50", "AP75"] {
        let [of_run, of_files] =
            [&last[figure], &scored["figures"][figure]].map(|value| value.as_f64().unwrap());
        assert!((of_run - of_files).abs() < 1e-12, "{figure}: {of_run} {of_files}");
    }
}

#[test]
fn what_cannot_be_transferred_is_refused_with_the_reason() {
    let place = Place::new();
    let refused = |recipe: &str, more: &[&str]| transfer(&place, recipe, "refused", more);
    refused("voc_folder", &["encoder.weights="]).exited(2).says(&["encoder.weights", "random"]);
    refused("voc_folder", &["encoder.weights=none.pth"]).exited(4).says(&["none.pth"]);
    refused("voc_folder", &["objects.train=[\"nothing\"]"]).exited(3).says(&["nothing"]);
    refused("voc_folder", &["objects.classes=[\"hill\",\"lake\",\"cow\"]"]).exited(3).says(&["cow"]);
    refused("voc_folder", &["fcn.dropout=0.5"]).exited(2).says(&["fcn.dropout"]);
    refused("voc_folder", &["model=fcn"]).exited(2).says(&["objects"]);
    refused("segmentation_folder", &["labels.train=none"]).exited(3).says(&["none"]);
    place.run(&["transfer", "folder_r18"]).exited(2).says(&["names no model"]);
    let cut = voc(&place).join("Annotations");
    let first = fs::read_dir(&cut).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, &text[..text.len() / 2]).unwrap();
    refused("voc_folder", &[]).exited(3).says(&[first.file_name().unwrap().to_str().unwrap()]);
}
