//! `densesiam data check` of annotated pictures: made-up folders with one fault of each kind.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Finished, Place};

const SIZE: [u32; 2] = [24, 16];

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn picture(path: &Path, [width, height]: [u32; 2]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb([90, 120, 30])).save(path).unwrap();
}

fn label(path: &Path, [width, height]: [u32; 2], value: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(width, height, image::Luma([value])).save(path).unwrap();
}

/// An annotation of a picture of [`SIZE`] with these objects: a class, whether it is difficult, and the corners of its box.
fn annotation(objects: &[(&str, u8, [i32; 4])]) -> String {
    let object = |&(class, difficult, [x0, y0, x1, y1]): &(&str, u8, [i32; 4])| {
        format!(
            "<object><name>{class}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin>\
             <ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        )
    };
    let [width, height] = SIZE;
    let objects: String = objects.iter().map(object).collect();
    format!(
        "<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>\n"
    )
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout()).unwrap()
}

/// How many faults a set has of each kind.
fn kinds(set: &Value) -> Vec<(&str, usize)> {
    let kinds = set["faults"].as_object().unwrap().iter();
    kinds.map(|(kind, all)| (kind.as_str(), all.as_array().unwrap().len())).collect()
}

const SOUND: (&str, u8, [i32; 4]) = ("dog", 0, [1, 1, 24, 16]);

/// Two years, whose second has a fault of each kind.
fn voc(place: &Place) {
    let file = |name: &str| place.path("voc/VOCdevkit").join(name);
    let add = |year: &str, name: &str, text: &str| {
        picture(&file(&format!("{year}/JPEGImages/{name}.png")), SIZE);
        write(&file(&format!("{year}/Annotations/{name}.xml")), text);
    };
    add("VOC2007", "a", &annotation(&[SOUND, ("cat", 1, [2, 2, 9, 9])]));
    write(&file("VOC2007/ImageSets/Main/trainval.txt"), "a\n");
    write(&file("VOC2007/ImageSets/Main/dog_trainval.txt"), "a  1\n");
    add("VOC2012", "sound", &annotation(&[SOUND]));
    add("VOC2012", "outside", &annotation(&[SOUND, ("dog", 0, [5, 5, 30, 12])]));
    add("VOC2012", "empty", &annotation(&[("dog", 0, [9, 5, 8, 12])]));
    add("VOC2012", "unknown", &annotation(&[("dgo", 0, [2, 2, 9, 9])]));
    add("VOC2012", "without", &annotation(&[]));
    add("VOC2012", "cut", &annotation(&[SOUND])[..60]);
    add("VOC2012", "unreadable", &annotation(&[SOUND]));
    write(&file("VOC2012/JPEGImages/unreadable.png"), "text");
    add("VOC2012", "larger", &annotation(&[SOUND]));
    picture(&file("VOC2012/JPEGImages/larger.png"), [48, 32]);
    picture(&file("VOC2012/JPEGImages/alone.png"), SIZE);
    write(&file("VOC2012/Annotations/gone.xml"), annotation(&[SOUND]));
    let train = "sound\noutside\nempty\nunknown\nwithout\ncut\nunreadable\nlarger\nalone\ngone\n";
    write(&file("VOC2012/ImageSets/Main/train.txt"), train);
    write(&file("VOC2012/ImageSets/Main/trainval.txt"), train);
}

