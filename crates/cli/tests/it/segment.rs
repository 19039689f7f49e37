//! Segmentation without labels, as a user runs it: on made-up pictures whose labels only say how good it is.

use std::fs;

use densesiam_data::demo::CLASSES;
use densesiam_engine::checkpoint::tensors_to_safetensors;
use densesiam_nn::{Architecture, ResNet, Store};
use tch::{Device, Kind};

use crate::program::{Finished, Place, wait_for};

/// A segmentation of eight steps that takes seconds.
pub(crate) const INSTANT: [&str; 14] = [
    "encoder.architecture=resnet18",
    "encoder.width=16",
    "augment.base_size=64",
    "augment.size=32",
    "auxiliary.classes=8",
    "evaluate.size=32",
    "evaluate.every=4 steps",
    "train.batch_size=4",
    "train.duration=8 steps",
    "train.log_every=1 steps",
    "train.checkpoint_every=2 steps",
    "train.keep_last=1",
    "train.pictures=2",
    "run.threads=1",
];

fn arguments<'a>(root: &'a str, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let recipe = ["segment", "camvid_r18", "labels.layout=auto", root, name];
    recipe.into_iter().chain(INSTANT).chain(more.iter().copied()).collect()
}

pub(crate) fn segment(place: &Place, name: &str, more: &[&str]) -> Finished {
    let (root, name) =
        (format!("data.root={}", place.path("pictures").display()), format!("run.name={name}"));
    place.run(&arguments(&root, &name, more))
}

pub(crate) fn evaluations(place: &Place, name: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(place.path(&format!("runs/{name}/evaluations.jsonl"))).unwrap();
    let mut rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // How long each took is never the same.
    rows.iter_mut().for_each(|row| assert!(row.as_object_mut().unwrap().remove("seconds").is_some()));
    rows
}

#[test]
fn a_segmentation_is_trained_scored_and_drawn() {
    let place = Place::new();
    segment(&place, "run", &[]).succeeded().says(&["before training: mIoU", "step 8: mIoU"]);
    let scores = evaluations(&place, "run");
    assert_eq!(scores.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 4, 8]);
    for row in &scores {
        let miou = row["mIoU"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&miou));
        assert_eq!(row["classes"].as_array().unwrap().len(), CLASSES.len());
        assert_eq!(row["per_class"].as_array().unwrap().len(), CLASSES.len());
    }
    assert_eq!(place.metrics("run").len(), 8);
    let sheets = [0, 4, 8].map(|step| format!("pictures/segmentation-{step:09}.png"));
    for file in sheets.iter().map(String::as_str).chain(["report.html", "encoder.safetensors"]) {
        assert!(place.path("runs/run").join(file).is_file(), "{file}");
    }
    let page = fs::read_to_string(place.path("runs/run/report.html")).unwrap();
    let captions =
        ["before training", "after 4 steps", "after 8 steps"].map(|of| format!("<figcaption>{of}<"));
    assert!(captions.iter().all(|caption| page.contains(caption)) && page.matches("<img").count() == 3);
    let best =
        scores[1..].iter().max_by(|a, b| a["mIoU"].as_f64().unwrap().total_cmp(&b["mIoU"].as_f64().unwrap()));
    let kept = format!("runs/run/checkpoints/{:09}", best.unwrap()["step"].as_u64().unwrap());
    assert!(place.path(&kept).is_dir() || scores[0]["mIoU"].as_f64() >= best.unwrap()["mIoU"].as_f64());
}

/// What a resumed run starts from follows from what its directory holds, not from `--resume`.
#[test]
fn a_segmentation_killed_before_its_first_step_begins_with_the_given_weights() {
    let place = Place::new();
    place.pretrain("given", &["run.seed=7"]).succeeded();
    let weights = "encoder.weights=runs/given/encoder.safetensors";
    let more = [weights, "train.checkpoint_every=never", "train.keep_last=100", "evaluate.every=never"];
    segment(&place, "whole", &more).succeeded().says(&["120 of 120"]);
    let scores = evaluations(&place, "whole");
    let root = format!("data.root={}", place.path("pictures").display());
    for (name, at_once) in [("run.name=first", false), ("run.name=none", true)] {
        let mut child = place.command(&arguments(&root, name, &more)).spawn().unwrap();
        let run = format!("runs/{}", &name["run.name=".len()..]);
        wait_for(&place.path(&run).join("checkpoints/000000000"), &mut child);
        child.kill().unwrap();
        Finished::of(child);
        if at_once {
            // As where the kill had come before the first checkpoint.
            fs::remove_dir_all(place.path(&run).join("checkpoints")).unwrap();
            fs::write(place.path(&run).join("metrics.jsonl"), "").unwrap();
        }
        let name = &name["run.name=".len()..];
        let resumed = segment(&place, name, &[more[0], more[1], more[2], more[3], "--resume"]).succeeded();
        resumed.says(&["from step 0"]);
        assert_eq!(place.weights("whole", 8), place.weights(name, 8), "{name}");
        assert_eq!(evaluations(&place, name), scores, "{name}: each evaluation is recorded once");
    }
}

