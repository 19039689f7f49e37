//! Label maps and overlays, as a user gets them from a trained segmentation.

use std::fs;

use densesiam_data::demo::CLASSES;
use std::path::Path;
use std::process::Command;

use crate::program::{Finished, Place, wait_for};
use crate::segment::segment;

fn predict(place: &Place, more: &[&str]) -> Finished {
    let arguments = ["predict", "runs/used", "mine", "--out", "out"];
    place.run(&arguments.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = entries
        .filter(|path| path.is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Trains `runs/used`, and lays pictures of odd sizes and one text into `mine`.
fn place() -> Place {
    let place = Place::new();
    segment(&place, "used", &["train.duration=2 steps"]).succeeded();
    fs::create_dir_all(place.path("mine/trip")).unwrap();
    let picture = |name: &str, width, height| {
        image::RgbImage::from_pixel(width, height, image::Rgb([90, 140, 60]))
            .save(place.path("mine").join(name))
            .unwrap();
    };
    picture("tall.png", 37, 91);
    picture("thread.png", 1, 3000);
    picture("trip/a.png", 20, 10);
    picture("trip/a.jpg", 30, 15);
    fs::write(place.path("mine/text.jpg"), "a text").unwrap();
    place
}

#[test]
fn pictures_of_any_size_and_folder_have_label_maps_overlays_and_a_legend() {
    let place = place();
    let said = predict(&place, &[]).succeeded().says(&["text.jpg", "legend.json"]).stdout();
    assert!(said.contains("4 label maps and overlays, 1 pictures skipped, "), "{said}");
    assert!(said.contains(" pictures a second"), "{said}");
    let out = place.path("out");
    assert_eq!(
        files(&out),
        ["legend.json", "tall.overlay.png", "tall.png", "thread.overlay.png", "thread.png"]
    );
    let both = ["a.jpg.overlay.png", "a.jpg.png", "a.png.overlay.png", "a.png.png"];
    assert_eq!(files(&out.join("trip")), both, "neither replaces the other");
    let size = |name: &str| image::image_dimensions(out.join(name)).unwrap();
    assert_eq!((size("tall.png"), size("tall.overlay.png")), ((37, 91), (37, 91)));
    assert_eq!((size("thread.png"), size("trip/a.jpg.png")), ((1, 3000), (30, 15)));
}

#[test]
fn a_name_that_is_too_long_for_what_is_written_is_shortened_and_said() {
    let place = place();
    let long = format!("{}.png", "a".repeat(251));
    fs::copy(place.path("mine/tall.png"), place.path("mine").join(&long)).unwrap();
    fs::write(place.path("mine/b.heic"), "bytes").unwrap();
    predict(&place, &[]).succeeded().says(&[&long, "is too long: its label map is a", "skipped: 1 .heic"]);
    let out = place.path("out");
    let names = files(&out);
    assert_eq!(
        (names.len(), names.iter().filter(|name| name.starts_with("aaa")).count()),
        (7, 2),
        "{names:?}"
    );
    let labels =
        names.iter().find(|name| name.starts_with("aaa") && !name.ends_with(".overlay.png")).unwrap();
    assert_eq!(fs::read(out.join(labels)).unwrap(), fs::read(out.join("tall.png")).unwrap());
}

#[test]
fn pictures_in_shards_and_lists_have_the_label_maps_of_files() {
    let place = place();
    // In bfloat16 predictions of the same files may differ from run to run.
    predict(&place, &["--no-overlays", "run.precision=fp32"]).succeeded();
    place.run(&["data", "pack", "mine", "--out", "shards"]).succeeded();
    let of = |root, out| {
        place.run(&["predict", "runs/used", root, "--no-overlays", "run.precision=fp32", "--out", out])
    };
    of("shards", "of_shards").succeeded().says(&["mine-000000.tar:text.jpg"]);
    assert_eq!(files(&place.path("of_shards")), ["legend.json"]);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("out/tall.png") == read("of_shards/mine-000000/tall.png"));
    assert!(read("out/trip/a.png.png") == read("of_shards/mine-000000/trip/a_2.png"));
    of("shards/mine-000000.tar:trip/a_2.png", "one").succeeded();
    assert!(read("out/trip/a.png.png") == read("one/mine-000000/trip/a_2.png"));
    of("shards/{mine,mine}-000000.tar", "twice").exited(2).says(&["two pictures have the same name"]);
    assert!(!place.path("twice").exists());
    fs::write(place.path("mine/one.txt"), "tall.png\n").unwrap();
    of("mine/one.txt", "of_list").succeeded();
    assert_eq!(files(&place.path("of_list")), ["legend.json", "tall.png"]);
    assert!(read("out/tall.png") == read("of_list/tall.png"));
}

#[test]
fn the_legend_names_every_value() {
    let place = place();
    segment(&place, "used", &["train.duration=2 steps", "labels.categories=9", "--overwrite"]).succeeded();
    predict(&place, &["--no-overlays"]).succeeded();
    assert_eq!(files(&place.path("out")), ["legend.json", "tall.png", "thread.png"]);
    let text = fs::read_to_string(place.path("out/legend.json")).unwrap();
    let legend: serde_json::Value = serde_json::from_str(&text).unwrap();
    let labels = legend["labels"].as_array().unwrap();
    assert_eq!(
        (labels.len(), labels[0]["name"].as_str(), labels[0]["value"].as_u64()),
        (9, Some("meadow"), Some(0))
    );
    // The classes, then categories of none, above the classes by their own number.
    for label in &labels[CLASSES.len()..] {
        let category = label["categories"][0].as_u64().unwrap();
        assert_eq!(label["value"].as_u64().unwrap(), CLASSES.len() as u64 + category);
        assert_eq!(label["name"].as_str().unwrap(), format!("pseudo-category {category}"));
    }
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(place.path("out/tall.png")).unwrap()));
    reader.set_transformations(png::Transformations::IDENTITY);
    let mut reader = reader.read_info().unwrap();
    let palette = reader.info().palette.clone().unwrap();
    let mut values = vec![0; 37 * 91];
    reader.next_frame(&mut values).unwrap();
    for value in values {
        let label =
            labels.iter().find(|label| label["value"] == value).expect("every value is in the legend");
        let colour = &palette[3 * usize::from(value)..][..3];
        assert_eq!(
            label["colour"].as_str().unwrap(),
            format!("#{:02x}{:02x}{:02x}", colour[0], colour[1], colour[2])
        );
    }
}

