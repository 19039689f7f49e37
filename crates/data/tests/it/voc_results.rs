//! PASCAL VOC's results.

use std::collections::HashMap;

use densesiam_data::detection::{VocResultFault, parse_voc_results, read_voc_results, write_voc_results};
use densesiam_geometry::{Region, Xywh};
use densesiam_metrics::detection::{Detection, Rounding};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn found(picture: usize, class: usize, score: f64, [x0, y0, x1, y1]: [f64; 4]) -> Detection {
    Detection { picture, class, score, bbox: Region { x0, y0, x1, y1 }.into(), mask: None }
}

#[test]
fn lines_are_those_of_detectron2() {
    let folder = tempfile::tempdir().unwrap();
    let detections = [
        found(1, 0, f64::from(0.987_65_f32), [10.26, 20.0, 30.25, 40.75]),
        found(0, 1, 0.062_5, [0.0, 0.0, 1.0, 1.0]),
    ];
    let (pictures, classes) = (names(&["000005", "000007"]), names(&["dog", "cat", "cow"]));
    write_voc_results(folder.path(), &detections, &pictures, &classes, Rounding::Detectron2).unwrap();
    let text = |class: &str| {
        std::fs::read_to_string(folder.path().join(format!("comp4_det_test_{class}.txt"))).unwrap()
    };
    assert_eq!(text("dog"), "000007 0.988 11.3 21.0 30.2 40.8\n");
    assert_eq!(text("cat"), "000005 0.062 1.0 1.0 1.0 1.0\n");
    assert_eq!(text("cow"), "");
    let back = read_voc_results(folder.path(), &pictures, &classes).unwrap();
    assert_eq!(back.len(), 2);
    let dog = back.iter().find(|found| found.class == 0).unwrap();
    assert_eq!((dog.picture, dog.score, dog.bbox.y), (1, 0.988, 20.0));
    assert!((dog.bbox.x - 10.3).abs() < 1e-9 && (dog.bbox.width - 19.9).abs() < 1e-9, "{:?}", dog.bbox);
}

#[test]
fn exact_results_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let detections =
        [found(0, 0, 1.0 / 3.0, [0.5, 1.25, 9.0, 7.75]), found(0, 0, 1e-9, [2.0, 3.0, 4.0, 5.0])];
    let (pictures, classes) = (names(&["a"]), names(&["potted plant"]));
    write_voc_results(folder.path(), &detections, &pictures, &classes, Rounding::Exact).unwrap();
    assert_eq!(read_voc_results(folder.path(), &pictures, &classes).unwrap(), detections);
}

#[test]
fn lines_that_are_none_are_refused_by_their_number() {
    let pictures = HashMap::from([("a", 0), ("b", 1)]);
    let read = |line: &str| parse_voc_results(&format!("a 0.5 1 1 2 2\r\n\n{line}"), 3, &pictures);
    let good = read("b 1e-3 1.5 1 2 2\n").unwrap();
    assert_eq!((good[1].picture, good[1].class, good[1].bbox), (1, 3, Xywh::from([0.5, 0.0, 1.5, 2.0])));
    assert!(matches!(read("b 0.5 1 1 2"), Err(VocResultFault::Words { line: 3, words: 5 })));
    assert!(matches!(read("b 0.5 1 1 2 2 2"), Err(VocResultFault::Words { line: 3, words: 7 })));
    assert!(matches!(read("c 0.5 1 1 2 2"), Err(VocResultFault::UnknownPicture { line: 3, .. })));
    for word in ["nan", "inf", "1e999", "x"] {
        let fault = read(&format!("b {word} 1 1 2 2")).unwrap_err();
        assert_eq!(fault.to_string(), format!("line 3 has {word} where a number belongs"));
    }
}

#[test]
fn folders_without_results_and_other_classes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, classes) = (names(&["a"]), names(&["dog", "cat"]));
    let read = || read_voc_results(folder.path(), &pictures, &classes).map_err(|error| error.to_string());
    assert!(read().unwrap_err().contains("has no file comp4_det_test_CLASS.txt"));
    std::fs::write(folder.path().join("comp4_det_test_dog.txt"), "a 0.5 1 1 2 2").unwrap();
    std::fs::write(folder.path().join("readme.txt"), "no results").unwrap();
    assert_eq!(read().unwrap().len(), 1);
    std::fs::write(folder.path().join("comp4_det_test_cow.txt"), "\n").unwrap();
    assert_eq!(read().unwrap().len(), 1);
    std::fs::write(folder.path().join("comp4_det_test_cow.txt"), "a 0.5 1 1 2 2").unwrap();
    assert!(read().unwrap_err().ends_with("is of a class that the data set does not have; it has dog, cat"));
    std::fs::write(folder.path().join("comp4_det_test_cat.txt"), b"\x1f\x8b\x08\x08abcd").unwrap();
    assert!(read().unwrap_err().contains("it is compressed by gzip"));
    assert!(read_voc_results(&folder.path().join("no"), &pictures, &classes).is_err());
}