#[test]
fn a_killed_segmentation_resumed_equals_one_never_killed() {
    let place = Place::new();
    let more = ["train.duration=16 steps", "train.keep_last=100"];
    segment(&place, "whole", &more).succeeded();
    let (root, name) = (format!("data.root={}", place.path("pictures").display()), "run.name=killed");
    let mut child = place.command(&arguments(&root, name, &more)).spawn().unwrap();
    wait_for(&place.path("runs/killed/checkpoints/000000006"), &mut child);
    child.kill().unwrap();
    Finished::of(child);
    segment(&place, "killed", &[more[0], more[1], "--resume"]).succeeded();
    assert_eq!(place.weights("whole", 16), place.weights("killed", 16));
    assert_eq!(
        evaluations(&place, "whole"),
        evaluations(&place, "killed"),
        "each evaluation is recorded once"
    );
}

#[test]
fn it_starts_from_a_pretrained_encoder_or_says_why_not() {
    let place = Place::new();
    place.pretrain("pretrained", &["train.duration=2 steps"]).succeeded();
    let weights = "encoder.weights=runs/pretrained/encoder.safetensors";
    segment(&place, "from", &[weights])
        .succeeded()
        .says(&["ResNet-18, 120 of 120 tensors found, under torchvision's names"]);
    let larger = "encoder.architecture=resnet34";
    segment(&place, "larger", &[weights, larger]).exited(4).says(&["resnet18", "missing"]);
    segment(&place, "nowhere", &["encoder.weights=none.safetensors"]).exited(4).says(&["none.safetensors"]);
}

#[test]
fn another_network_is_refused_by_its_name_though_all_tensors_are_there() {
    let place = Place::new();
    let store = Store::new(Kind::Float, Device::Cpu, 0);
    ResNet::new(&(&(&store.root() / "module") / "net"), Architecture::ResNet34, false);
    let file = place.path("deeper.safetensors");
    tensors_to_safetensors(&file, &store.state(), &Default::default()).unwrap();
    place.run(&["inspect", "deeper.safetensors"]).succeeded().prints(&[
        "ResNet34, usable here: 216 of 216 tensors found, under torchvision's names after module.net.",
        "resnet34",
    ]);
    let (weights, advice) = ("encoder.weights=deeper.safetensors", "encoder.architecture=resnet34");
    segment(&place, "run", &[weights]).exited(4).says(&[
        "its network is ResNet-34, where ResNet-18 was expected; set encoder.architecture=resnet34",
        "of another network: module.net.layer1.2.",
    ]);
    segment(&place, "run", &[weights, advice, "train.duration=1 steps"]).succeeded();
}

#[test]
fn each_component_of_the_papers_table_is_one_key() {
    let place = Place::new();
    for setting in
        ["labelling.weight=0", "auxiliary.weight=0", "regionsim.weight=0", "labelling.rebalance=inverse"]
    {
        segment(&place, "ablation", &[setting, "train.duration=2 steps", "--overwrite"]).succeeded();
    }
    let pictures = format!("data.root={}", place.pictures().display());
    let plain = arguments(&pictures, "run.name=plain", &["labels.categories=5", "train.duration=2 steps"]);
    place.run(&plain).succeeded().says(&["there are no labels"]);
    let unsaid = arguments(&pictures, "run.name=unsaid", &[]);
    place.run(&unsaid).exited(2).says(&["labels.categories"]);
}

#[test]
fn labels_that_do_not_fit_are_named() {
    let place = Place::new();
    let label = place.path("pictures/val/labels/0000.png");
    let label = if label.is_file() {
        label
    } else {
        fs::read_dir(place.path("pictures/val/labels")).unwrap().next().unwrap().unwrap().path()
    };
    let name = label.file_name().unwrap().to_string_lossy().into_owned();
    image::RgbImage::new(64, 48).save(&label).unwrap();
    segment(&place, "rgb", &[]).exited(3).says(&[&name]);
    image::GrayImage::from_pixel(64, 48, image::Luma([77])).save(&label).unwrap();
    segment(&place, "outside", &["--overwrite"]).exited(3).says(&[&name, "77"]);
    image::GrayImage::new(60, 48).save(&label).unwrap();
    segment(&place, "size", &["--overwrite"]).exited(3).says(&[&name]);
    fs::remove_file(&label).unwrap();
    segment(&place, "missing", &["--overwrite"]).exited(3).says(&[&name]);
}

