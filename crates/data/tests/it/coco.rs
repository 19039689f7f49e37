//! COCO's ground truth and results, and their scores.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use densesiam_data::detection::{
    Classes, CocoEntry, CocoFault, CocoFile, CocoShape, CocoSplit, ScoreError, parse_coco_results, read_coco,
    score, write_coco_results,
};
use densesiam_geometry::mask::{MaskError, RunLengths};
use densesiam_geometry::{Point, Xywh};
use densesiam_metrics::detection::{CocoScores, Detection, Kind};
use densesiam_random::{Key, Purpose, RngExt};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Two pictures, two categories, and these annotations.
pub(crate) fn document(annotations: &Value) -> Vec<u8> {
    let document = json!({
        "info": {"year": 2017},
        "images": [
            {"id": 9, "file_name": "nine.jpg", "width": 4, "height": 2, "license": 1},
            {"id": 2, "file_name": "two.jpg", "width": 100, "height": 50},
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "animal"}],
    });
    serde_json::to_vec(&document).unwrap()
}

fn read(annotations: &Value) -> Result<CocoFile<f64>, CocoFault> {
    CocoFile::read(&*document(annotations))
}

/// An annotation whose fields are those of an ordinary one, except these.
pub(crate) fn annotation(fields: &Value) -> Value {
    let mut annotation = json!({
        "id": 5, "image_id": 2, "category_id": 7, "iscrowd": 0, "area": 50.0, "bbox": [10.0, 10.0, 10.0, 10.0],
        "segmentation": [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0]],
    });
    for (key, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(annotation.as_object_mut().unwrap().remove(key)),
            value => annotation[key] = value.clone(),
        }
    }
    annotation
}

#[test]
fn pictures_and_categories_are_numbered_by_rising_ids() {
    let file = read(&json!([
        annotation(&json!({"id": 30, "image_id": 9, "category_id": 3})),
        annotation(&json!({"id": 20, "image_id": 2})),
        annotation(&json!({"id": 10, "image_id": 9, "iscrowd": 1})),
    ]))
    .unwrap();
    assert_eq!(file.pictures().iter().map(|picture| picture.id).collect::<Vec<_>>(), [2, 9]);
    assert_eq!(file.categories().iter().map(|category| &*category.name).collect::<Vec<_>>(), ["cat", "dog"]);
    let ids = |picture| file.objects_of(picture).iter().map(|object| object.id).collect::<Vec<_>>();
    assert_eq!([ids(0), ids(1)], [vec![20], vec![30, 10]], "the order of the file");
    let object = &file.objects()[1];
    assert_eq!((object.class, object.crowd, file.objects()[2].crowd), (0, false, true));
    assert_eq!(file.size(1), [2, 4]);
    assert_eq!((file.picture(9), file.picture(3), file.class(7)), (Some(1), None, Some(1)));
}

#[test]
fn outlines_come_in_three_forms() {
    let file = read(&json!([
        annotation(&json!({"id": 1})),
        annotation(&json!({"id": 2, "image_id": 9, "segmentation": {"size": [2, 4], "counts": [1, 2, 5]}})),
        annotation(&json!({"id": 3, "image_id": 9, "segmentation": {"size": [2, 4], "counts": "125"}})),
        annotation(&json!({"id": 4, "segmentation": null})),
        annotation(&json!({"id": 5, "segmentation": []})),
    ]))
    .unwrap();
    let of = |id| file.objects().iter().find(|object| object.id == id).unwrap();
    let Some(CocoShape::Polygons(polygons)) = file.shape(of(1)) else { panic!("polygons") };
    assert_eq!(polygons, [&[10.0, 10.0, 20.0, 10.0, 20.0, 20.0]]);
    let vertices = [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0)].map(|(x, y)| Point { x, y });
    assert_eq!(file.mask(of(1)).unwrap(), RunLengths::from_polygon(vertices, [50, 100]));
    assert_eq!(file.mask(of(2)).unwrap(), file.mask(of(3)).unwrap());
    assert_eq!(file.mask(of(2)).unwrap().counts(), [1, 2, 5]);
    assert!(file.shape(of(4)).is_none() && file.shape(of(5)).is_none());
    assert!(matches!(file.truths(Kind::Masks), Err(CocoFault::NoMask { entry: CocoEntry::Annotation(4) })));
    assert_eq!(file.truths(Kind::Boxes).unwrap().len(), 5);
}

