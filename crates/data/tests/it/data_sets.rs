//! Every layout is recognised and opened from small files that are arranged as the real data sets are.

use std::fs;
use std::path::Path;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::index::Place;
use densesiam_data::labelled::{DataSetError, LabelCheck, LabelledSet, Layout, Taxonomy, training_pictures};
use tempfile::TempDir;

use crate::files::{write_label, write_picture};

const SIZE: (u32, u32) = (4, 3);

/// Pictures and label maps of all zeros at the given paths.
fn data_set(pairs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (picture, label) in pairs {
        write_picture(&folder.path().join(picture), SIZE);
        write_label(&folder.path().join(label), SIZE, &[0; 12]);
    }
    folder
}

/// The paths of a set relative to its root.
fn pairs(root: &Path, set: &LabelledSet) -> Vec<(String, String)> {
    let relative = |place: Place<'_>| place.file().unwrap().strip_prefix(root).unwrap().display().to_string();
    (0..set.len()).map(|sample| (relative(set.picture(sample)), relative(set.label(sample)))).collect()
}

/// Opens a split by detection and expects exactly these pairs.
fn check(folder: &TempDir, layout: Layout, split: &str, classes: usize, expected: &[(&str, &str)]) {
    let root = folder.path();
    assert_eq!(Layout::detect(root).unwrap(), layout);
    let set = LabelledSet::open(root, None, split, None).unwrap_or_else(|error| panic!("{error}"));
    let found = pairs(root, &set);
    assert!(
        found.iter().map(|(picture, label)| (picture.as_str(), label.as_str())).eq(expected.iter().copied())
    );
    assert_eq!((set.name.clone(), set.taxonomy.classes.len()), (format!("{layout} {split}"), classes));
    assert_eq!(training_pictures(root, None, split).unwrap().len(), expected.len());
}

#[test]
fn camvid() {
    let all = [
        ("images/train/0001TP_006690.jpg", "labels/train/0001TP_006690.png"),
        ("images/train/0006R0_f00930.jpg", "labels/train/0006R0_f00930.png"),
        ("images/val/0016E5_07959.jpg", "labels/val/0016E5_07959.png"),
    ];
    let folder = data_set(&all);
    check(&folder, Layout::Camvid, "train", 11, &all[..2]);
    check(&folder, Layout::Camvid, "val", 11, &all[2..]);
}

#[test]
fn cityscapes() {
    let all = [
        (
            "leftImg8bit/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png",
            "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png",
        ),
        (
            "leftImg8bit/val/lindau/lindau_000001_000019_leftImg8bit.png",
            "gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png",
        ),
    ];
    let folder = data_set(&all);
    check(&folder, Layout::Cityscapes, "val", 27, &all);
    let nineteen = LabelledSet::open(folder.path(), None, "val", Some(Taxonomy::cityscapes19())).unwrap();
    assert_eq!(nineteen.taxonomy.classes.len(), 19);
}

