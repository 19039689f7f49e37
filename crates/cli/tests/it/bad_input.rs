//! Every bad input has a stated outcome: a sentence and an exit code, or a counted skip; nothing saved is lost.

use std::fs;
use std::process::Command;

use crate::program::{Finished, Place, wait_for};

fn write(place: &Place, name: &str, bytes: &[u8]) {
    fs::write(place.pictures().join(name), bytes).unwrap();
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::ImageBuffer::<image::Rgb<u16>, _>::from_fn(width, height, |x, y| {
        image::Rgb([(x * 900) as u16, (y * 1200) as u16, 30_000])
    });
    image::DynamicImage::ImageRgb16(picture).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn an_empty_folder_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["pretrain", "empty"]).exited(3).says(&["empty", "no picture"]);
    assert!(!place.path("runs").exists(), "nothing is written before a plan stands");
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    place.run(&["pretrain", "folder_r18", "data.root=nowhere"]).exited(3).says(&["nowhere"]);
    place.run(&["pretrain", "folder_r18"]).exited(2).says(&["data.root"]);
    place.run(&["pretrain", "no_such_recipe"]).exited(2).says(&["no_such_recipe", "folder_r18"]);
}

#[test]
fn a_folder_without_a_readable_picture_fails_with_reasons() {
    let place = Place::new();
    fs::create_dir(place.path("texts")).unwrap();
    for index in 0..8 {
        fs::write(place.path(&format!("texts/{index}.jpg")), "this is a text").unwrap();
    }
    place.pretrain("texts", &["data.root=texts"]).exited(3).says(&["texts", "no readable picture"]);
    place.run(&["pretrain", "texts"]).exited(3).says(&["texts", "no readable picture"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn bad_pictures_are_skipped_counted_and_listed_and_odd_ones_are_read() {
    let place = Place::new();
    let jpeg = fs::read(place.pictures().join("0000.jpg")).unwrap();
    write(&place, "truncated.jpg", &jpeg[..jpeg.len() / 2]);
    write(&place, "text.jpg", b"this is a text");
    write(&place, "one_pixel.png", &png(1, 1));
    write(&place, "sixteen_bits.png", &png(60, 50));
    let cmyk = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/assets/cmyk.jpg");
    write(&place, "cmyk.jpg", &fs::read(cmyk).unwrap());
    // Five epochs of five steps: every picture is met.
    place.pretrain("bad", &["train.duration=5 epochs", "data.max_bad_share=0.5"]).succeeded();
    let listed = fs::read_to_string(place.path("runs/bad/bad_files.txt")).unwrap();
    for bad in ["truncated.jpg", "text.jpg", "one_pixel.png"] {
        assert!(listed.contains(bad), "{bad} is not in\n{listed}");
    }
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[test]
fn too_many_bad_pictures_end_the_run_and_keep_what_was_done() {
    let place = Place::new();
    for index in 0..9 {
        write(&place, &format!("bad{index}.jpg"), b"this is a text");
    }
    let more = ["train.duration=20 epochs", "data.max_bad_share=0.2"];
    place.pretrain("many", &more).exited(3).says(&["unreadable"]);
}

#[test]
fn a_run_that_ended_for_bad_pictures_goes_on_when_they_are_repaired() {
    let place = Place::new();
    let good = fs::read(place.pictures().join("0005.jpg")).unwrap();
    write(&place, "0005.jpg", b"");
    let more = ["train.duration=20 steps", "data.max_bad_share=0.01"];
    place.pretrain("repaired", &more).exited(3).says(&["0005.jpg", "repair them and go on"]);
    write(&place, "0005.jpg", &good);
    let resumed = [more[0], more[1], "--resume"];
    place.pretrain("repaired", &resumed).succeeded().says(&["1 pictures", "used again"]);
    assert_eq!(place.metrics("repaired").len(), 20);
}

#[test]
fn a_state_that_is_not_finite_is_never_kept_as_a_good_one() {
    let place = Place::new();
    let wild =
        ["optimizer.base_learning_rate=1e38", "optimizer.schedule.warmup=0 steps", "train.duration=40 steps"];
    let rare = ["train.log_every=1000 steps", "train.checkpoint_every=1 steps", "train.pictures_every=never"];
    let more: Vec<&str> = wild.into_iter().chain(rare).collect();
    place.pretrain("spoilt", &more).exited(5).says(&["start a new run"]);
    for step in fs::read_dir(place.path("runs/spoilt/checkpoints")).unwrap() {
        let model = step.unwrap().path().join("model.safetensors");
        for (name, tensor) in densesiam_engine::checkpoint::read_safetensors(&model).unwrap() {
            assert_eq!(tensor.isfinite().all().int64_value(&[]), 1, "{name} in {}", model.display());
        }
    }
    assert!(!place.path("runs/spoilt/encoder.safetensors").exists());
}

#[test]
fn settings_are_checked_by_their_keys() {
    let place = Place::new();
    for (setting, words) in [
        ("augment.scale=[0.2,1.5]", &["augment.scale", "1"] as &[&str]),
        ("pixsim.gird=9", &["pixsim.gird", "pixsim.grid"]),
        ("train.batch_size=many", &["train.batch_size", "integer"]),
        ("train.duration=soon", &["train.duration", "epochs"]),
        ("train.duration=never", &["train.duration"]),
        ("train.duration=10", &["train.duration", "\"10 steps\" or \"10 epochs\""]),
        ("epochs=5", &["`train.duration`"]),
        ("train.epochs=5", &["`train.duration`"]),
        ("lr=0.1", &["`optimizer.base_learning_rate`"]),
        ("batch=32", &["`train.batch_size`"]),
        ("batch_size=32", &["`train.batch_size`"]),
        ("pixsim.grid=-1", &["`pixsim.grid`", "0 to 256 is allowed"]),
        ("augment.size=-1", &["`augment.size`", "32 to 8192 is allowed"]),
        ("run.seed=-1", &["`run.seed`", "0 to 9007199254740991 is allowed"]),
        ("pixsim.weight=-1", &["pixsim.weight"]),
        ("pixsim.distance=l2", &["pixsim.distance", "cosine"]),
        ("optimizer.momentum=1.5", &["momentum"]),
        ("run.device=tpu", &["run.device"]),
        ("encoder.architecture=vgg", &["encoder.architecture", "resnet50"]),
        ("train.batch_size=1", &["train.batch_size", "at least 2"]),
        ("train.batch_size=1e12", &["train.batch_size", "integer"]),
        ("pixsim.dim=1000000000000", &["pixsim.dim", "2 to 8192"]),
        ("train.batch_size=65536 data.prefetch=1024 augment.size=8192", &["train.batch_size", "memory"]),
        ("regionsim.loss=contrastive", &["`regionsim.loss`", "similarity"]),
        ("data.root=~other/pictures", &["`data.root`", "another user"]),
        ("train.batch_size=400", &["train.batch_size", "16"]),
        ("pixsim.grid", &["key=value"]),
    ] {
        place.pretrain("settings", &setting.split(' ').collect::<Vec<_>>()).exited(2).says(words);
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn what_is_no_recipe_is_called_what_it_is() {
    let place = Place::new();
    let picture = format!("{}/0000.jpg", place.pictures().display());
    fs::write(place.path("weights.pth"), b"\x80\x02}q\x00.").unwrap();
    let root = place.pictures().display().to_string();
    place.run(&["data", "pack", &root, "--out", "shards", "--name", "s"]).succeeded();
    for task in ["pretrain", "segment"] {
        place.run(&[task, &picture]).exited(2).says(&["0000.jpg is one picture", "folder"]);
        place.run(&[task, "weights.pth"]).exited(2).says(&["weights.pth is not text", "encoder.weights="]);
    }
    place.run(&["ablate", &picture]).exited(2).says(&["0000.jpg is one picture"]);
    place.run(&["segment", "shards/s-000000.tar"]).exited(2).says(&["data.root=shards/s-000000.tar"]);
    place
        .run(&["segment", &root])
        .exited(2)
        .says(&[&format!("densesiam segment folder data.root={root} labels.categories=N")]);
    let marked = format!("\u{feff}[data]\nroot = \"{root}\"\n[train]\nbatch_size = 4\n");
    fs::write(place.path("marked.toml"), marked).unwrap();
    place.run(&["pretrain", "marked.toml", "--dry-run"]).succeeded();
}

#[test]
fn an_unknown_key_in_a_file_is_found_by_line() {
    let place = Place::new();
    fs::write(place.path("mine.toml"), "[train]\nbatch_size = 4\n\n[augment]\nsise = 32\n").unwrap();
    place.run(&["pretrain", "mine.toml"]).exited(2).says(&["augment.sise", "mine.toml:5", "augment.size"]);
}

#[test]
fn an_existing_run_is_refused_and_overwritten_only_when_asked() {
    let place = Place::new();
    place.pretrain("twice", &["train.duration=2 steps"]).succeeded();
    place.pretrain("twice", &["train.duration=2 steps"]).exited(4).says(&["--resume", "--overwrite"]);
    place.pretrain("twice", &["train.duration=3 steps", "--overwrite"]).succeeded();
    assert_eq!(place.metrics("twice").len(), 3);
    place.pretrain("never_made", &["--resume"]).exited(4).says(&["nothing to resume"]);
}

#[test]
fn a_run_whose_loss_is_not_finite_stops_and_leaves_its_state_and_pictures() {
    let place = Place::new();
    let more =
        ["optimizer.base_learning_rate=1e38", "train.duration=40 steps", "optimizer.schedule.warmup=0 steps"];
    place.pretrain("wild", &more).exited(5).says(&["not finite", "nonfinite"]);
    assert!(place.path("runs/wild/nonfinite/pictures.txt").is_file());
    assert!(place.path("runs/wild/report.html").is_file());
}

#[test]
fn collapse_is_said_and_stops_where_asked() {
    let place = Place::new();
    let more = ["monitor.min_spread=5", "train.duration=4 steps"];
    place.pretrain("warned", &more).succeeded().says(&["WARNING", "spread"]);
    let more = ["monitor.min_spread=5", "train.duration=4 steps", "monitor.stop_on_collapse=true"];
    place.pretrain("stopped", &more).exited(6).says(&["collapsed"]);
}

#[test]
fn a_full_disk_at_checkpoint_time_loses_nothing() {
    let place = Place::new();
    let more = ["train.duration=400 steps", "train.keep_last=100"];
    let mut child = place.start_pretrain("full", &more);
    wait_for(&place.path("runs/full/checkpoints/000000002"), &mut child);
    child.kill().unwrap();
    Finished::of(child);
    let before = place.weights("full", 2);
    // A limit on the size of files, in blocks of 512 bytes: a checkpoint is larger.
    let mut limited = Command::new("sh");
    let script = r#"ulimit -f 4000; exec "$0" "$@""#;
    limited.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_densesiam")).args(place.instant("full", &more));
    limited.arg("--resume").current_dir(place.path("."));
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("checkpoints"), "{said}");
    assert_eq!(place.weights("full", 2), before);
    let names = fs::read_dir(place.path("runs/full/checkpoints")).unwrap();
    for name in names.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        assert!(name.chars().all(|c| c.is_ascii_digit()), "{name} is left over");
    }
}

/// Below a file nobody can make anything, not even root, for whom permissions mean nothing.
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    place.pretrain("run", &["run.dir=file/runs"]).exited(4).says(&["cannot write to file/runs", "run.dir"]);
    place.pretrain("run", &[]).succeeded();
    let pictures = place.pictures();
    let pictures = pictures.to_str().unwrap();
    for arguments in [
        ["data", "pack", pictures, "--out", "file/shards"],
        ["export", "runs/run", "--format=torchvision", "--out", "file/encoder.pth"],
        ["views", &format!("{pictures}/0000.jpg"), "run.seed=1", "--out", "file/views.png"],
    ] {
        place.run(&arguments).exited(4).says(&["error: cannot", arguments[4]]);
    }
}