#[test]
fn boxes_and_areas_that_are_missing_are_those_of_the_mask() {
    let mask = json!({"size": [2, 4], "counts": [1, 2, 5]});
    let file = read(&json!([
        annotation(&json!({"image_id": 9, "segmentation": mask, "bbox": null, "area": null})),
        annotation(&json!({"segmentation": null, "area": null})),
    ]))
    .unwrap();
    let [of_box, of_mask] = file.objects() else { panic!("two objects") };
    assert_eq!((of_mask.bbox, of_mask.area), (Xywh::from([0.0, 0.0, 2.0, 2.0]), 2.0));
    assert_eq!(of_box.area, 100.0);
    let neither = read(&json!([annotation(&json!({"segmentation": null, "bbox": null}))]));
    assert!(matches!(neither, Err(CocoFault::NoBox { entry: CocoEntry::Annotation(5) })));
}

#[test]
fn what_is_odd_is_counted() {
    let file = read(&json!([
        annotation(&json!({"id": 4, "category_id": 1})),
        annotation(&json!({"id": 5, "bbox": [90.0, 10.0, 12.0, 10.0]})),
        annotation(&json!({"id": 5, "bbox": [10.0, 10.0, 0.0, 10.0]})),
        annotation(
            &json!({"id": 6, "segmentation": [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 4.0]]})
        ),
        annotation(&json!({"id": 7, "segmentation": [[101.0, 1.0, 120.0, 1.0, 120.0, 9.0]]})),
    ]))
    .unwrap();
    let found = file.findings().all().map(|(_, ids)| ids);
    assert_eq!(found, [&[5][..], &[4], &[5], &[5], &[6, 6], &[7]]);
    assert_eq!(file.objects().len(), 4);
    assert_eq!(file.mask(&file.objects()[2]).unwrap().area(), 0, "all of its polygons are left out");
}

#[test]
fn single_precision_changes_outlines_by_less_than_a_pixel() {
    let exact = annotation(&json!({"segmentation": [[10.3, 10.1, 20.7, 10.1, 20.9, 20.7]]}));
    let bytes = document(&json!([exact]));
    let file = CocoFile::<f32>::read(&*bytes).unwrap();
    let Some(CocoShape::Polygons(polygons)) = file.shape(&file.objects()[0]) else { panic!("polygons") };
    assert_eq!(polygons, [&[10.3_f32, 10.1, 20.7, 10.1, 20.9, 20.7]]);
}

#[test]
fn damaged_ground_truth_is_refused_by_its_annotation() {
    let refused = |fields: &Value| read(&json!([annotation(fields)])).unwrap_err();
    let entry = CocoEntry::Annotation(5);
    let fault = refused(&json!({"image_id": 9, "segmentation": {"size": [2, 4], "counts": [1, 2, 4]}}));
    let CocoFault::Mask { entry: found, source: MaskError::Sum { counted: 7, .. } } = fault else {
        panic!("{fault}")
    };
    assert_eq!(found, entry);
    let fault = refused(&json!({"image_id": 9, "segmentation": {"size": [2, 4], "counts": [1, -2, 9]}}));
    assert!(
        matches!(fault, CocoFault::Mask { source: MaskError::Length { run: 1, length: -2 }, .. }),
        "{fault}"
    );
    let fault = refused(&json!({"image_id": 9, "segmentation": {"size": [2, 4], "counts": "1 5"}}));
    assert_eq!(
        fault.to_string(),
        "the mask of annotation 5 is damaged: letter 1 of the run lengths is byte 32, outside 48 to 111"
    );
    let fault = refused(&json!({"segmentation": {"size": [2, 4], "counts": [8]}}));
    assert!(matches!(fault, CocoFault::MaskSize { mask: [2, 4], picture: [50, 100], .. }), "{fault}");
    let fault = refused(&json!({"image_id": 1}));
    assert!(matches!(fault, CocoFault::UnknownPicture { picture: 1, .. }), "{fault}");
    let fault = refused(&json!({"segmentation": [["a"]]}));
    assert!(
        fault.to_string().contains("entry 0 (counted from 0) of its annotations: invalid type: string"),
        "{fault}"
    );
}