#[test]
fn label_maps_by_train_id_are_taken_for_the_19_classes_where_all_pictures_have_them() {
    let of = |stem: &str| {
        let path = |folder: &str, end: &str| format!("{folder}/val/bonn/bonn_{stem}{end}.png");
        let [ids, train_ids] = ["_gtFine_labelIds", "_gtFine_labelTrainIds"].map(|end| path("gtFine", end));
        (path("leftImg8bit", "_leftImg8bit"), ids, train_ids)
    };
    let (first, second) = (of("1"), of("2"));
    let folder = data_set(&[(&first.0, &first.1), (&second.0, &second.1)]);
    // Label 26 is a car, and the number of the car among the 19 classes is 13.
    for labels in [&first.1, &second.1] {
        write_label(&folder.path().join(labels), SIZE, &[26; 12]);
    }
    let opened = |taxonomy: Taxonomy| {
        let set = LabelledSet::open(folder.path(), None, "val", Some(taxonomy)).unwrap();
        let found = pairs(folder.path(), &set).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        let labels = set.label_map(1, [SIZE.0, SIZE.1], &DecodeLimits::default()).unwrap();
        (found, set.taxonomy.names()[usize::from(labels.classes[0])].to_owned())
    };
    let by_id = (vec![first.1.clone(), second.1.clone()], "car".to_owned());
    assert_eq!(opened(Taxonomy::cityscapes19()), by_id);
    write_label(&folder.path().join(&first.2), SIZE, &[13; 12]);
    assert_eq!(opened(Taxonomy::cityscapes19()), by_id);
    write_label(&folder.path().join(&second.2), SIZE, &[13; 12]);
    let by_train_id = (vec![first.2.clone(), second.2.clone()], "car".to_owned());
    assert_eq!(opened(Taxonomy::cityscapes19()), by_train_id);
    assert_eq!(opened(Taxonomy::cityscapes27()), by_id);
    // The published folders hold other files beside the label maps.
    write_label(&folder.path().join("gtFine/val/bonn/bonn_2_gtFine_instanceIds.png"), SIZE, &[0; 12]);
    write_label(&folder.path().join("gtFine/val/bonn/bonn_3_gtFine_labelTrainIds.png"), SIZE, &[0; 12]);
    let check = LabelCheck::open(folder.path(), None, "val", Some(Taxonomy::cityscapes19())).unwrap();
    assert!(check.missing.len() == 1 && check.missing[0].why.contains("bonn_3_gtFine_labelTrainIds.png"));
}

#[test]
fn voc2012() {
    let all = [
        ("JPEGImages/2007_000033.jpg", "SegmentationClass/2007_000033.png"),
        ("JPEGImages/2007_000042.jpg", "SegmentationClass/2007_000042.png"),
        ("JPEGImages/2008_000001.jpg", "SegmentationClass/2008_000001.png"),
    ];
    let folder = data_set(&all);
    let lists = folder.path().join("ImageSets/Segmentation");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("val.txt"), "2007_000033\n2007_000042\n").unwrap();
    check(&folder, Layout::Voc2012, "val", 21, &all[..2]);
    let error = LabelledSet::open(folder.path(), None, "train", None).unwrap_err();
    assert!(error.to_string().contains("ImageSets/Segmentation/train.txt"), "{error}");
}

#[test]
fn folders_with_a_class_file_in_three_arrangements() {
    for (picture, label) in [
        ("val/images/a.jpg", "val/labels/a.png"),
        ("images/val/a.jpg", "labels/val/a.png"),
        ("images/a.jpg", "labels/a.png"),
        ("images/day/a.jpg", "labels/day/a.png"),
    ] {
        let folder = data_set(&[(picture, label)]);
        fs::write(folder.path().join("classes.txt"), "ground\ncar thing\n").unwrap();
        check(&folder, Layout::Folder, "val", 2, &[(picture, label)]);
    }
}

#[test]
fn a_split_is_not_taken_for_another() {
    let folder = data_set(&[("images/train/a.jpg", "labels/train/a.png")]);
    fs::write(folder.path().join("classes.txt"), "ground\n").unwrap();
    let message = LabelledSet::open(folder.path(), None, "val", None).unwrap_err().to_string();
    assert!(message.contains("split \"val\"") && message.contains("val/images"), "{message}");
}

#[test]
fn the_demo_is_a_folder_data_set() {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path(), &DemoSettings { train: 3, val: 2, width: 24, height: 16, seed: 1 }).unwrap();
    let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
    assert_eq!((set.len(), set.taxonomy.names()), (2, densesiam_data::demo::CLASSES.to_vec()));
    assert_eq!(training_pictures(folder.path(), None, "train").unwrap().len(), 3);
}

/// The pictures of the whole curated validation list, as hard links of one picture; the labels of `labelled` of them.
fn curated_val(pictures: &str, labels: &str, labelled: usize) -> TempDir {
    let folder = data_set(&[("picture.jpg", "label.png")]);
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/coco27/curated_val2017.txt");
    for (number, stem) in fs::read_to_string(list).unwrap().lines().enumerate() {
        let link = |from: &str, to: String| {
            let to = folder.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::hard_link(folder.path().join(from), to).unwrap();
        };
        link("picture.jpg", format!("{pictures}/{stem}.jpg"));
        if number < labelled {
            link("label.png", format!("{labels}/{stem}.png"));
        }
    }
    // Not on the list.
    write_picture(&folder.path().join(pictures).join("000000000001.jpg"), SIZE);
    folder
}