#[test]
fn every_fault_of_a_set_in_vocs_format_is_counted_and_named() {
    let place = Place::new();
    voc(&place);
    let check = |more: &[&str]| place.run(&[&["data", "check", "voc"][..], more].concat());
    check(&["--split", "2007/trainval"]).succeeded().prints(&[
        "set              voc 2007/trainval\n",
        "pictures         1 listed, 1 there, 0 without an object\n",
        "of these         1 difficult, 0 crowds\n",
        "classes          cat 1, dog 1\n",
        "faults           0\n",
    ]);
    check(&["--classes", "dog,cat"])
        .exited(3)
        .prints(&[
            "set              voc 2007/trainval 2012/train 2012/trainval\n",
            "pictures         11 listed, 9 there, 1 without an object\n",
            "faults           8\n",
            "  1 boxes that reach beyond their picture\n",
            "outside.xml: object 2 (dog) from (4, 4) to (30, 12), in 24 x 16 pixels\n",
            "cut.xml: it ends within",
        ])
        .says(&["error: voc: faults found: 8"]);
    let checked = json_of(&check(&["--classes", "dog,cat", "--json"]).exited(3));
    assert_eq!(checked["faults"], 8);
    let set = &checked["sets"][0];
    let expected = [
        ("annotations that cannot be used", "VOC2012/Annotations/cut.xml"),
        ("boxes that reach beyond their picture", "VOC2012/Annotations/outside.xml: object 2"),
        ("boxes without width or height", "VOC2012/Annotations/empty.xml: object 1"),
        ("listed pictures not there", "VOC2012/JPEGImages/gone.jpg"),
        (
            "objects of a class that is not in the list of classes",
            "unknown.xml: object 1 is of the class dgo",
        ),
        ("pictures of another size than annotated", "VOC2012/JPEGImages/larger.png has 48 x 32"),
        ("pictures without annotation", "VOC2012/JPEGImages/alone.png"),
        ("unreadable pictures", "VOC2012/JPEGImages/unreadable.png"),
    ];
    assert_eq!(kinds(set), expected.map(|(kind, _)| (kind, 1)));
    for (kind, why) in expected {
        assert!(set["faults"][kind][0].as_str().unwrap().contains(why), "{kind}: {}", set["faults"][kind]);
    }
    assert_eq!(set["objects"], json!({"cat": 1, "dgo": 1, "dog": 7}));
    // Without a list of classes every name is one.
    assert_eq!(json_of(&check(&["--json"]).exited(3))["faults"], 7);
    check(&["--split", "2008/test"]).exited(3).prints(&["1 splits that cannot be used", "VOC2008"]);
    check(&["--split", "a/b/c"]).exited(2).says(&["--split"]);
    check(&["--taxonomy", "voc2012"]).exited(2).says(&["--taxonomy is for label maps"]);
    check(&["--layout", "pictures"])
        .succeeded()
        .prints(&["pictures         10 in voc\n", "unreadable       1\n"]);
    // What is asked for and not there is no set of pictures alone.
    check(&["--layout", "cityscapes"]).exited(3).prints(&["leftImg8bit", "1 splits that cannot be used"]);
}

#[test]
fn first_faults_of_a_kind_are_named_and_the_others_counted() {
    let place = Place::new();
    fs::create_dir_all(place.path("set/Annotations")).unwrap();
    fs::create_dir_all(place.path("set/JPEGImages")).unwrap();
    // Without any list the one that a recipe would read is missed.
    place.run(&["data", "check", "set"]).exited(3).prints(&["set/ImageSets/Main/train.txt"]);
    write(&place.path("set/ImageSets/Main/any.txt"), "a\nb\nc\nd\ne\n");
    let found = place.run(&["data", "check", "set"]).exited(3);
    let found =
        found.prints(&["5 listed pictures not there", "JPEGImages/c.jpg", "    and 2 more\n"]).stdout();
    assert!(!found.contains("JPEGImages/d.jpg"), "{found}");
}

/// A folder whose `train` has a fault of each kind that a readable file can have, and whose `val` cannot be read.
fn coco(place: &Place) {
    for name in ["sound", "larger", "unreadable"] {
        picture(&place.path(&format!("coco/train/{name}.png")), SIZE);
    }
    picture(&place.path("coco/train/larger.png"), [48, 32]);
    write(&place.path("coco/train/unreadable.png"), "text");
    let [width, height] = SIZE;
    let image = |id: u64, name: &str| json!({"id": id, "file_name": format!("{name}.png"), "width": width, "height": height});
    let object = |id: u64, category: u64, bbox: [f64; 4], polygon: &[f64]| {
        json!({
            "id": id, "image_id": 1, "category_id": category, "bbox": bbox, "area": 9.0, "iscrowd": 0,
            "segmentation": [polygon],
        })
    };
    let outline = [1.0, 1.0, 9.0, 1.0, 9.0, 9.0];
    let sound = [1.0, 1.0, 8.0, 8.0];
    let images = ["sound", "larger", "unreadable", "gone"];
    let images: Vec<_> = (1..).zip(images).map(|(id, name)| image(id, name)).collect();
    let file = json!({
        "images": images,
        "categories": [{"id": 3, "name": "dog"}, {"id": 5, "name": "cat"}],
        "annotations": [
            object(10, 3, sound, &outline),
            object(11, 5, [20.0, 1.0, 8.0, 8.0], &outline),
            object(12, 3, [1.0, 1.0, 0.0, 8.0], &outline),
            object(13, 3, sound, &outline[..4]),
            object(14, 4, sound, &outline),
            object(10, 3, sound, &outline),
        ],
    });
    write(&place.path("coco/annotations/instances_train.json"), file.to_string());
    let twice =
        json!({"images": [image(1, "sound"), image(1, "sound")], "categories": [], "annotations": []});
    write(&place.path("coco/annotations/instances_val.json"), twice.to_string());
}