#[test]
fn documents_that_are_none_are_refused() {
    let refused = |text: &str| CocoFile::<f32>::read(text.as_bytes()).unwrap_err().to_string();
    assert!(refused("[]").contains("expected an object with the lists images, annotations and categories"));
    assert!(refused("{}").starts_with("has no list \"images\""));
    assert_eq!(refused(""), "is empty; download or write it again");
    assert!(
        refused("<html>").ends_with("; open it in an editor: it may be a web page"),
        "{}",
        refused("<html>")
    );
    assert!(refused("\u{1f}\u{8b}\u{8}").contains("expected value"), "{}", refused("\u{1f}\u{8b}\u{8}"));
    let gzip = CocoFile::<f32>::read(&b"\x1f\x8b\x08\x08abcd"[..]).unwrap_err();
    assert_eq!(gzip.to_string(), "is no JSON: it is compressed by gzip");
    let twice = r#"{"images": [], "images": []}"#;
    assert!(refused(twice).contains("the list images is there twice"));
    let same = r#"{"images": [{"id": 1, "width": 1, "height": 1}, {"id": 1, "width": 1, "height": 1}],
        "annotations": [], "categories": []}"#;
    assert_eq!(refused(same), "has the picture 1 twice; ids must be unique");
    let wide = r#"{"images": [{"id": 1, "width": 65536, "height": 1}], "annotations": [], "categories": []}"#;
    assert!(refused(wide).starts_with("picture 1 has 65536 x 1 pixels"));
    assert!(
        CocoFile::<f32>::read(&b"\xef\xbb\xbf{\"images\":[],\"annotations\":[],\"categories\":[]}"[..])
            .is_ok()
    );
    let whole = document(&json!([annotation(&json!({})), annotation(&json!({"id": 6}))]));
    for length in 0..whole.len() {
        assert!(CocoFile::<f32>::read(&whole[..length]).is_err(), "{length} bytes");
    }
    let text = String::from_utf8(whole).unwrap();
    let second = text.rfind("\"area\"").unwrap();
    assert_eq!(
        refused(&text[..second]),
        "ends in entry 1 (counted from 0) of its annotations, before its last bracket; download or write it again"
    );
}

#[test]
fn outlines_without_measure_are_refused() {
    let zigzag: Vec<f64> =
        (0..200).flat_map(|vertex| [f64::from(vertex % 2) * 65535.0, f64::from(vertex)]).collect();
    let document = json!({
        "images": [{"id": 1, "width": 65535, "height": 200}],
        "annotations": [annotation(&json!({"image_id": 1, "segmentation": [zigzag]}))],
        "categories": [{"id": 7}],
    });
    let file = CocoFile::<f32>::read(&*serde_json::to_vec(&document).unwrap()).unwrap();
    let fault = file.truths(Kind::Masks).unwrap_err();
    assert!(matches!(fault, CocoFault::Intricate { entry: CocoEntry::Annotation(5) }), "{fault}");
}

fn results(text: &str, kind: Kind) -> Result<Vec<Detection>, CocoFault> {
    parse_coco_results(text.as_bytes(), &read(&json!([annotation(&json!({}))])).unwrap(), kind)
}