#[test]
fn coco27_takes_the_curated_pictures_alone() {
    for (pictures, labels) in
        [("val2017", "stuffthingmaps/val2017"), ("images/val2017", "annotations/val2017")]
    {
        let folder = curated_val(pictures, labels, usize::MAX);
        assert_eq!(Layout::detect(folder.path()).unwrap(), Layout::Coco27);
        let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
        assert_eq!((set.len(), set.taxonomy.classes.len()), (2_175, 27));
        let first = &pairs(folder.path(), &set)[0];
        assert_eq!(*first, (format!("{pictures}/000000000139.jpg"), format!("{labels}/000000000139.png")));
    }
}

#[test]
fn coco27_names_a_missing_label_and_an_unknown_split() {
    let folder = curated_val("val2017", "stuffthingmaps/val2017", 2);
    let message = LabelledSet::open(folder.path(), None, "val", None).unwrap_err().to_string();
    let third = "000000000785";
    assert!(
        message.contains(&format!("val2017/{third}.jpg")) && message.contains(&format!("{third}.png")),
        "{message}"
    );
    let error = LabelledSet::open(folder.path(), None, "test", None).unwrap_err();
    assert!(matches!(error, DataSetError::NoCuratedList { .. }), "{error}");
    assert_eq!(training_pictures(folder.path(), None, "val").unwrap().len(), 2_175);
}

#[test]
fn pictures_without_labels_serve_training() {
    for (paths, split, count) in [
        (&["a.jpg", "deep/er/b.png"][..], "train", 2),
        (&["images/a.jpg", "labels/a.png"], "train", 1),
        (&["images/train/a.jpg", "images/val/b.jpg"], "train", 1),
        (&["train/images/a.jpg", "val/images/b.jpg"], "val", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        paths.iter().for_each(|path| write_picture(&folder.path().join(path), SIZE));
        assert_eq!(training_pictures(folder.path(), None, split).unwrap().len(), count, "{paths:?}");
        let message = LabelledSet::open(folder.path(), None, split, None).unwrap_err().to_string();
        assert!(message.contains("leftImg8bit/") && message.contains("classes.txt"), "{message}");
    }
}

#[test]
fn a_given_layout_and_taxonomy_need_no_detection() {
    let folder = data_set(&[("images/a.jpg", "labels/a.png")]);
    let set =
        LabelledSet::open(folder.path(), Some(Layout::Folder), "val", Some(Taxonomy::voc2012())).unwrap();
    assert_eq!(set.len(), 1);
    let layout: Layout = serde_json::from_str("\"cityscapes\"").unwrap();
    let message = LabelledSet::open(folder.path(), Some(layout), "val", None).unwrap_err().to_string();
    assert!(message.contains("the cityscapes layout") && message.contains("leftImg8bit/val"), "{message}");
}

/// As they are unpacked from an archive that was made where case makes no difference.
#[test]
fn names_may_be_of_any_case() {
    for (picture, label) in [
        ("images/val/a.JPG", "labels/val/a.PNG"),
        ("Images/Val/a.jpg", "LABELS/val/a.Png"),
        ("VAL/Images/x/a.jpg", "VAL/labels/X/a.png"),
    ] {
        let folder = data_set(&[(picture, label)]);
        fs::write(folder.path().join("Classes.TXT"), "\u{feff}ground\ncar thing\n").unwrap();
        check(&folder, Layout::Folder, "val", 2, &[(picture, label)]);
        let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
        assert_eq!(set.taxonomy.names(), ["ground", "car"]);
    }
    let voc =
        [("JPEGIMAGES/1.JPG", "segmentationclass/1.PNG"), ("JPEGIMAGES/2.jpg", "segmentationclass/2.png")];
    let folder = data_set(&voc);
    let lists = folder.path().join("imagesets/segmentation");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("Val.txt"), "\u{feff}1\r\n2\r\n").unwrap();
    check(&folder, Layout::Voc2012, "val", 21, &voc);
    let city = [("LeftImg8bit/val/f/f_1_leftImg8bit.PNG", "gtfine/val/f/f_1_gtFine_labelIds.PNG")];
    check(&data_set(&city), Layout::Cityscapes, "val", 27, &city);
}