#[test]
fn every_fault_of_a_set_in_cocos_format_is_counted_and_named() {
    let place = Place::new();
    coco(&place);
    let check = |root: &str, more: &[&str]| place.run(&[&["data", "check", root][..], more].concat());
    let checked = json_of(&check("coco", &["--json"]).exited(3));
    let [train, val] = checked["sets"].as_array().unwrap().as_slice() else { panic!("{checked}") };
    let expected = [
        ("annotations of a category that the file does not list, left out", "annotation 14"),
        ("annotations whose id was there before", "annotation 10"),
        ("boxes that reach beyond their picture", "annotation 11"),
        ("boxes without width or height", "annotation 12"),
        ("listed pictures not there", "coco/train/gone.png"),
        ("pictures of another size than annotated", "coco/train/larger.png has 48 x 32"),
        ("polygons of fewer than three points, left out", "instances_train.json: annotation 13"),
        ("unreadable pictures", "coco/train/unreadable.png"),
    ];
    assert_eq!(kinds(train), expected.map(|(kind, _)| (kind, 1)));
    for (kind, why) in expected {
        assert!(
            train["faults"][kind][0].as_str().unwrap().contains(why),
            "{kind}: {}",
            train["faults"][kind]
        );
    }
    assert_eq!((&train["objects"], &train["without_object"]), (&json!({"cat": 1, "dog": 4}), &json!(3)));
    // What ends the reading of one file does not end the check of the others.
    assert_eq!(
        kinds(val),
        [("entries that cannot be used", 1), ("listed pictures not there", 1), ("sets without an object", 1)]
    );
    check("coco", &["--split", "val"]).exited(3).prints(&["instances_val.json: has the picture 1 twice"]);
    check("coco", &["--split", "train", "--classes", "dog,cow"])
        .exited(3)
        .prints(&["annotation 11 is of the class cat", "WARNING          no object is of the class cow\n"]);
    // A file alone, with its pictures where COCO's folders have them, and without.
    let file = "coco/annotations/instances_train.json";
    assert_eq!(kinds(&json_of(&check(file, &["--json"]).exited(3))["sets"][0]), kinds(train));
    fs::copy(place.path(file), place.path("mine.json")).unwrap();
    check("mine.json", &[]).exited(3).prints(&[
        "set              coco mine\n",
        "4 listed, not looked for, because none lies near the file, 3 without an object\n",
        "outlines         of 4 objects that are no crowds\n",
        "faults           5\n",
    ]);
    check("coco", &["--split", "test"]).exited(3).prints(&[
        "the split test has no annotations in COCO's format: there is no coco/annotations/instances_test.json, no ",
    ]);
    check("mine.json", &["--split", "val"]).exited(2).says(&["--split is for a folder"]);
    check("none.json", &[]).exited(3).prints(&["none.json: cannot be read"]);
}