#[test]
fn nothing_is_replaced_unasked() {
    let place = place();
    predict(&place, &[]).succeeded();
    predict(&place, &[]).exited(2).says(&["tall.png exists", "--overwrite"]);
    predict(&place, &["--overwrite"]).succeeded();
    let into_itself = ["predict", "runs/used", "mine", "--out", "mine", "--overwrite"];
    place.run(&into_itself).exited(2).says(&["name another"]);
    place.run(&["predict", "runs/used", "mine/text.jpg", "--out", "elsewhere"]).exited(3);
    place.run(&["predict", "runs/used", "nowhere", "--out", "elsewhere"]).exited(3).says(&["nowhere"]);
    fs::write(place.path("file"), "").unwrap();
    place.run(&["predict", "runs/used", "mine", "--out", "file/out"]).exited(4);
}

/// The files of a folder and their bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    files(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// Lays a few made-up pictures at several sizes into `mine`, so that those of one size do not follow each other.
fn pictures_of_several_sizes(place: &Place) {
    fs::create_dir_all(place.path("mine")).unwrap();
    let sizes = [(64, 48), (48, 64), (90, 31), (64, 48), (128, 96), (64, 48), (30, 90)];
    for (number, file) in files(&place.pictures()).iter().enumerate() {
        let (width, height) = sizes[number % sizes.len()];
        let picture = image::open(place.pictures().join(file)).unwrap();
        let picture = picture.resize_exact(width, height, image::imageops::FilterType::Triangle);
        picture.save(place.path("mine").join(format!("{number:02}.png"))).unwrap();
    }
}

