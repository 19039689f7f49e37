//! Repeats the released evaluation, step by step, on the test vectors `evaluate-*`, and mmsegmentation's on `fcn-*` (see
//! `fixtures/FIXTURES.md`).

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::{ClassScores, ConfusionMatrix, Matching, MeanScores, SegmentationScores};

/// One file: logits, labels and the results of the released code.
struct Fixture {
    name: String,
    classes: usize,
    things: usize,
    /// `[n, classes, h, w]`.
    logits: Vec<f32>,
    logits_shape: Vec<usize>,
    /// `[n, height, width]`, -1 is void.
    labels: Vec<i16>,
    labels_shape: Vec<usize>,
    confusion: Vec<u64>,
    cluster_of_class: Vec<i64>,
    metrics: HashMap<String, String>,
}

fn fixtures() -> Vec<Fixture> {
    densesiam_fixtures::family("evaluate").iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Fixture {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let metrics = header.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let tensor = |key: &str, dtype| {
        let tensor = file.tensor(key).unwrap_or_else(|error| panic!("{name}: {key}: {error}"));
        assert_eq!(tensor.dtype(), dtype, "{name}: {key}");
        tensor
    };
    let (logits, labels) = (tensor("logits", Dtype::F32), tensor("labels", Dtype::I16));
    let confusion = numbers(tensor("confusion", Dtype::F64).data(), f64::from_le_bytes);
    Fixture {
        classes: metrics["num_classes"].parse().unwrap(),
        things: metrics["num_things"].parse().unwrap(),
        logits: numbers(logits.data(), f32::from_le_bytes),
        logits_shape: logits.shape().to_vec(),
        labels: numbers(labels.data(), i16::from_le_bytes),
        labels_shape: labels.shape().to_vec(),
        confusion: confusion.into_iter().map(|count| count as u64).collect(),
        cluster_of_class: numbers(tensor("assignment", Dtype::I64).data(), i64::from_le_bytes),
        metrics,
        name,
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| number(chunk.try_into().unwrap())).collect()
}

/// Where output cell `index` samples, as in PyTorch's bilinear interpolation with `align_corners = false`: the two
/// input cells and the weight of the second.
fn taps(index: usize, input: usize, output: usize) -> (usize, usize, f32) {
    let source = (input as f32 / output as f32 * (index as f32 + 0.5) - 0.5).max(0.0);
    let low = source as usize;
    (low, (low + 1).min(input - 1), source - low as f32)
}

impl Fixture {
    /// The argmax over the logits upsampled to the labels, `[n, height, width]`.
    fn clusters(&self) -> Vec<i64> {
        let [n, height, width] = self.labels_shape[..] else { panic!("{}: labels", self.name) };
        let pixels = (0..n).flat_map(|n| (0..height).flat_map(move |y| (0..width).map(move |x| (n, y, x))));
        pixels.map(|(n, y, x)| self.cluster_at(n, y, x)).collect()
    }

    fn cluster_at(&self, n: usize, y: usize, x: usize) -> i64 {
        let [_, classes, h, w] = self.logits_shape[..] else { panic!("{}: logits", self.name) };
        let (y0, y1, v) = taps(y, h, self.labels_shape[1]);
        let (x0, x1, u) = taps(x, w, self.labels_shape[2]);
        let logit = |class: usize| {
            let row = |y: usize| {
                let at = |x: usize| self.logits[((n * classes + class) * h + y) * w + x];
                (1.0 - u) * at(x0) + u * at(x1)
            };
            (1.0 - v) * row(y0) + v * row(y1)
        };
        // The first of equal elements, as torch.argmax returns; `max_by` returns the last.
        (0..classes).rev().max_by(|&a, &b| logit(a).total_cmp(&logit(b))).unwrap() as i64
    }

    /// The confusion matrix as the released code sums it: batch by batch.
    fn matrix(&self) -> ConfusionMatrix {
        let picture = self.labels_shape[1] * self.labels_shape[2];
        let mut sum = ConfusionMatrix::new(self.classes, self.classes, -1);
        for (labels, clusters) in self.labels.chunks(picture).zip(self.clusters().chunks(picture)) {
            let mut batch = ConfusionMatrix::new(self.classes, self.classes, -1);
            batch.update(labels, clusters).unwrap();
            sum.merge(&batch).unwrap();
        }
        sum
    }

    fn assert_means(&self, suffix: &str, means: MeanScores) {
        for (key, got) in [("mIoU", means.miou), ("aAcc", means.aacc), ("mAcc", means.macc)] {
            let expected: f64 = self.metrics[&format!("{key}{suffix}")].parse().unwrap();
            let got = got.map_or(f64::NAN, |fraction| 100.0 * fraction);
            let agree = (got - expected).abs() <= 1e-6 || (got.is_nan() && expected.is_nan());
            assert!(agree, "{}: {key}{suffix} is {got}, not {expected}", self.name);
        }
    }
}

#[test]
fn parity_evaluate_confusion() {
    for fixture in fixtures() {
        assert_eq!(fixture.matrix().counts(), fixture.confusion, "{}", fixture.name);
    }
}

#[test]
fn parity_evaluate_assignment() {
    for fixture in fixtures() {
        let matrix = fixture.matrix();
        let matching = Matching::one_to_one(&matrix);
        for class in (0..fixture.classes).filter(|&class| matrix.count_of_class(class) > 0) {
            let expected = [fixture.cluster_of_class[class] as usize];
            assert_eq!(matching.clusters_of_class(class), expected, "{}: class {class}", fixture.name);
        }
    }
}

#[test]
fn parity_evaluate_metrics() {
    for fixture in fixtures() {
        let matrix = fixture.matrix();
        let is_thing: Vec<_> = (0..fixture.classes).map(|class| class < fixture.things).collect();
        let scores =
            SegmentationScores::new(&matrix, &Matching::one_to_one(&matrix), Some(&is_thing)).unwrap();
        fixture.assert_means("", scores.overall);
        let legacy = scores.legacy_split.unwrap();
        fixture.assert_means("_th", legacy.things);
        fixture.assert_means("_st", legacy.stuff);
    }
}

/// mmsegmentation's figures of predicted classes: nan stands for a class without a score.
#[test]
fn parity_fcn_metrics() {
    for path in densesiam_fixtures::family("fcn") {
        let (name, bytes) = (path.display(), std::fs::read(&path).unwrap());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let classes: usize = header.metadata().as_ref().unwrap()["num_classes"].parse().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let figures = |key: &str| numbers(file.tensor(key).unwrap().data(), f64::from_le_bytes);
        let [labels, predictions] =
            ["metric.label", "metric.prediction"].map(|key| file.tensor(key).unwrap());
        let picture = labels.shape()[1..].iter().product();
        let mut matrix = ConfusionMatrix::new(classes, classes, 255);
        for (labels, predictions) in labels.data().chunks(picture).zip(predictions.data().chunks(picture)) {
            matrix.update(labels, predictions).unwrap();
        }
        let scores = SegmentationScores::new(&matrix, &Matching::identity(classes), None).unwrap();
        let per_class = |of: fn(&ClassScores) -> Option<f64>| scores.per_class.iter().map(of).collect();
        let MeanScores { miou, aacc, macc } = scores.overall;
        let found: [(&str, Vec<Option<f64>>); 3] = [
            ("metric.values", vec![miou, aacc, macc]),
            ("metric.class_iou", per_class(|class| class.iou)),
            ("metric.class_accuracy", per_class(|class| class.accuracy)),
        ];
        for (key, found) in found {
            let expected = figures(key);
            assert_eq!(found.len(), expected.len(), "{name}: {key}");
            for (found, expected) in found.into_iter().zip(expected) {
                let agree = found.map_or(expected.is_nan(), |found| (found - expected).abs() <= 1e-12);
                assert!(agree, "{name}: {key} is {found:?}, not {expected}");
            }
        }
    }
}
