//! The test vectors `voc-eval-*`, which hold what detectron2 computes. Those of COCO are read through its files, by the
//! tests of the crate `densesiam-data`.

use std::collections::HashMap;

use densesiam_geometry::{Region, Xywh};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::{Detection, Rounding, Truth, VocEvaluator, VocRule, VocScores};

#[derive(Deserialize)]
struct Object {
    name: String,
    /// First and last pixel, from 1: x, y, x, y.
    bbox: [f64; 4],
    difficult: u8,
}

fn numbers<const N: usize, T>(file: &SafeTensors, key: &str, number: fn([u8; N]) -> T) -> Vec<T> {
    let tensor = file.tensor(key).unwrap_or_else(|error| panic!("{key}: {error}"));
    tensor.data().chunks_exact(N).map(|chunk| number(chunk.try_into().unwrap())).collect()
}

fn truths(settings: &HashMap<String, String>, classes: &[String], pictures: &[String]) -> Vec<Truth> {
    let objects: HashMap<String, Vec<Object>> = serde_json::from_str(&settings["ground_truth"]).unwrap();
    let truth = |picture: usize, object: &Object| {
        let [x0, y0, x1, y1] = object.bbox;
        let bbox = Xywh::from(Region { x0: x0 - 1.0, y0: y0 - 1.0, x1, y1 });
        let class = classes.iter().position(|class| *class == object.name).unwrap();
        let difficult = object.difficult != 0;
        Truth { picture, class, bbox, mask: None, area: bbox.area(), crowd: false, difficult }
    };
    let of_picture = |(picture, name): (usize, &String)| {
        objects.get(name).into_iter().flatten().map(|object| truth(picture, object)).collect::<Vec<_>>()
    };
    pictures.iter().enumerate().flat_map(of_picture).collect()
}

fn detections(file: &SafeTensors) -> Vec<Detection> {
    let (boxes, scores) =
        (numbers(file, "boxes", f32::from_le_bytes), numbers(file, "scores", f32::from_le_bytes));
    let (classes, pictures) =
        (numbers(file, "classes", i64::from_le_bytes), numbers(file, "pictures", i64::from_le_bytes));
    let detection = |index: usize| {
        let [x0, y0, x1, y1] = std::array::from_fn(|side| f64::from(boxes[4 * index + side]));
        Detection {
            picture: pictures[index] as usize,
            class: classes[index] as usize,
            score: scores[index].into(),
            bbox: Region { x0, y0, x1, y1 }.into(),
            mask: None,
        }
    };
    (0..scores.len()).map(detection).collect()
}

fn assert_agrees(name: &str, got: Option<f64>, expected: f64) {
    let got = got.unwrap_or(f64::NAN);
    let agree = (got - expected).abs() <= 1e-9 || (got.is_nan() && expected.is_nan());
    assert!(agree, "{name}: {got}, not {expected}");
}

#[test]
fn parity_voc_figures() {
    for path in densesiam_fixtures::family("voc-eval") {
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings = header.metadata().clone().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let names = |key: &str| serde_json::from_str::<Vec<String>>(&settings[key]).unwrap();
        let classes = names("classes");
        let truths = truths(&settings, &classes, &names("picture_names"));
        let detections = detections(&file);
        for (rounding, mode) in [(Rounding::Detectron2, "rounded"), (Rounding::Exact, "exact")] {
            for (rule, year) in [(VocRule::ElevenPoint, "2007"), (VocRule::Area, "2012")] {
                let mut evaluator = VocEvaluator::new(classes.len(), rule, rounding);
                evaluator.update(&truths, &detections).unwrap();
                assert_scores(
                    &file,
                    &format!("{mode}.{year}"),
                    &evaluator.finish(),
                    &path.display().to_string(),
                );
            }
        }
    }
}

fn assert_scores(file: &SafeTensors, prefix: &str, scores: &VocScores, name: &str) {
    let expected = numbers(file, &format!("{prefix}.class_ap"), f64::from_le_bytes);
    for (place, (got, expected)) in scores.class_ap.iter().flatten().zip(expected).enumerate() {
        assert_agrees(&format!("{name}: {prefix}.class_ap, place {place}"), *got, expected);
    }
    let expected = numbers(file, &format!("{prefix}.metrics"), f64::from_le_bytes);
    for ((figure, got), expected) in scores.figures().into_iter().zip(expected) {
        assert_agrees(&format!("{name}: {prefix}, {figure}"), got.map(|share| 100.0 * share), expected);
    }
}