#[test]
fn what_a_picture_becomes_does_not_depend_on_its_batch_its_window_or_the_threads() {
    let place = Place::new();
    segment(&place, "used", &["train.duration=2 steps"]).succeeded();
    pictures_of_several_sizes(&place);
    // At this size a layer's way to convolve is the same for one picture as for many; where maps are of few positions it
    // depends on the batch, and so do the last bits of the logits.
    let always = ["run.precision=fp32", "evaluate.size=320", "run.threads=2", "--overwrite"];
    let predicted = |settings: &[&str]| {
        predict(&place, &[&always, settings].concat()).succeeded();
        contents(&place.path("out"))
    };
    let alone = predicted(&["evaluate.batch_size=1"]);
    assert_eq!(alone.len(), 1 + 2 * 16);
    for settings in [
        &["evaluate.batch_size=32"][..],
        &["evaluate.batch_size=3", "data.workers=3"],
        &["predict.memory=1", "data.prefetch=1"],
    ] {
        let together = predicted(settings);
        for ((name, bytes), (other, others)) in alone.iter().zip(&together) {
            assert!(name == other && bytes == others, "{name} with {settings:?}");
        }
        assert_eq!(alone.len(), together.len());
    }
}

#[test]
fn a_checkpoint_between_evaluations_has_the_classes_of_the_last_one() {
    let place = place();
    segment(&place, "used", &["train.keep_last=100", "--overwrite"]).succeeded();
    let predict = |step: u64| {
        let (checkpoint, out) = (format!("runs/used/checkpoints/{step:09}"), format!("out{step}"));
        let said = place.run(&["predict", &checkpoint, "mine", "--out", &out]).succeeded().stderr();
        let legend = fs::read_to_string(place.path(&out).join("legend.json")).unwrap();
        (said, serde_json::from_str::<serde_json::Value>(&legend).unwrap())
    };
    // Evaluated before the first step, after 4 and after 8.
    for (step, matched, words) in [
        (4, Some(4), "as matched at step 4: see legend.json"),
        (6, Some(4), "as matched at step 4: step 6 itself was not evaluated"),
        (2, None, "pseudo-categories: this run was not evaluated after training until step 2"),
    ] {
        let (said, legend) = predict(step);
        assert!(said.contains(words), "{said}");
        assert_eq!(legend["matched_at_step"].as_u64(), matched);
        assert_eq!(legend["step"].as_u64(), Some(step));
        assert_eq!(legend["labels"][0]["name"] == "meadow", matched.is_some(), "{legend}");
    }
}

#[test]
fn an_interrupted_prediction_leaves_whole_files() {
    let place = Place::new();
    segment(&place, "used", &["train.duration=2 steps"]).succeeded();
    pictures_of_several_sizes(&place);
    for copy in 0..40 {
        for picture in 0..16 {
            let name = |copy: &str| place.path("mine").join(format!("{copy}{picture:02}.png"));
            fs::hard_link(name(""), name(&format!("{copy}-"))).unwrap();
        }
    }
    let arguments =
        ["predict", "runs/used", "mine", "--out", "out", "evaluate.size=320", "evaluate.batch_size=2"];
    let mut child = place.command(&arguments).spawn().unwrap();
    wait_for(&place.path("out/00.overlay.png"), &mut child);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Finished::of(child).exited(130).says(&["stopped by Ctrl-C", "the files in out are whole", "--overwrite"]);
    let written = contents(&place.path("out"));
    assert!((3..2 * 16 * 41).contains(&written.len()), "{} files", written.len());
    for (name, bytes) in written.iter().filter(|(name, _)| name != "legend.json") {
        assert!(image::load_from_memory(bytes).is_ok() && name.ends_with(".png"), "{name} is not whole");
    }
}

#[test]
fn a_label_map_that_cannot_be_written_ends_the_prediction() {
    let place = place();
    fs::create_dir_all(place.path("out/tall.overlay.png")).unwrap();
    predict(&place, &[]).exited(4).says(&["tall.overlay.png"]);
}

#[test]
fn settings_that_no_prediction_can_have_are_refused_by_name() {
    let place = place();
    for (setting, allowed) in [
        ("predict.memory=0", "predict.memory = 0"),
        ("evaluate.batch_size=0", "evaluate.batch_size = 0"),
        ("evaluate.size=0", "evaluate.size = 0"),
    ] {
        predict(&place, &[setting]).exited(2).says(&[allowed]);
    }
    assert!(!place.path("out").exists());
}
