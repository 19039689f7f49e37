//! Training, predicting and checking over tar shards is the same as over the files that were packed into them.

use std::fs;

use crate::program::{Finished, Place, wait_for};

fn packed() -> Place {
    let place = Place::new();
    fs::write(place.pictures().join("0005.jpg"), "a text").unwrap();
    let pictures = place.pictures().display().to_string();
    let pack = ["data", "pack", &pictures, "--out", "shards", "--name", "demo", "--pictures-per-shard", "6"];
    place.run(&pack).succeeded().prints(&["shards/demo-{000000..000002}.tar: 16 pictures", "0 skipped"]);
    place
}

#[test]
fn a_run_over_shards_has_the_losses_of_one_over_files_and_resumes() {
    let place = packed();
    let long = ["train.duration=12 steps", "train.keep_last=100"];
    place.pretrain("files", &long).succeeded();
    let over = |root: &'static str| [&long[..], &[root, "data.workers=2"]].concat();
    let (shards, pattern) = (over("data.root=shards"), over("data.root=shards/demo-{000000..000002}.tar"));
    place.pretrain("shards", &shards).succeeded().says(&["16 in", "3 tar shards"]);
    let losses = |name: &str| place.metrics(name).iter().map(|row| row["loss"].clone()).collect::<Vec<_>>();
    assert_eq!(losses("files").len(), 12);
    assert_eq!(losses("files"), losses("shards"));
    assert_eq!(place.weights("files", 12), place.weights("shards", 12));
    let listed = fs::read_to_string(place.path("runs/shards/bad_files.txt")).unwrap();
    assert!(listed.contains("shards/demo-000000.tar:0005.jpg\tnot a picture"), "{listed}");

    let mut child = place.start_pretrain("killed", &shards);
    wait_for(&place.path("runs/killed/checkpoints/000000006"), &mut child);
    child.kill().unwrap();
    Finished::of(child);
    // The same shards under another name are the same pictures.
    let resumed = [&pattern[..], &["--resume"]].concat();
    place.pretrain("killed", &resumed).succeeded();
    assert_eq!(place.weights("killed", 12), place.weights("files", 12));

    fs::remove_file(place.path("shards/demo-000002.tar")).unwrap();
    fs::remove_dir_all(place.path("runs/killed/checkpoints/000000012")).unwrap();
    let fewer = [&shards[..], &["--resume"]].concat();
    place.pretrain("killed", &fewer).exited(4).says(&["other pictures", "16 then", "12 now"]);
}

#[test]
fn shards_are_named_as_folders_are() {
    let place = packed();
    place.run(&["pretrain", "shards", "--dry-run"]).succeeded().prints(&["name = \"shards\""]);
    let pattern = "shards/demo-{000000..000002}.tar";
    place
        .run(&["pretrain", pattern, "--dry-run"])
        .succeeded()
        .prints(&["name = \"demo\"", "{000000..000002}"]);
    let segment =
        ["segment", "folder", "data.root=shards", "labels.categories=4", "train.batch_size=4", "--dry-run"];
    place.run(&segment).succeeded().says(&["16 in", "3 tar shards"]);
    fs::copy(place.path("shards/demo-000000.tar"), place.path("pictures/train/images/stray.tar")).unwrap();
    place.pretrain("mixed", &[]).exited(3).says(&["both pictures", "stray.tar"]);
    place
        .pretrain("none", &["data.root=shards/demo-{000000..000009}.tar"])
        .exited(3)
        .says(&["demo-000003.tar"]);
}

#[test]
fn the_views_of_a_picture_are_drawn_by_the_name_that_logs_give_it() {
    let place = packed();
    place.run(&["views", "shards/demo-000000.tar:0003.jpg", "--out", "shard.png"]).succeeded();
    let file = place.pictures().join("0003.jpg").display().to_string();
    place.run(&["views", &file, "--out", "file.png"]).succeeded();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("shard.png") == read("file.png"));
    place.run(&["views", "shards/demo-000000.tar:0009.jpg"]).exited(3).says(&["0009.jpg does not exist"]);
}

#[test]
fn checks_say_what_is_unreadable_and_why() {
    let place = packed();
    place.run(&["data", "check", "shards"]).succeeded().prints(&[
        "tar shards       3\n",
        "48 to 48 px",
        "not a picture  1",
        "demo-000000.tar:0005.jpg: not a picture",
    ]);
    let checked = place.run(&["data", "check", "pictures/train/images", "--json"]).succeeded();
    let findings: serde_json::Value = serde_json::from_str(&checked.stdout()).unwrap();
    assert_eq!((&findings["pictures"], &findings["shards"]), (&16.into(), &0.into()));
    assert_eq!(findings["unreadable_kinds"]["not a picture"], 1);
    assert_eq!(findings["readable"], 15);
    fs::create_dir(place.path("texts")).unwrap();
    fs::write(place.path("texts/a.jpg"), "a text").unwrap();
    place.run(&["data", "check", "texts"]).exited(3).says(&["no readable picture"]);
}

#[test]
fn packs_replace_nothing_unasked_and_leave_out_what_cannot_be_decoded_if_asked() {
    let place = packed();
    let pictures = place.pictures().display().to_string();
    let to =
        |out: &'static str| ["data", "pack", &pictures, "--name", "demo", "--out", out].map(str::to_owned);
    let run = |out, more: &[&str]| {
        let all: Vec<_> = to(out).into_iter().chain(more.iter().map(|&argument| argument.into())).collect();
        place.run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run("shards", &[]).exited(2).says(&["demo-000000.tar exists", "--overwrite"]);
    run("shards", &["--overwrite", "--check"])
        .succeeded()
        .says(&["skipped", "0005.jpg: not a picture"])
        .prints(&["demo-000000.tar: 15 pictures", "1 skipped"]);
    assert_eq!(fs::read_dir(place.path("shards")).unwrap().count(), 1, "no old shard is left over");
    let read = |out: &str| fs::read(place.path(out).join("demo-000000.tar")).unwrap();
    for (out, seed) in [("one", "1"), ("again", "1"), ("two", "2")] {
        run(out, &["--seed", seed]).succeeded();
    }
    assert!(read("one") == read("again") && read("one") != read("two"));
    run("sized", &["--shard-size", "20 kB"]).succeeded().prints(&["demo-{000000.."]);
    run("odd", &["--shard-size", "much"]).exited(2).says(&["much", "1 GB"]);
    run("pictures/train/images/shards", &[]).exited(2).says(&["lies in the folder"]);
    assert!(!place.path("pictures/train/images/shards").exists());
    place.run(&["data", "pack", "shards", "--out", "shards"]).exited(2).says(&["lies in the folder"]);
}
