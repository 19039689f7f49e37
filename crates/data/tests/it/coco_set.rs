//! COCO's annotations as sets to learn from, where their pictures are found, and what a check finds wrong.

use std::path::Path;

use densesiam_data::detection::{
    Classes, CocoSplit, DetectionCheck, DetectionError, DetectionSurvey, coco_splits, read_coco,
};
use densesiam_geometry::Region;
use serde_json::{Value, json};

use crate::coco::{annotation, document};

#[test]
fn annotations_are_a_set_in_the_order_of_paths_with_the_ids_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let annotations = folder.path().join("instances_some.json");
    let crowd = json!({"size": [2, 4], "counts": [1, 3, 4]});
    let text = document(&json!([
        annotation(&json!({"id": 30, "image_id": 9, "category_id": 3, "bbox": [0, 0, 2, 2]})),
        annotation(&json!({"id": 20})),
        annotation(&json!({"id": 10, "image_id": 9, "iscrowd": 1, "segmentation": crowd})),
    ]));
    std::fs::write(&annotations, text).unwrap();
    let split = CocoSplit::of(&annotations, folder.path());
    let missing = read_coco(&split, &Classes::Found).unwrap_err();
    assert!(matches!(missing, DetectionError::MissingPicture { .. }), "{missing}");
    for name in ["nine.jpg", "two.jpg"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    let set = read_coco(&split, &Classes::Found).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!([set.picture_id(0), set.picture_id(1)], [9, 2]);
    assert_eq!([set.class_id(0), set.class_id(1)], [Some(3), Some(7)]);
    assert_eq!(set.annotation(0).size, Some([4, 2]));
    let [cat, crowd] = set.objects(0) else { panic!("{:?}", set.objects(0)) };
    assert_eq!((cat.class, cat.crowd, cat.area, cat.bbox.x1), (0, false, 50.0, 2.0));
    assert!(crowd.crowd && crowd.shape.as_ref().unwrap().mask([2, 4]).unwrap().area() == 3);
    assert!(crowd.shape.as_ref().unwrap().mask([4, 4]).is_none(), "of another picture");
    let [dog] = set.objects(1) else { panic!("{:?}", set.objects(1)) };
    let within = Region { x0: 10.0, y0: 10.0, x1: 20.0, y1: 20.0 };
    let inside = dog.shape.as_ref().unwrap().target(&within, 4);
    assert_eq!(inside.iter().filter(|inside| **inside).count(), 6, "of the triangle, as COCO draws it");

    let among = Classes::Among(vec!["dog".into(), "cat".into(), "cow".into()]);
    let set = read_coco(&split, &among).unwrap();
    assert_eq!((set.objects(0)[0].class, set.class_id(0), set.class_id(1)), (1, Some(7), Some(3)));
    assert_eq!(set.class_id(2), None, "the file does not name cows");
    let twice = Classes::Among(vec!["dog".into(), "cat".into(), "cat".into()]);
    let twice = read_coco(&split, &twice).unwrap_err();
    assert!(matches!(twice, DetectionError::ClassList { .. }), "{twice}");
    let all = Classes::All(vec!["cat".into(), "dog".into(), "cow".into()]);
    let absent = read_coco(&split, &all).unwrap_err();
    assert!(matches!(absent, DetectionError::AbsentClass { .. }), "{absent}");
    let unknown = read_coco(&split, &Classes::Among(vec!["cat".into()])).unwrap_err();
    assert!(unknown.to_string().starts_with("annotation 10 of "), "{unknown}");
}

/// Writes annotations and the pictures of [`document`], which hold nothing.
fn write_set(annotations: &Path, pictures: &Path, objects: &Value) {
    for folder in [annotations.parent().unwrap(), pictures] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(annotations, document(objects)).unwrap();
    for name in ["nine.jpg", "two.jpg"] {
        std::fs::write(pictures.join(name), b"").unwrap();
    }
}

#[test]
fn a_split_is_found_in_the_forms_that_programs_write() {
    for (annotations, pictures, split) in [
        ("annotations/instances_val2017.json", "val2017", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017", "val2017"),
        ("annotations/train.json", "images", "train"),
        ("valid/_annotations.coco.json", "valid", "valid"),
        ("labels.json", "data", "labels.json"),
        ("labels/first.json", "labels/images/first", "labels/first.json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write_set(&root.join(annotations), &root.join(pictures), &json!([annotation(&json!({}))]));
        let found = CocoSplit::find(root, split).unwrap();
        assert_eq!(found.annotations, root.join(annotations));
        let set = read_coco(&found, &Classes::Found).unwrap();
        assert_eq!(set.index().root(), root.join(pictures));
        let named = if split.ends_with(".json") { vec![] } else { vec![split.to_owned()] };
        assert_eq!(coco_splits(root), named);
        std::fs::remove_file(root.join(pictures).join("nine.jpg")).unwrap();
        let one = read_coco(&found, &Classes::Found).unwrap_err();
        assert!(matches!(one, DetectionError::MissingPicture { .. }), "{one}");
        std::fs::remove_file(root.join(pictures).join("two.jpg")).unwrap();
        let all = read_coco(&found, &Classes::Found).unwrap_err();
        assert!(matches!(&all, DetectionError::NoPictures { tried, .. } if tried.len() > 1), "{all}");
    }
    let none = CocoSplit::find(Path::new("nowhere"), "train").unwrap_err().to_string();
    for tried in ["instances_train.json", "nowhere/annotations/train.json", "train/_annotations.coco.json"] {
        assert!(none.contains(tried), "{none}");
    }
}

#[test]
fn a_picture_outside_the_folder_of_the_pictures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, path) = (folder.path().join("inside"), folder.path().join("file.json"));
    write_set(&path, &inside, &json!([annotation(&json!({}))]));
    std::fs::write(folder.path().join("outside.jpg"), b"").unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let absolute = folder.path().join("outside.jpg");
    for name in ["../outside.jpg", absolute.to_str().unwrap(), ""] {
        std::fs::write(&path, whole.replace("nine.jpg", name)).unwrap();
        let split = CocoSplit::of(&path, &inside);
        let said = read_coco(&split, &Classes::Found).unwrap_err().to_string();
        assert!(said.contains(&format!("the picture 9 has the file_name {name:?}")), "{said}");
        let check = DetectionCheck::of_coco(&split, &[]);
        assert!(check.faults.iter().any(|fault| fault.why.contains("the picture 9 has")), "{name}");
    }
    // Where the folder of the pictures is looked for, the names are what is wrong.
    std::fs::write(&path, whole.replace("nine.jpg", "../a.jpg").replace("two.jpg", "../b.jpg")).unwrap();
    let split = CocoSplit::near(&path);
    let said = read_coco(&split, &Classes::Found).unwrap_err().to_string();
    assert!(said.contains("has the file_name"), "{said}");
    let check = DetectionCheck::of_coco(&split, &[]);
    assert_eq!(check.faults.iter().filter(|fault| fault.why.contains("has the file_name")).count(), 2);
    assert_eq!(check.faults.len(), 2, "{:?}", check.faults);
}

