//! Transfer to labels, as a user runs it: on made-up pictures.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Finished, Place, borrowed, wait_for};

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

/// A set in VOC's format of the made-up pictures: a box in each, and one more in every other one.
pub(crate) fn voc(place: &Place) -> PathBuf {
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
    fs::remove_file(place.path("found/results.json")).unwrap();
    place
        .run(&["predict", "runs/detector", &pictures, "--out", "found"])
        .exited(2)
        .says(&[".boxes.png", "--overwrite"]);
    let among = ["predict", "runs/detector", &pictures, "--out", &pictures];
    place.run(&among).exited(2).says(&["--out is the folder of the pictures"]);

    // The encoder leaves a detector as it leaves a pre-training.
    for (format, file) in [("detectron2", "encoder.pkl"), ("torchvision", "encoder.pth")] {
        let exported = ["export", "runs/detector", "--format", format, "--out", file];
        place.run(&exported).succeeded().prints(&["120 tensors of resnet18"]);
        assert!(place.path(file).is_file());
    }
    let whole = |format| place.run(&["export", "runs/detector", "--format", format]);
    whole("detectron2-detector").exited(2).says(&["C4 heads are made of bottlenecks"]);
    whole("torchvision-pyramid").exited(2).says(&["has no pyramid"]);

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
    // The run itself is scored on any split, and writes what it has found there.
    let of_run = ["evaluate", "runs/detector", "--json", "--out", "again"];
    let again: serde_json::Value = serde_json::from_str(&place.run(&of_run).succeeded().stdout()).unwrap();
    assert_eq!((&again["AP50"], &again["class_AP50"]), (&last["AP50"], &last["class_AP50"]));
    let names = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names("again"), names("runs/detector/detections"));
    let written = |folder: &str| fs::read(place.path(folder).join("results.json")).unwrap();
    assert_eq!(written("again"), written("runs/detector/detections"));
    place.run(&of_run).exited(2).says(&["again/results.json", "--overwrite"]);
    place.run(&["evaluate", "runs/detector", "objects.val=train"]).succeeded().prints(&[
        "voc train, ",
        "pictures, after ",
        "AP50",
        "\nhill",
        "\nlake",
    ]);
    let files = ["evaluate", "--detections", "again", "--ground-truth", &root, "--split", "val"];
    place.run(&[&files[..], &["--classes", "lake,hill,tree"]].concat()).succeeded().prints(&["\ntree "]);
    place.run(&[&files[..], &["--classes", "lake"]].concat()).exited(3).says(&["names the class hill"]);
    place
        .run(&["evaluate", "--detections", "again/results.json", "--ground-truth", &root])
        .exited(2)
        .says(&["is a folder in VOC's format", "a file; name the folder"]);
}

#[test]
fn the_label_maps_of_a_segmentation_have_the_confusion_of_its_run() {
    let place = Place::new();
    transfer(&place, "segmentation_folder", "labels", &[]).succeeded();
    let validation = place.path("pictures/val");
    let pictures = validation.join("images").display().to_string();
    place
        .run(&["predict", "runs/labels", &pictures, "--out", "found"])
        .succeeded()
        .prints(&["label maps of"]);
    let last = evaluations(&place, "labels").pop().unwrap();
    let classes = last["classes"].as_array().unwrap().len();
    let mut confusion = vec![vec![0_u64; classes]; classes];
    let mut files: Vec<_> =
        fs::read_dir(validation.join("labels")).unwrap().map(|one| one.unwrap().path()).collect();
    files.sort();
    for label in &files {
        let found = place.path("found").join(label.file_name().unwrap());
        let [label, found] = [label, &found].map(|file| label_map(file));
        assert_eq!(label.len(), found.len());
        for (&label, &found) in label.iter().zip(&found).filter(|(label, _)| usize::from(**label) < classes) {
            confusion[usize::from(label)][usize::from(found)] += 1;
        }
    }
    assert_eq!(serde_json::json!(confusion), last["confusion"]);
    let again = place.run(&["evaluate", "runs/labels", "--json"]).succeeded();
    let again: serde_json::Value = serde_json::from_str(&again.stdout()).unwrap();
    assert_eq!((&again["confusion"], &again["mIoU"]), (&last["confusion"], &last["mIoU"]));
    place.run(&["evaluate", "runs/labels", "labels.val=train"]).succeeded().prints(&["mIoU", "accuracy"]);
    place.run(&["evaluate", "runs/labels", "labels.val="]).exited(2).says(&["no labelled pictures"]);
    let legend = fs::read_to_string(place.path("found/legend.json")).unwrap();
    let legend: serde_json::Value = serde_json::from_str(&legend).unwrap();
    assert_eq!(legend["labels"].as_array().unwrap().len(), classes);
    assert_eq!(fs::read_dir(place.path("found")).unwrap().count(), 2 * files.len() + 1);
    let report = fs::read_to_string(place.path("runs/labels/report.html")).unwrap();
    assert!(report.contains("What is taken for what") && report.contains("the class that was found"));
}

