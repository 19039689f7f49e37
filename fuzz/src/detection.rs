//! Ground truth of detection, and what models found.

use std::collections::HashMap;

use densesiam_data::detection::{CocoFile, parse_coco_results, parse_voc_results};
use densesiam_fixtures::fuzz::Target;
use densesiam_metrics::detection::Kind;

/// COCO's ground truth, and the masks of its objects if the pictures are small.
pub const COCO: Target = Target {
    name: "coco",
    read: read_coco,
    // The outline of one object may pass a million columns of pixels.
    most_memory: |bytes| (32 << 20) + 64 * bytes,
};

/// Detections: COCO's results for two pictures, or a class file of PASCAL VOC.
pub const RESULTS: Target =
    Target { name: "results", read: read_results, most_memory: |bytes| (64 << 10) + 64 * bytes };

/// What is sound is read to the same objects whether faults end the reading or not.
fn read_coco(bytes: &[u8]) {
    let strict = CocoFile::<f32>::read(bytes);
    let objects = strict.as_ref().ok().map(|file| file.objects().len());
    drop(strict.map_err(|error| error.to_string()));
    match CocoFile::<f32>::read_without_faulty(bytes) {
        Ok((file, faults)) => {
            assert_eq!(objects.is_some(), faults.is_empty());
            assert!(objects.is_none_or(|objects| objects == file.objects().len()));
            drop(faults.iter().map(ToString::to_string).collect::<Vec<_>>());
            look_at(&file);
        }
        Err(error) => {
            assert!(objects.is_none());
            drop(error.to_string());
        }
    }
}

fn look_at(file: &CocoFile<f32>) {
    let objects = (0..file.pictures().len()).map(|picture| file.objects_of(picture).len());
    assert_eq!(objects.sum::<usize>(), file.objects().len());
    assert!(file.objects().iter().all(|object| object.class < file.categories().len()));
    for object in file.objects() {
        if file.size(object.picture).into_iter().all(|side| side <= 256)
            && let Ok(mask) = file.mask(object)
        {
            let pixels = file.size(object.picture).into_iter().product::<u32>();
            assert_eq!(mask.counts().iter().sum::<u32>(), pixels);
            assert!(mask.iou(&mask, object.crowd).unwrap() <= 1.0);
        }
    }
}

fn read_results(bytes: &[u8]) {
    let truth = r#"{
        "images": [{"id": 1, "width": 4, "height": 2}, {"id": 2, "width": 100, "height": 50}],
        "annotations": [], "categories": [{"id": 1}, {"id": 3}]
    }"#;
    let truth = CocoFile::<f64>::read(truth.as_bytes()).unwrap();
    for kind in [Kind::Boxes, Kind::Masks] {
        match parse_coco_results(bytes, &truth, kind) {
            Ok(detections) => {
                for found in &detections {
                    assert!(found.picture < 2 && found.class < 2 && found.score.is_finite());
                    assert_eq!(found.mask.is_some(), kind == Kind::Masks);
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
    let pictures = HashMap::from([("000001", 0), ("a", 1)]);
    match parse_voc_results(&String::from_utf8_lossy(bytes), 0, &pictures) {
        Ok(detections) => {
            assert!(detections.iter().all(|found| found.score.is_finite() && found.picture < 2));
        }
        Err(error) => drop(error.to_string()),
    }
}