#[test]
fn training_is_told_what_is_left_out_of_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    let objects = json!([
        annotation(
            &json!({"id": 3, "image_id": 9, "segmentation": [[1.0, 1.0, 2.0, 2.0]], "bbox": [0, 0, 2, 2]})
        ),
        annotation(&json!({"id": 4, "category_id": 1})),
        annotation(&json!({"id": 5})),
        annotation(&json!({"id": 5, "segmentation": [[101.0, 1.0, 120.0, 1.0, 120.0, 9.0]]})),
    ]);
    write_set(&path, folder.path(), &objects);
    let set = read_coco(&CocoSplit::of(&path, folder.path()), &Classes::Found).unwrap();
    let of_training = set.of_use(true).unwrap();
    let found: Vec<_> = DetectionSurvey::of(&of_training).findings.iter().map(ToString::to_string).collect();
    for words in [
        "1 of 4 annotations have the id of another one (annotation 5)",
        "1 of 4 annotations are of a category that the file does not list (annotation 4)",
        "1 of 4 polygons have fewer than three corners",
        "1 of 4 polygons lie outside their picture (annotation 5)",
        "1 of 2 pictures have no object with an outline",
    ] {
        assert!(found.iter().any(|finding| finding.contains(words)), "{words}: {found:?}");
    }
}

#[test]
fn a_check_names_every_fault_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    let mask = json!({"size": [2, 4], "counts": [1, 2]});
    let objects = json!([
        annotation(&json!({"id": 3, "image_id": 9, "segmentation": mask})),
        annotation(&json!({"id": 4, "image_id": 77})),
        annotation(&json!({"id": 5, "bbox": [90.0, 10.0, 12.0, 10.0]})),
        annotation(&json!({"id": 0})),
    ]);
    write_set(&path, folder.path(), &objects);
    let split = CocoSplit::near(&path);
    let check = DetectionCheck::of_coco(&split, &[]);
    let faults: Vec<&str> = check.faults.iter().map(|fault| &*fault.why).collect();
    for words in ["the mask of annotation 3", "annotation 4 belongs to the picture 77", "annotation 5"] {
        assert!(faults.iter().any(|fault| fault.contains(words)), "{words}: {faults:?}");
    }
    assert_eq!((faults.len(), check.remarks.len(), check.outlined), (3, 1, Some(2)));
    // What is wrong with a picture is not said of each of its objects too.
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("\"width\":100", "\"width\":0")).unwrap();
    let check = DetectionCheck::of_coco(&split, &[]);
    let faults: Vec<&str> = check.faults.iter().map(|fault| &*fault.why).collect();
    assert!(faults.iter().any(|fault| fault.contains("picture 2 has 0 x 50 pixels")), "{faults:?}");
    assert!(!faults.iter().any(|fault| fault.contains("belongs to the picture 2")), "{faults:?}");
    std::fs::write(&path, &whole).unwrap();

    let whole = std::fs::read_to_string(&path).unwrap();
    for (from, to, kind) in [
        ("\"dog\"", "\"cat\"", "lists of classes that cannot be used"),
        ("\"dog\"", "\" \"", "lists of classes that cannot be used"),
        ("nine.jpg", "two.jpg", "files of several pictures"),
        ("\"iscrowd\":0", "\"iscrowd\":1", "sets without an object"),
    ] {
        std::fs::write(&path, whole.replace(from, to)).unwrap();
        let check = DetectionCheck::of_coco(&split, &[]);
        assert!(check.faults.iter().any(|fault| fault.kind == kind), "{kind}: {:?}", check.faults);
    }
    for name in ["nine.jpg", "two.jpg"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    std::fs::write(&path, document(&json!([annotation(&json!({}))]))).unwrap();
    let alone = DetectionCheck::of_coco_file(&split, &[]);
    assert!(alone.faults.is_empty() && alone.pictures_not_found.is_some(), "{:?}", alone.faults);
    assert_eq!(DetectionCheck::of_coco(&split, &[]).faults.len(), 1);
}