/// The values of a PNG of 8 bits, palette indices as they are.
fn label_map(path: &Path) -> Vec<u8> {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let mut values = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut values).unwrap();
    values
}

/// COCO's files of the set of [`voc`]: each object has its box as a polygon.
fn coco(place: &Place) -> PathBuf {
    let (voc, root) = (voc(place), place.path("coco"));
    fs::create_dir_all(root.join("annotations")).unwrap();
    for split in ["train", "val"] {
        fs::create_dir_all(root.join(split)).unwrap();
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        let names = fs::read_to_string(voc.join(format!("ImageSets/Main/{split}.txt"))).unwrap();
        for (number, name) in names.lines().enumerate() {
            let file = fs::read_dir(voc.join("JPEGImages")).unwrap().map(|entry| entry.unwrap().path());
            let file = file.into_iter().find(|file| file.file_stem().unwrap() == name).unwrap();
            let file_name = file.file_name().unwrap().to_str().unwrap();
            fs::copy(&file, root.join(split).join(file_name)).unwrap();
            let (width, height) = image::image_dimensions(&file).unwrap();
            let [w, h] = [width, height].map(f64::from);
            images.push(serde_json::json!({
                "id": 10 + number, "file_name": file_name, "width": width, "height": height,
            }));
            for (category, [x, y]) in [(3, [2.0, 4.0]), (8, [w / 2.0, h / 3.0])] {
                let (right, bottom) = (x + w / 3.0, y + h / 2.0);
                annotations.push(serde_json::json!({
                    "id": annotations.len() + 1, "image_id": 10 + number, "category_id": category, "iscrowd": 0,
                    "area": (right - x) * (bottom - y), "bbox": [x, y, right - x, bottom - y],
                    "segmentation": [[x, y, right, y, right, bottom, x, bottom]],
                }));
            }
        }
        let categories = serde_json::json!([{ "id": 8, "name": "lake" }, { "id": 3, "name": "hill" }]);
        let whole =
            serde_json::json!({ "images": images, "annotations": annotations, "categories": categories });
        fs::write(root.join(format!("annotations/instances_{split}.json")), whole.to_string()).unwrap();
    }
    root
}

