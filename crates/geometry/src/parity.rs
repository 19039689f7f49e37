//! Boxes and RoIAlign against detectron2 and torchvision (`roi-*` test vectors), and laws.

use densesiam_random::{Key, Purpose, RngExt};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::boxes::{Anchors, Coding, Label, Matcher, choose, overlap, pyramid_level};
use crate::{Region, RoiAlign};

/// One file of test vectors.
struct Fixture {
    name: String,
    bytes: Vec<u8>,
    settings: std::collections::HashMap<String, String>,
}

fn fixtures() -> Vec<Fixture> {
    let read = |path: std::path::PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings = header.metadata().clone().unwrap_or_default();
        Fixture { name: path.display().to_string(), bytes, settings }
    };
    densesiam_fixtures::family("roi").into_iter().map(read).collect()
}

impl Fixture {
    fn json(&self, key: &str) -> Value {
        serde_json::from_str(&self.settings[key]).unwrap()
    }

    fn shape(&self, key: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(key).unwrap().shape().to_vec()
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(key).unwrap_or_else(|error| panic!("{} {key}: {error}", self.name)).data();
        data.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    fn integers(&self, key: &str) -> Vec<usize> {
        self.numbers(key).into_iter().map(|number| number.to_bits() as usize).collect()
    }

    fn boxes(&self, key: &str) -> Vec<Region> {
        self.numbers(key).chunks_exact(4).map(region).collect()
    }

    fn assert_close(&self, key: &str, found: &[f64], tolerance: [f64; 2]) {
        let expected = self.numbers(key);
        assert_eq!(found.len(), expected.len(), "{} {key}", self.name);
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let limit = tolerance[0] + tolerance[1] * expected.abs();
            assert!((found - expected).abs() <= limit, "{} {key} {index}: {found} {expected}", self.name);
        }
    }
}

fn region(edges: &[f64]) -> Region {
    Region { x0: edges[0], y0: edges[1], x1: edges[2], y1: edges[3] }
}

fn edges(boxes: &[Region]) -> Vec<f64> {
    boxes.iter().flat_map(|of| [of.x0, of.y0, of.x1, of.y1]).collect()
}

const REAL: [f64; 2] = [1e-8, 1e-6];

#[test]
fn parity_roi_align() {
    for fixture in fixtures() {
        let (input, rois) = (fixture.numbers("align.input"), fixture.numbers("align.rois"));
        let shape = fixture.shape("align.input");
        let (channels, size) = (shape[1], [shape[2], shape[3]]);
        let cells = size[0] * size[1];
        for (index, setting) in fixture.json("align.settings").as_array().unwrap().iter().enumerate() {
            let bins = setting["size"].as_u64().unwrap() as usize;
            let samples = setting["sampling_ratio"].as_u64().unwrap() as usize;
            let align = RoiAlign { bins, scale: setting["scale"].as_f64().unwrap(), samples };
            let of_output = fixture.numbers(&format!("align.{index}.output_gradient"));
            let (mut output, mut of_input) = (Vec::new(), vec![0.0; input.len()]);
            for (roi, of_roi) in rois.chunks_exact(5).zip(of_output.chunks_exact(channels * bins * bins)) {
                for (channel, of_values) in of_roi.chunks_exact(bins * bins).enumerate() {
                    let start = (roi[0] as usize * channels + channel) * cells;
                    let region = region(&roi[1..]);
                    output.extend(align.read(&input[start..start + cells], size, &region));
                    align.add_gradient(of_values, &mut of_input[start..start + cells], size, &region);
                }
            }
            fixture.assert_close(&format!("align.{index}.output"), &output, [1e-10, 1e-10]);
            fixture.assert_close(&format!("align.{index}.input_gradient"), &of_input, [1e-10, 1e-10]);
        }
    }
}

#[test]
fn parity_roi_choice_among_boxes() {
    for fixture in fixtures() {
        let (boxes, scores) = (fixture.boxes("nms.boxes"), fixture.numbers("nms.scores"));
        let (classes, one_class) = (fixture.integers("nms.classes"), vec![0; boxes.len()]);
        for (key, classes) in [("keep", &one_class), ("batched_keep", &classes)] {
            for threshold in ["0.5", "0.7"] {
                let expected = fixture.integers(&format!("nms.{key}.{threshold}"));
                let number = threshold.parse().unwrap();
                let found = choose(&boxes, &scores, classes, number, usize::MAX);
                assert_eq!(found, expected, "{} {key} {threshold}", fixture.name);
                let first = choose(&boxes, &scores, classes, number, 5);
                assert_eq!(first, expected[..5], "{} {key} {threshold}: the first", fixture.name);
            }
        }
    }
}