#[test]
fn results_hold_boxes_or_masks() {
    let text = r#"[
        {"image_id": 9, "category_id": 3, "bbox": [0.5, 0, 2, 1], "score": 0.25, "segmentation": {"size": [1, 1]}},
        {"image_id": 9, "category_id": 7, "segmentation": {"size": [2, 4], "counts": "125"}, "score": 1}
    ]"#;
    let error = results(text, Kind::Boxes).unwrap_err().to_string();
    assert!(error.contains("entry 0 (counted from 0) of its detections: missing field `counts`"), "{error}");
    let text = text.replace(r#"{"size": [1, 1]}"#, r#"{"size": [1, 1], "counts": ""}"#);
    let boxes = results(&text, Kind::Boxes).unwrap();
    assert_eq!((boxes[0].picture, boxes[0].class, boxes[0].score), (1, 0, 0.25));
    assert_eq!(boxes[0].bbox, Xywh::from([0.5, 0.0, 2.0, 1.0]), "its mask is not looked at");
    assert_eq!((boxes[1].bbox, &boxes[1].mask), (Xywh::from([0.0, 0.0, 2.0, 2.0]), &None));
    let fault = results(&text, Kind::Masks).unwrap_err();
    assert!(matches!(fault, CocoFault::MaskSize { entry: CocoEntry::Position(0), .. }), "{fault}");
}