#[test]
fn masks_are_learnt_drawn_and_scored_as_in_their_run() {
    let place = Place::new();
    let root = coco(&place).display().to_string();
    let more = ["rpn.post_nms=[50,30]", "detector.anchor_sizes=[4.0,8.0,16.0,32.0,64.0]"];
    let own = [format!("data.root={root}"), "run.name=masks".to_owned()];
    let settings = DETECTION.iter().filter(|setting| !setting.starts_with("detector."));
    let words = ["transfer", "coco_folder"].into_iter().chain(INSTANT).chain(settings.copied()).chain(more);
    let words: Vec<String> = words.map(str::to_owned).chain(own).collect();
    place.run(&borrowed(&words)).succeeded().says(&["mask AP50", "hill, lake"]);
    let export = |format: &str, run: &str| place.run(&["export", run, "--format", format]);
    export("detectron2-detector", "runs/masks").succeeded().prints(&[
        "NUM_CLASSES 2   (hill, lake)",
        "MASK_ON True",
        "POOLER_RESOLUTION 7",
    ]);
    place.run(&["inspect", "detector.pkl"]).succeeded().prints(&[
        "backbone.bottom_up.",
        "model.backbone.fpn_lateral2 (5 tensors)",
        "usable here",
    ]);
    export("torchvision-pyramid", "runs/masks")
        .succeeded()
        .prints(&["168 tensors of resnet18 and its feature pyramid"]);
    place.run(&["inspect", "pyramid.pth"]).succeeded().prints(&["usable here", "body.", "fpn (48 tensors)"]);

    let last = evaluations(&place, "masks").pop().unwrap();
    let truth = format!("{root}/annotations/instances_val.json");
    for (masks, prefix) in [(&[][..], ""), (&["--masks"], "mask_")] {
        let files =
            ["evaluate", "--detections", "runs/masks/detections/results.json", "--ground-truth", &truth];
        let scored = place.run(&[&files, masks, &["--json"]].concat()).succeeded();
        let scored: serde_json::Value = serde_json::from_str(&scored.stdout()).unwrap();
        for figure in ["AP", "AP50", "AR100"] {
            let of_run = last[format!("{prefix}{figure}")].as_f64().unwrap();
            let of_files = scored["figures"][figure].as_f64().unwrap();
            assert!((of_run - of_files).abs() < 1e-12, "{prefix}{figure}: {of_run} {of_files}");
        }
    }
    let again = place.run(&["evaluate", "runs/masks", "--json", "--out", "again"]).succeeded();
    let again: serde_json::Value = serde_json::from_str(&again.stdout()).unwrap();
    for name in ["AP", "mask_AP", "class_AP", "mask_class_AP50", "mask_class_precision"] {
        assert!(!again[name].is_null() && again[name] == last[name], "{name}");
    }
    let written = |folder: &str| fs::read(place.path(folder).join("results.json")).unwrap();
    assert_eq!(written("again"), written("runs/masks/detections"), "with the ids of the file");
    place
        .run(&["predict", "runs/masks", &format!("{root}/val"), "--out", "found", "roi.score_threshold=0.0"])
        .succeeded();
    let results = fs::read_to_string(place.path("found/results.json")).unwrap();
    let results: Vec<serde_json::Value> = serde_json::from_str(&results).unwrap();
    assert!(!results.is_empty() && results.iter().all(|result| result["segmentation"]["counts"].is_string()));
}