#[test]
fn every_fault_of_label_maps_is_counted_and_named() {
    let place = Place::new();
    let file = |name: &str| place.path("set").join(name);
    for name in ["sound", "smaller", "beyond", "coloured", "alone"] {
        picture(&file(&format!("images/train/{name}.png")), SIZE);
        label(&file(&format!("labels/train/{name}.png")), SIZE, 1);
    }
    picture(&file("images/val/good.png"), SIZE);
    label(&file("labels/val/good.png"), SIZE, 0);
    write(&file("classes.txt"), "ground\ncar\n");
    label(&file("labels/train/smaller.png"), [12, 8], 1);
    label(&file("labels/train/beyond.png"), SIZE, 2);
    picture(&file("labels/train/coloured.png"), SIZE);
    fs::remove_file(file("labels/train/alone.png")).unwrap();
    label(&file("labels/train/spare.png"), SIZE, 0);
    write(&file("images/train/unreadable.png"), "text");
    label(&file("labels/train/unreadable.png"), SIZE, 0);
    let check = |more: &[&str]| place.run(&[&["data", "check", "set"][..], more].concat());
    let checked = json_of(&check(&["--json"]).exited(3));
    let [train, val] = checked["sets"].as_array().unwrap().as_slice() else { panic!("{checked}") };
    let expected = [
        ("label maps without picture", "labels/train/spare.png"),
        ("pictures without label map", "images/train/alone.png"),
        ("sizes differ", "labels/train/smaller.png"),
        ("unreadable label maps", "labels/train/coloured.png"),
        ("unreadable pictures", "images/train/unreadable.png"),
        ("values outside the classes", "labels/train/beyond.png"),
    ];
    assert_eq!(kinds(train), expected.map(|(kind, _)| (kind, 1)));
    for (kind, why) in expected {
        assert!(
            train["faults"][kind][0].as_str().unwrap().contains(why),
            "{kind}: {}",
            train["faults"][kind]
        );
    }
    assert!(kinds(val).is_empty() && val["label_maps"] == 1);
    check(&["--split", "val"]).succeeded().prints(&[
        "set              folder val\n",
        "classes          2 of ",
        "ground is the only class with labelled pixels",
        "faults           0\n",
    ]);
    check(&["--classes", "car"]).exited(2).says(&["--classes is for objects"]);
    // The made-up pictures are labelled too.
    place.run(&["data", "check", "pictures"]).succeeded().prints(&["folder train", "folder val", "faults"]);
    place.run(&["data", "check", "pictures/train/images", "--split", "val"]).exited(2).says(&["--layout"]);
}

#[test]
fn cityscapes_has_label_maps_by_label_or_by_number_of_the_class() {
    let place = Place::new();
    let label_map = |kind: &str, number: usize, value: u8| {
        label(&place.path(&format!("city/gtFine/val/bonn/bonn_{number}_gtFine_{kind}.png")), SIZE, value);
    };
    for number in 0..2 {
        picture(&place.path(&format!("city/leftImg8bit/val/bonn/bonn_{number}_leftImg8bit.png")), SIZE);
        label_map("labelTrainIds", number, 13);
    }
    let check = |more: &[&str]| place.run(&[&["data", "check", "city"][..], more].concat());
    let by_number = [
        "label maps       2\n",
        "19 of cityscapes19",
        "bonn_0_gtFine_labelTrainIds.png",
        "faults           0",
    ];
    check(&[]).succeeded().prints(&by_number);
    label_map("labelIds", 0, 26);
    label_map("labelIds", 1, 40);
    check(&["--taxonomy", "cityscapes19"]).succeeded().prints(&by_number);
    check(&[]).exited(3).prints(&[
        "27 of cityscapes27",
        "1 values outside the classes",
        "bonn_1_gtFine_labelIds.png",
    ]);
    // One that is missing is missed, and the others are still taken.
    for number in 0..2 {
        fs::remove_file(place.path(&format!("city/gtFine/val/bonn/bonn_{number}_gtFine_labelIds.png")))
            .unwrap();
    }
    fs::remove_file(place.path("city/gtFine/val/bonn/bonn_1_gtFine_labelTrainIds.png")).unwrap();
    check(&[]).exited(3).prints(&["label maps       1\n", "1 pictures without label map", "bonn_1"]);
}

#[test]
fn a_folder_of_objects_and_label_maps_is_checked_for_both() {
    let place = Place::new();
    let file = |name: &str| place.path("both").join(name);
    picture(&file("JPEGImages/a.png"), SIZE);
    label(&file("SegmentationClass/a.png"), SIZE, 3);
    write(&file("Annotations/a.xml"), annotation(&[SOUND]));
    write(&file("ImageSets/Main/train.txt"), "a\n");
    write(&file("ImageSets/Segmentation/train.txt"), "a\n");
    let check = |more: &[&str]| {
        json_of(&place.run(&[&["data", "check", "both", "--json"][..], more].concat()).succeeded())
    };
    let names = |checked: Value| {
        let sets = checked["sets"].as_array().unwrap().clone();
        sets.into_iter().map(|set| set["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(check(&[])), ["voc train", "voc2012 train"]);
    assert_eq!(names(check(&["--layout", "voc"])), ["voc train"]);
    assert_eq!(names(check(&["--layout", "voc2012"])), ["voc2012 train"]);
}

#[test]
fn masks_are_not_scored_by_vocs_annotations() {
    let place = Place::new();
    voc(&place);
    let files = ["evaluate", "--detections", "found", "--ground-truth", "voc", "--split", "2007/trainval"];
    place.run(&[&files[..], &["--masks"]].concat()).exited(2).says(&["--masks", "boxes alone", ".json"]);
}