#[test]
fn what_is_spelled_as_asked_for_comes_first_and_stems_are_not_mixed_up() {
    let folder = data_set(&[("images/a.jpg", "labels/a.png"), ("images/b.jpg", "labels/B.PNG")]);
    write_label(&folder.path().join("labels/a.PNG"), SIZE, &[0; 12]);
    fs::create_dir(folder.path().join("Labels")).unwrap();
    fs::write(folder.path().join("classes.txt"), "ground\n").unwrap();
    let message = LabelledSet::open(folder.path(), None, "val", None).unwrap_err().to_string();
    assert!(message.contains("images/b.jpg has no label map"), "{message}");
    assert!(
        message.contains("labels/b.png is not there (there is ") && message.contains("labels/B.PNG"),
        "{message}"
    );
    fs::remove_file(folder.path().join("images/b.jpg")).unwrap();
    let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
    assert_eq!(pairs(folder.path(), &set), [("images/a.jpg".into(), "labels/a.png".into())]);
}

#[test]
fn lists_that_are_no_text_are_named_for_what_they_are() {
    let folder =
        data_set(&[("JPEGImages/1.jpg", "SegmentationClass/1.png"), ("images/1.jpg", "labels/1.png")]);
    let list = folder.path().join("ImageSets/Segmentation/val.txt");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(&list, b"\xff\xfe1\0\n\0").unwrap();
    let message = LabelledSet::open(folder.path(), None, "val", None).unwrap_err().to_string();
    assert!(message.contains("val.txt is not a list of names: it is UTF-16 text"), "{message}");
    fs::write(folder.path().join("classes.txt"), b"ground\ncaf\xe9\n").unwrap();
    let message =
        LabelledSet::open(folder.path(), Some(Layout::Folder), "val", None).unwrap_err().to_string();
    assert!(message.contains("classes.txt is not a list of classes: line 2 is not UTF-8"), "{message}");
}

#[test]
fn a_set_is_thinned_out_at_equal_distances() {
    let folder = tempfile::tempdir().unwrap();
    let settings = DemoSettings { train: 0, val: 7, width: 16, height: 16, seed: 1 };
    write_demo(folder.path(), &settings).unwrap();
    let whole = LabelledSet::open(folder.path(), None, "val", None).unwrap();
    for (count, kept) in
        [(1, &[0][..]), (3, &[0, 2, 4]), (7, &[0, 1, 2, 3, 4, 5, 6]), (9, &[0, 1, 2, 3, 4, 5, 6])]
    {
        let mut set = whole.clone();
        set.thin_out(count);
        let expected = kept.iter().map(|&sample| (whole.picture(sample), whole.label(sample)));
        assert!((0..set.len()).map(|sample| (set.picture(sample), set.label(sample))).eq(expected));
    }
}

/// The real CamVid, where the environment says that it is there.
#[test]
fn the_real_camvid_has_367_and_101_pictures() {
    let Some(root) = std::env::var_os("DENSESIAM_CAMVID") else {
        eprintln!("SKIPPED: set DENSESIAM_CAMVID to the folder of CamVid to run this test");
        return;
    };
    for (split, count) in [("train", 367), ("val", 101)] {
        let set = LabelledSet::open(Path::new(&root), None, split, None).unwrap();
        assert_eq!((set.name.clone(), set.len()), (format!("camvid {split}"), count));
        for sample in 0..set.len() {
            let limits = DecodeLimits::default();
            densesiam_data::labelled::LabelMap::read(&set.label(sample), &set.taxonomy, &limits).unwrap();
        }
    }
}