#[test]
fn what_cannot_be_transferred_is_refused_with_the_reason() {
    let place = Place::new();
    let masks = ["detector.design=fpn", "detector.masks=true", "detector.anchor_sizes=[16,32,64,128,256]"];
    transfer(&place, "voc_folder", "masks", &masks).exited(2).says(&["evaluate.metric"]);
    let masks = [&masks[..], &["evaluate.metric=coco"]].concat();
    transfer(&place, "voc_folder", "masks", &masks).exited(3).says(&["outline", "detector.masks = false"]);
    let refused = |recipe: &str, more: &[&str]| transfer(&place, recipe, "refused", more);
    refused("voc_folder", &["encoder.weights="]).exited(2).says(&["encoder.weights", "random"]);
    refused("voc_folder", &["encoder.weights=none.pth"]).exited(4).says(&["none.pth"]);
    refused("voc_folder", &["objects.train=[\"nothing\"]"]).exited(3).says(&["nothing"]);
    refused("voc_folder", &["objects.classes=[\"hill\",\"lake\",\"cow\"]"]).exited(3).says(&["cow"]);
    refused("voc_folder", &["fcn.dropout=0.5"]).exited(2).says(&["fcn.dropout"]);
    refused("voc_folder", &["model=fcn"]).exited(2).says(&["objects"]);
    refused("segmentation_folder", &["labels.train=none"]).exited(3).says(&["none"]);
    place
        .run(&["transfer", "folder_r18"])
        .exited(2)
        .says(&["is a recipe of another command", "densesiam pretrain folder_r18"]);
    fs::write(place.path("none.toml"), "[run]\nname = \"none\"\n").unwrap();
    place.run(&["transfer", "none.toml"]).exited(2).says(&["names no model"]);
    let cut = voc(&place).join("Annotations");
    let first = fs::read_dir(&cut).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, &text[..text.len() / 2]).unwrap();
    refused("voc_folder", &[]).exited(3).says(&[first.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn a_run_whose_last_score_failed_is_scored_when_it_is_resumed() {
    let place = Place::new();
    let picture = fs::read_dir(place.path("pictures/val/images")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&picture).unwrap();
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    let never = ["evaluate.every=never"];
    transfer(&place, "segmentation_folder", "unscored", &never).exited(3);
    fs::write(&picture, whole).unwrap();
    let again = transfer(&place, "segmentation_folder", "unscored", &[&never[..], &["--resume"]].concat());
    again.succeeded().says(&["this run is finished", "step 6: mIoU"]);
    assert_eq!(evaluations(&place, "unscored").last().unwrap()["step"], 6);
    let again = transfer(&place, "segmentation_folder", "unscored", &[&never[..], &["--resume"]].concat());
    again.succeeded();
    assert_eq!(evaluations(&place, "unscored").len(), 1, "once");
}

#[test]
fn encoders_are_compared_by_several_transfers_and_rows_of_the_paper_are_marked() {
    let place = Place::new();
    let list = "task = \"transfer\"\n\
        [[transfer]]\nname = \"labels\"\nrecipe = \"segmentation_folder\"\n\
        [[transfer]]\nname = \"boxes\"\nrecipe = \"voc_folder\"\n\
        [[variant]]\nname = \"random weights\"\nsettings = [\"encoder.weights=random\"]\n\
        [[variant]]\nname = \"DenseSiam\"\n[variant.paper]\n\"labels mIoU\" = 77.0\n\
        [[variant]]\nname = \"PixPro\"\n[variant.paper]\n\"boxes AP50\" = 83.4\n";
    fs::write(place.path("both.toml"), list).unwrap();
    let named = |name: &'static str| move |setting: &&str| format!("{name}.{setting}");
    let roots = [
        format!("labels.data.root={}", place.path("pictures").display()),
        format!("boxes.data.root={}", voc(&place).display()),
    ];
    let settings = SEGMENTATION.iter().map(named("labels")).chain(DETECTION.iter().map(named("boxes")));
    let of_all = INSTANT.iter().filter(|setting| !setting.starts_with("encoder.weights"));
    let settings = settings.chain(of_all.map(|setting| (*setting).to_owned())).chain(roots);
    let own = ["ablate", "both.toml", "--seeds", "2"].map(str::to_owned);
    let all: Vec<String> = own.into_iter().chain(settings).collect();
    let ablate = |more: &[&str]| place.run(&[&borrowed(&all)[..], more].concat());

    let planned = ablate(&["--dry-run"]).succeeded().stdout();
    assert_eq!(planned.lines().count(), 4, "{planned}");
    ablate(&["--encoder", "densesiam"]).exited(2).says(&["NAME=RUN"]);
    ablate(&["--encoder", "densesiam=nowhere.pth"]).exited(4).says(&["nowhere.pth"]);
    assert!(!place.path("runs").exists(), "every variant is checked first");

    ablate(&[]).succeeded();
    let encoder = place.path("runs/both/random_weights_labels_s1");
    let encoder = format!("densesiam={}", encoder.display());
    let table = ablate(&["--encoder", &encoder]).succeeded().says(&["this run is finished"]).stdout();
    let rows: Vec<&str> = table.lines().collect();
    for head in ["labels mIoU", "labels aAcc", "boxes AP50"] {
        assert!(rows[0].contains(head), "{table}");
    }
    let begins = |row: &str, name: &str, seeds: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1..3], [name, seeds], "{table}");
    };
    begins(rows[2], "random weights", "2");
    begins(rows[3], "DenseSiam", "2");
    begins(rows[4], "DenseSiam", "the paper's");
    begins(rows[5], "PixPro", "the paper's");
    assert!(rows[3].contains("+-") && rows[4].contains("77") && rows[5].contains("83.4"), "{table}");
    let page = fs::read_to_string(place.path("runs/both/ablation.html")).unwrap();
    assert!(page.contains("labels mIoU") && page.contains("DenseSiam, seed 2") && page.contains("<svg"));
}
