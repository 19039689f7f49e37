//! Labels that can hardly be meant are found before anything is scored on them.

use std::fs;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::labelled::{LabelFinding, LabelProblem, LabelSurvey, LabelledSet};
use tempfile::TempDir;

use crate::files::{write_label, write_picture};

/// Label maps of these values in a folder of these classes.
fn set(classes: &str, maps: &[[u8; 4]]) -> (TempDir, LabelledSet) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("classes.txt"), classes).unwrap();
    for (number, values) in maps.iter().enumerate() {
        write_picture(&folder.path().join(format!("images/{number}.jpg")), (2, 2));
        write_label(&folder.path().join(format!("labels/{number}.png")), (2, 2), values);
    }
    let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
    (folder, set)
}

fn finding(classes: &str, maps: &[[u8; 4]]) -> Option<LabelFinding> {
    let (_folder, set) = set(classes, maps);
    LabelSurvey::of(&set, &DecodeLimits::default()).finding()
}

#[test]
fn masks_of_0_and_255_are_named_with_the_remedy() {
    let found = finding("ground\nobject\n", &[[0, 0, 255, 255], [0, 0, 0, 255]]).unwrap();
    assert_eq!(found.problem, LabelProblem::ZeroAnd255 { class: "ground".into() });
    assert_eq!((&*found.absent, found.void, found.looked_at), (&["object".to_owned()][..], 0.375, [2, 2]));
    let said = found.to_string();
    for words in ["37.5 percent", "ground alone", "without a labelled pixel: object", "write 1 in its place"]
    {
        assert!(said.contains(words), "{said}");
    }
    let found = finding("object\n", &[[0, 255, 255, 255]]).unwrap();
    assert_eq!(found.problem, LabelProblem::ZeroAnd255 { class: "object".into() });
}

#[test]
fn other_labels_that_say_little_are_named() {
    let found = finding("a\nb\nc\n", &[[255; 4]]).unwrap();
    assert_eq!((&found.problem, found.void), (&LabelProblem::AllVoid, 1.0));
    let found = finding("a\nb\nc\n", &[[1; 4], [1, 1, 255, 1]]).unwrap();
    assert_eq!(found.problem, LabelProblem::OneClass { class: "b".into() });
    let found = finding("a\nb\nc\nd\n", &[[0, 2, 255, 2]]).unwrap();
    assert_eq!(
        (&found.problem, &*found.absent),
        (&LabelProblem::Absent, &["b".to_owned(), "d".to_owned()][..])
    );
    assert!(
        found.to_string().contains("25.0 percent of the pixels are void; without a labelled pixel: b, d")
    );
}

#[test]
fn labels_that_are_meant_are_no_finding() {
    assert_eq!(finding("a\nb\n", &[[0, 1, 255, 0]]), None);
    assert_eq!(finding("a\nb\n", &[[0; 4], [1; 4]]), None);
    // Evaluation refuses these, and names the file and the pixel.
    assert_eq!(finding("a\nb\n", &[[0, 9, 0, 0]]), None);
    let (folder, set) = set("a\nb\n", &[[0, 1, 0, 0], [0; 4]]);
    fs::write(folder.path().join("labels/1.png"), b"").unwrap();
    let survey = LabelSurvey::of(&set, &DecodeLimits::default());
    assert_eq!((survey.looked_at, survey.pixels(), survey.finding()), (1, vec![3, 1], None));
}

#[test]
fn once_every_class_was_seen_it_is_enough() {
    let (_folder, all) = set("a\nb\n", &[[0, 1, 0, 0]; 30]);
    assert_eq!(LabelSurvey::of(&all, &DecodeLimits::default()).looked_at, 16);
    let (_folder, one) = set("a\nb\n", &[[0; 4]; 140]);
    let survey = LabelSurvey::of(&one, &DecodeLimits::default());
    assert_eq!((survey.looked_at, survey.finding().unwrap().looked_at), (128, [128, 140]));
    // Of many label maps one that was not looked at may have the rare class.
    assert_eq!(finding("a\nb\nrare\n", &[[0, 1, 1, 1]; 140]), None);
}