#[test]
fn parity_roi_coding() {
    for fixture in fixtures() {
        let (source, target) = (fixture.boxes("coding.source"), fixture.boxes("coding.target"));
        let deltas = fixture.numbers("coding.deltas");
        let of_a_box = deltas.len() / source.len() / 4;
        for (key, weights) in [("rpn", [1.0; 4]), ("roi", [10.0, 10.0, 5.0, 5.0])] {
            let coding = Coding { weights };
            let encoded: Vec<f64> = source
                .iter()
                .zip(&target)
                .flat_map(|(source, target)| coding.encode(source, target))
                .collect();
            let decode = |(index, deltas): (usize, &[f64])| {
                coding.decode(&source[index / of_a_box], deltas.try_into().unwrap())
            };
            let decoded: Vec<Region> = deltas.chunks_exact(4).enumerate().map(decode).collect();
            fixture.assert_close(&format!("coding.{key}.encoded"), &encoded, REAL);
            fixture.assert_close(&format!("coding.{key}.decoded"), &edges(&decoded), REAL);
            if key == "rpn" {
                let clipped: Vec<Region> = decoded.iter().map(|of| of.clipped([300.0, 200.0])).collect();
                fixture.assert_close("coding.clipped", &edges(&clipped), REAL);
            }
        }
    }
}

#[test]
fn parity_roi_anchors() {
    for fixture in fixtures() {
        for (level, size) in fixture.json("anchors").as_object().unwrap() {
            let size = [0, 1].map(|axis| size[axis].as_u64().unwrap() as usize);
            let (sizes, stride) = match level.as_str() {
                "c4" => (vec![32.0, 64.0, 128.0, 256.0, 512.0], 16),
                of_pyramid => {
                    let level: u32 = of_pyramid[1..].parse().unwrap();
                    (vec![f64::from(8 << level)], 1 << level)
                }
            };
            let anchors = Anchors { sizes, ratios: vec![0.5, 1.0, 2.0] };
            let found = anchors.of_map(size, stride);
            assert_eq!(found.len(), size[0] * size[1] * anchors.count());
            fixture.assert_close(&format!("anchors.{level}"), &edges(&found), REAL);
        }
    }
}

#[test]
fn parity_roi_matching_and_levels() {
    for fixture in fixtures() {
        let truth = fixture.boxes("match.truth");
        let anchors = fixture.boxes("match.anchors");
        let overlaps: Vec<f64> =
            truth.iter().flat_map(|truth| anchors.iter().map(|anchor| overlap(truth, anchor))).collect();
        fixture.assert_close("match.iou", &overlaps, REAL);
        let matchers = [
            ("rpn", anchors, Matcher { background: 0.3, object: 0.7, best: true }),
            ("roi", fixture.boxes("match.proposals"), Matcher { background: 0.5, object: 0.5, best: false }),
        ];
        for (key, boxes, matcher) in matchers {
            let index = fixture.integers(&format!("match.{key}.index"));
            let label = fixture.integers(&format!("match.{key}.label"));
            let expected: Vec<Label> = label
                .iter()
                .zip(&index)
                .map(|(&label, &index)| match label as i64 {
                    0 => Label::Background,
                    1 => Label::Object(index),
                    _ => Label::Ignored,
                })
                .collect();
            assert_eq!(matcher.labels(&boxes, &truth), expected, "{} {key}", fixture.name);
        }
        let levels: Vec<usize> =
            fixture.boxes("level.boxes").iter().map(|of| pyramid_level(of) - 2).collect();
        assert_eq!(levels, fixture.integers("level.index"), "{}", fixture.name);
    }
}

#[test]
fn without_objects_all_boxes_are_background() {
    let boxes = [region(&[0.0, 0.0, 4.0, 4.0])];
    for best in [false, true] {
        let matcher = Matcher { background: 0.3, object: 0.7, best };
        assert_eq!(matcher.labels(&boxes, &[]), [Label::Background]);
    }
}

#[test]
fn decoding_is_the_inverse_of_encoding() {
    let (source, target) = (region(&[3.0, 4.0, 40.0, 90.0]), region(&[-2.0, 10.0, 60.0, 31.0]));
    let coding = Coding { weights: [10.0, 10.0, 5.0, 5.0] };
    let decoded = coding.decode(&source, coding.encode(&source, &target));
    for (found, expected) in edges(&[decoded]).iter().zip(edges(&[target])) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

/// A plain search over all pairs, for as many boxes as a detector has.
#[test]
fn the_choice_is_that_of_a_plain_search() {
    let mut stream = Key::new(1, Purpose::Demo).rng();
    let boxes: Vec<Region> = (0..1500)
        .map(|_| {
            let [x, y, w, h] = [0, 1, 2, 3].map(|_| stream.random_range(0.0..100.0));
            region(&[x, y, x + w, y + h])
        })
        .collect();
    let scores: Vec<f64> = (0..boxes.len()).map(|_| f64::from(stream.random_range(0..200))).collect();
    let classes: Vec<usize> = (0..boxes.len()).map(|index| index % 3).collect();
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]).then(one.cmp(&other)));
    let mut expected: Vec<usize> = Vec::new();
    for index in order {
        let meets =
            |&other: &usize| classes[other] == classes[index] && overlap(&boxes[index], &boxes[other]) > 0.4;
        if !expected.iter().any(meets) {
            expected.push(index);
        }
    }
    assert!(expected.len() > 100);
    assert_eq!(choose(&boxes, &scores, &classes, 0.4, usize::MAX), expected);
}
