//! The shortest trainings and the smallest data sets: what a first try is made of.

use std::fs;

use crate::program::Place;
use crate::segment::INSTANT as SEGMENT_INSTANT;

/// A folder with so many of the place's pictures.
fn some_pictures(place: &Place, count: usize) -> String {
    let folder = place.path(&format!("{count}_pictures"));
    fs::create_dir(&folder).unwrap();
    for number in 0..count {
        let name = format!("{number:04}.jpg");
        fs::copy(place.pictures().join(&name), folder.join(&name)).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn a_training_of_one_step_runs_with_a_warmup_that_is_a_share_of_it() {
    let place = Place::new();
    let rate = "optimizer.base_learning_rate=0.2";
    place.pretrain("step", &["train.duration=1 steps", rate]).succeeded();
    place.pretrain("epoch", &["train.duration=1 epochs", "train.batch_size=16", rate]).succeeded();
    for run in ["step", "epoch"] {
        let metrics = place.metrics(run);
        assert_eq!(metrics.len(), 1);
        let peak = if run == "step" { 0.2 * 4.0 / 256.0 } else { 0.2 * 16.0 / 256.0 };
        assert!((metrics[0]["learning_rate"].as_f64().unwrap() - peak).abs() < 1e-12);
    }
    let warmup = "optimizer.schedule.warmup=1 steps";
    place
        .pretrain("long", &["train.duration=1 steps", warmup])
        .exited(2)
        .says(&["optimizer.schedule.warmup"]);
}

#[test]
fn a_few_pictures_are_enough_for_every_training() {
    let place = Place::new();
    for count in [2, 3, 9] {
        let folder = some_pictures(&place, count);
        let small = ["train.duration=1 epochs", "augment.size=32", "pixsim.dim=8", "regionsim.dim=8"];
        let arguments = [&["pretrain", &folder][..], &small, &["run.threads=1"]].concat();
        place.run(&arguments).succeeded();
    }
    let (root, batch) = (format!("data.root={}", place.path("2_pictures").display()), "train.batch_size=2");
    let own = ["labels.categories=3", batch, "train.duration=1 steps", "run.name=two"];
    place.run(&[&["segment", "folder", &root][..], &SEGMENT_INSTANT, &own].concat()).succeeded();
    place.run(&["predict", "runs/two", "2_pictures/0000.jpg", "--out", "labels"]).succeeded();
}

#[test]
fn one_picture_is_told_to_be_too_few_and_no_setting_is_advised() {
    let place = Place::new();
    let folder = some_pictures(&place, 1);
    let root = format!("data.root={folder}");
    for arguments in [
        &["pretrain", folder.as_str()][..],
        &["pretrain", &folder, "train.batch_size=4"],
        &["pretrain", "folder_r18", &root],
        &["segment", "folder", &root, "labels.categories=3"],
    ] {
        let refused = place.run(arguments).exited(2).says(&["0000.jpg is the only picture", "at least two"]);
        assert!(!refused.stderr().contains("lower"), "{}", refused.stderr());
    }
    let few = format!("data.root={}", some_pictures(&place, 3));
    place.run(&["pretrain", "folder_r18", &few]).exited(2).says(&["train.batch_size=3 or lower"]);
}

#[test]
fn labels_of_one_picture_are_enough_to_score_and_to_probe() {
    let place = Place::new();
    let split = |name: &str| fs::read_dir(place.path(&format!("pictures/{name}/images"))).unwrap().count();
    assert_eq!(split("val"), 1);
    let probe = ["probe.pictures=1", "probe.size=64", "probe.epochs=1", "run.threads=1"];
    place.run(&[&["probe", "random", "data.root=pictures"][..], &probe].concat()).succeeded();
}