/// As most programs write masks: 0 and 255.
#[test]
fn labels_that_can_hardly_be_meant_are_warned_of_and_their_scores_say_so() {
    let place = Place::new();
    let root = place.path("pictures/val");
    fs::write(place.path("pictures/classes.txt"), "ground\nobject\n").unwrap();
    for entry in fs::read_dir(root.join("labels")).unwrap() {
        let mask = image::GrayImage::from_fn(64, 48, |x, _| image::Luma([if x < 16 { 255 } else { 0 }]));
        mask.save(entry.unwrap().path()).unwrap();
    }
    let warning = [
        "WARNING",
        "folder val: the only label values are 0 and 255",
        "25.0 percent",
        "write 1 in its place",
    ];
    let absent = "absent: object)";
    let settings = ["labels.categories=2", "train.duration=2 steps"];
    segment(&place, "masks", &[settings[0], "--dry-run"]).succeeded().says(&warning);
    segment(&place, "masks", &settings).succeeded().says(&warning).says(&["step 2: mIoU", absent]);
    assert!(fs::read_to_string(place.path("runs/masks/report.html")).unwrap().contains(absent));
    place.run(&["evaluate", "runs/masks"]).succeeded().says(&warning).prints(&[absent]);
}

#[test]
fn a_trained_segmentation_is_evaluated() {
    let place = Place::new();
    segment(&place, "used", &[]).succeeded();
    let scored = place.run(&["evaluate", "runs/used", "--json"]).succeeded();
    let scored: serde_json::Value = serde_json::from_str(&scored.stdout()).unwrap();
    let last = evaluations(&place, "used").pop().unwrap();
    assert_eq!(scored, last, "as it was scored in training");
    let table = place.run(&["evaluate", "runs/used/checkpoints/000000008"]).succeeded().stdout();
    assert!(table.contains("meadow") && table.contains("mIoU"), "{table}");

    place.pretrain("other", &["train.duration=2 steps"]).succeeded();
    place.run(&["evaluate", "runs/other"]).exited(2).says(&["no segmentation"]);
    place.run(&["evaluate", "runs/used", "encoder.architecture=resnet34"]).exited(4).says(&["architecture"]);
}

#[test]
fn any_number_of_categories_is_matched_both_ways() {
    let place = Place::new();
    for (categories, said) in
        [(2, "classes without a pseudo-category"), (12, "pseudo-categories without a class")]
    {
        let (name, setting) = (format!("of{categories}"), format!("labels.categories={categories}"));
        segment(&place, &name, &[&setting, "train.duration=2 steps"]).succeeded();
        let last = evaluations(&place, &name).pop().unwrap();
        let row_sum = |row: &serde_json::Value| {
            assert_eq!(row.as_array().unwrap().len(), categories);
            row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>()
        };
        let rows: Vec<u64> = last["confusion"]["counts"].as_array().unwrap().iter().map(row_sum).collect();
        let per_class = last["per_class"].as_array().unwrap();
        let labelled: Vec<u64> = per_class.iter().map(|class| class["labelled"].as_u64().unwrap()).collect();
        assert_eq!(rows, labelled, "a row of the confusion matrix for each class");
        assert_eq!(last["many_to_one"]["matching"], "many_to_one");
        assert!(last["many_to_one"]["aAcc"].as_f64() >= last["aAcc"].as_f64());
        let table = place.run(&["evaluate", &format!("runs/{name}")]).succeeded().stdout();
        assert!(table.contains(said) && table.contains("many-to-one"), "{table}");
    }
    let page = || fs::read_to_string(place.path("runs/of12/report.html")).unwrap();
    assert!(page().contains("What is taken for what") && page().contains("Classes"));

    // A run of before the matrix was recorded is still reported.
    let path = place.path("runs/of12/evaluations.jsonl");
    let without = |mut row: serde_json::Value| {
        row.as_object_mut()
            .unwrap()
            .retain(|name, _| !["confusion", "things", "many_to_one"].contains(&&**name));
        row.to_string() + "\n"
    };
    fs::write(&path, evaluations(&place, "of12").into_iter().map(without).collect::<String>()).unwrap();
    segment(&place, "of12", &["labels.categories=12", "train.duration=2 steps", "--resume"]).succeeded();
    assert!(!page().contains("What is taken for what") && page().contains("Classes"));
}