#[test]
fn results_that_cannot_be_scored_are_refused_by_their_position() {
    let refused = |fields: &str| {
        let good = r#"{"image_id": 2, "category_id": 7, "score": 0.5, "bbox": [1, 1, 2, 2]}"#;
        results(&format!("[{good}, {fields}]"), Kind::Boxes).unwrap_err().to_string()
    };
    let picture = refused(r#"{"image_id": 1, "category_id": 7, "score": 0.5, "bbox": [1, 1, 2, 2]}"#);
    assert!(picture.starts_with("entry 1 (counted from 0) belongs to the picture 1"), "{picture}");
    let category = refused(r#"{"image_id": 2, "category_id": 0, "score": 0.5, "bbox": [1, 1, 2, 2]}"#);
    assert!(category.starts_with("entry 1 (counted from 0) is of the category 0"), "{category}");
    let score = refused(r#"{"image_id": 2, "category_id": 7, "bbox": [1, 1, 2, 2]}"#);
    assert!(score.starts_with("entry 1 (counted from 0) has no score"), "{score}");
    let nan = refused(r#"{"image_id": 2, "category_id": 7, "score": NaN, "bbox": [1, 1, 2, 2]}"#);
    assert!(
        nan.contains("entry 1 (counted from 0) of its detections") && nan.ends_with("no NaN and no Infinity"),
        "{nan}"
    );
    let large = refused(r#"{"image_id": 2, "category_id": 7, "score": 1e999, "bbox": [1, 1, 2, 2]}"#);
    assert!(large.contains("number out of range"), "{large}");
    let nothing = refused(r#"{"image_id": 2, "category_id": 7, "score": 0.5}"#);
    assert!(nothing.contains("has neither a box"), "{nothing}");
    let masks =
        results(r#"[{"image_id": 2, "category_id": 7, "score": 0.5, "bbox": [1, 1, 2, 2]}]"#, Kind::Masks);
    assert!(matches!(masks, Err(CocoFault::NoMask { entry: CocoEntry::Position(0) })));
    let truth = results(std::str::from_utf8(&document(&json!([]))).unwrap(), Kind::Boxes).unwrap_err();
    assert!(truth.to_string().contains("expected a list"), "{truth}");
}

#[test]
fn results_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let file = read(&json!([])).unwrap();
    let bits = [false, true, true, false, false, true, true, false];
    let mask = Some(RunLengths::from_bits([2, 4], &bits));
    let detection = |score| Detection {
        picture: 1,
        class: 1,
        score,
        bbox: Xywh::from([0.1, f64::from(0.2_f32), 1.0 / 3.0, 7.0]),
        mask: mask.clone(),
    };
    for detections in [vec![], vec![detection(0.1)], vec![detection(1.0 / 3.0), detection(1e-12)]] {
        write_coco_results(&path, &detections, &[2, 9], &[3, 7]).unwrap();
        let back = parse_coco_results(&*std::fs::read(&path).unwrap(), &file, Kind::Masks).unwrap();
        assert_eq!(back, detections);
    }
    assert!(write_coco_results(&folder.path().join("no/results.json"), &[], &[], &[]).is_err());
}

#[test]
fn the_file_at_fault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [truth, found] = ["truth.json", "found.json"].map(|name| folder.path().join(name));
    std::fs::write(&truth, document(&json!([annotation(&json!({}))]))).unwrap();
    let missing = score(&truth, &found, Kind::Boxes).unwrap_err().to_string();
    assert!(missing.contains("found.json: cannot be read"), "{missing}");
    std::fs::write(&found, r#"[{"image_id": 2, "category_id": 7, "score": 1, "bbox": [10, 10, 10, 10]}]"#)
        .unwrap();
    let scored = score(&truth, &found, Kind::Boxes).unwrap();
    assert!(scored.scores.figures()[0].1.unwrap() > 0.999);
    assert_eq!((scored.pictures, scored.objects, scored.detections), (2, 1, 1));
    assert_eq!(scored.classes, ["cat", "dog"]);
    let swapped = score(&found, &truth, Kind::Boxes).unwrap_err();
    assert!(matches!(&swapped, ScoreError::File(error) if error.path == found), "{swapped}");
    std::fs::write(&found, "[").unwrap();
    File::options().write(true).open(&found).unwrap().set_len(1 << 40).unwrap();
    let large = score(&truth, &found, Kind::Boxes).unwrap_err().to_string();
    assert!(large.contains("has 1099511627776 bytes, more than"), "{large}");
}

#[test]
fn parity_coco_figures() {
    for path in densesiam_fixtures::family("coco-eval") {
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings = header.metadata().clone().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let written = ["ground_truth", "detections"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, &settings[name]).unwrap();
            path
        });
        for (kind, prefix) in [(Kind::Boxes, "bbox"), (Kind::Masks, "segm")] {
            let scored = score(&written[0], &written[1], kind).unwrap();
            assert_scores(&file, prefix, &scored.scores, &path);
        }
    }
}

fn assert_scores(file: &SafeTensors, prefix: &str, scores: &CocoScores, path: &Path) {
    let agrees = |key: &str, got: Vec<Option<f64>>| {
        let name = format!("{}: {prefix}.{key}", path.display());
        let tensor =
            file.tensor(&format!("{prefix}.{key}")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected: Vec<f64> = tensor
            .data()
            .chunks_exact(8)
            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(got.len(), expected.len(), "{name}");
        for (place, (got, expected)) in got.into_iter().zip(expected).enumerate() {
            // pycocotools writes -1 where there is nothing to score.
            let got = got.unwrap_or(-1.0);
            assert!((got - expected).abs() <= 1e-12, "{name}: place {place} is {got}, not {expected}");
        }
    };
    let classes = scores.class_ap.len();
    agrees("stats", scores.figures().iter().map(|figure| figure.1).collect());
    agrees("category_ap", scores.class_ap.clone());
    agrees("category_ap50", scores.class_ap50.clone());
    let precision =
        |place: usize| scores.precision(place / classes / 101, place / classes % 101, place % classes);
    agrees("precision", (0..10 * 101 * classes).map(precision).collect());
    let recall = |place: usize| {
        let (threshold, class) = (place / 12 / classes, place / 12 % classes);
        scores.recall(threshold, class, place / 3 % 4, place % 3)
    };
    agrees("recall", (0..10 * classes * 12).map(recall).collect());
}

/// A made-up evaluation of the size of COCO's validation: 5,000 pictures, 80 categories, 36,000 objects, 100 detections a
/// picture. The files stay in the folder that `DENSESIAM_MADE_UP` names, for other programs to score.
#[test]
#[ignore = "takes minutes; run it with --ignored --nocapture to see the seconds"]
#[expect(clippy::print_stderr, reason = "the seconds are what it is run for")]
fn five_thousand_pictures() {
    let own = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DENSESIAM_MADE_UP").map_or(own.path().to_path_buf(), Into::into);
    let [truth, found] = ["truth.json", "found.json"].map(|name| folder.join(name));
    let (document, detections) = made_up(5000);
    std::fs::write(&truth, serde_json::to_vec(&document).unwrap()).unwrap();
    let ids: Vec<u64> = (0..5000).collect();
    write_coco_results(&found, &detections, &ids, &ids[..80]).unwrap();
    for kind in [Kind::Boxes, Kind::Masks] {
        let start = Instant::now();
        let file = CocoFile::<f64>::open(&truth).unwrap();
        let read_truth = start.elapsed();
        drop(file);
        let start = Instant::now();
        let scored = score(&truth, &found, kind).unwrap();
        eprintln!("{kind:?}: {:?}, of it {read_truth:?} for the ground truth", start.elapsed());
        eprintln!("{:?}", scored.scores.figures());
    }
}

/// A made-up file of the size of COCO's training annotations: 118,287 pictures and 860,000 polygons in some 440 MB.
#[test]
#[ignore = "takes a minute; run it with --ignored --nocapture to see the seconds and the memory"]
#[expect(clippy::print_stderr, reason = "these are what it is run for")]
fn a_file_of_hundreds_of_megabytes() {
    const PICTURES: u64 = 118_287;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instances.json");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let mut write = |text: &str| file.write_all(text.as_bytes()).unwrap();
    write("{\"images\":[");
    for picture in 0..PICTURES {
        let comma = if picture == 0 { "" } else { "," };
        write(&format!(
            "{comma}{{\"license\": 3,\"file_name\": \"{picture:012}.jpg\",\"height\": 480,\"width\": 640,\"id\": {picture}}}"
        ));
        std::fs::write(folder.path().join(format!("{picture:012}.jpg")), b"").unwrap();
    }
    write("],\"categories\":[");
    let categories =
        (1..=80).map(|id| json!({"supercategory": "any", "id": id, "name": format!("c{id}")}).to_string());
    write(&categories.collect::<Vec<_>>().join(","));
    write("],\"annotations\":[");
    let mut id = 0_u64;
    for picture in 0..PICTURES {
        let mut numbers = Key::new(4, Purpose::Demo).sample(picture).rng();
        for _ in 0..numbers.random_range(0..15) {
            id += 1;
            let [x, y, side] = [400.0, 300.0, 150.0].map(|end: f64| numbers.random_range(8.0..end));
            let corners = (0..2 * numbers.random_range(6..46)).map(|place| {
                let from = if place % 2 == 0 { x } else { y };
                format!("{:.2}", numbers.random_range(from..from + side))
            });
            let comma = if id == 1 { "" } else { "," };
            write(&format!(
                "{comma}{{\"segmentation\": [[{}]],\"area\": {:.5},\"iscrowd\": 0,\"image_id\": {picture},\
                 \"bbox\": [{x:.2},{y:.2},{side:.2},{side:.2}],\"category_id\": {},\"id\": {id}}}",
                corners.collect::<Vec<_>>().join(","),
                side * side / 2.0,
                id % 80 + 1,
            ));
        }
    }
    write("]}");
    file.into_inner().unwrap();
    let megabytes = std::fs::metadata(&path).unwrap().len() / 1_000_000;
    let before = peak_megabytes();
    let start = Instant::now();
    let set = read_coco(&CocoSplit::of(&path, folder.path()), &Classes::Found).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(set.len() as u64, PICTURES);
    eprintln!(
        "{megabytes} MB, {id} objects: {seconds:.1} s, peak {} MB (before: {before})",
        peak_megabytes()
    );
}

/// The most memory that the process has held, in megabytes.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn made_up(pictures: u64) -> (Value, Vec<Detection>) {
    const SIZE: [u32; 2] = [480, 640];
    let (mut annotations, mut detections) = (Vec::new(), Vec::new());
    for picture in 0..pictures {
        let mut numbers = Key::new(3, Purpose::Demo).sample(picture).rng();
        let mut objects = Vec::new();
        for _ in 0..7 {
            let side: f64 = numbers.random_range(8.0..200.0);
            let [x, y] = [640.0, 480.0].map(|end: f64| numbers.random_range(0.0..end - side));
            objects.push((numbers.random_range(0..80_usize), Xywh::from([x, y, side, side])));
        }
        for (number, (class, bbox)) in objects.iter().enumerate() {
            let outline: Vec<f64> = ellipse(*bbox).flat_map(|point| [point.x, point.y]).collect();
            annotations.push(json!({
                "id": picture * 7 + number as u64 + 1, "image_id": picture, "category_id": class,
                "iscrowd": 0, "area": bbox.area() * 0.78, "bbox": <[f64; 4]>::from(*bbox), "segmentation": [outline],
            }));
        }
        for number in 0..100 {
            let (class, near) = objects[number % objects.len()];
            let class = if number % 3 == 0 { numbers.random_range(0..80) } else { class };
            let moved = |by: f64, numbers: &mut _| by + RngExt::random_range(numbers, -6.0..6.0);
            let bbox = Xywh { x: moved(near.x, &mut numbers), y: moved(near.y, &mut numbers), ..near };
            let mask = Some(RunLengths::from_polygon(ellipse(bbox), SIZE));
            let score = numbers.random_range(0.05..1.0);
            detections.push(Detection { picture: picture as usize, class, score, bbox, mask });
        }
    }
    let images: Vec<_> =
        (0..pictures).map(|id| json!({"id": id, "width": SIZE[1], "height": SIZE[0]})).collect();
    let categories: Vec<_> = (0..80).map(|id| json!({"id": id, "name": format!("class {id}")})).collect();
    (json!({"images": images, "annotations": annotations, "categories": categories}), detections)
}

fn ellipse(bbox: Xywh) -> impl Iterator<Item = Point> {
    (0..24).map(move |vertex| {
        let (sine, cosine) = (f64::from(vertex) / 24.0 * std::f64::consts::TAU).sin_cos();
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        Point {
            x: hundredths(bbox.x + bbox.width * (0.5 + 0.5 * cosine)),
            y: hundredths(bbox.y + bbox.height * (0.5 + 0.5 * sine)),
        }
    })
}

#[test]
fn detected_boxes_are_looked_at() {
    let file = read(&json!([annotation(&json!({}))])).unwrap();
    let found = |bbox: [f64; 4]| {
        let list = json!([{"image_id": 2, "category_id": 7, "bbox": bbox, "score": 0.5}]);
        parse_coco_results(&*serde_json::to_vec(&list).unwrap(), &file, Kind::Boxes)
    };
    let turned = found([20.0, 10.0, -10.0, 10.0]).unwrap_err().to_string();
    assert!(turned.contains("is -10 wide and 10 high; a box is [x, y, width, height]"), "{turned}");
    assert!(found([20.0, 10.0, -1e-7, 10.0]).is_ok(), "rounding");

    let folder = tempfile::tempdir().unwrap();
    let [truth, results] = ["truth.json", "results.json"].map(|name| folder.path().join(name));
    std::fs::write(&truth, document(&json!([annotation(&json!({}))]))).unwrap();
    let corners = json!([
        {"image_id": 2, "category_id": 7, "bbox": [60.0, 10.0, 80.0, 20.0], "score": 0.5},
        {"image_id": 2, "category_id": 7, "bbox": [60.0, 10.0, 20.0, 10.0], "score": 0.5},
    ]);
    std::fs::write(&results, corners.to_string()).unwrap();
    assert_eq!(score(&truth, &results, Kind::Boxes).unwrap().outside, 1);
}

#[test]
fn whole_numbers_may_be_written_as_fractions_and_flags() {
    let file = read(&json!([annotation(&json!({"id": 5.0, "image_id": 9.0, "iscrowd": true}))])).unwrap();
    assert_eq!((file.objects()[0].id, file.objects()[0].crowd), (5, true));
    for id in [json!(0.5), json!(-1), json!("5")] {
        let said = read(&json!([annotation(&json!({"id": id}))])).unwrap_err().to_string();
        assert!(said.contains("in entry 0 (counted from 0) of its annotations: invalid"), "{said}");
    }
}
