//! Masks by hand, and the test vectors `roi-*`, which hold what pycocotools and detectron2 make of masks.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

use super::*;
use crate::{Point, Region, Xywh};

/// The mask of a picture that is drawn in letters.
fn drawn(rows: &[&str]) -> RunLengths {
    let bits: Vec<bool> = rows.iter().flat_map(|row| row.chars().map(|letter| letter == '#')).collect();
    RunLengths::from_bits([rows.len() as u32, rows[0].len() as u32], &bits)
}

#[test]
fn runs_go_down_the_columns() {
    let mask = drawn(&["..#", ".##"]);
    assert_eq!(mask.counts(), [3, 3]);
    assert_eq!(mask.bits(), [false, false, true, false, true, true]);
    assert_eq!((mask.area(), mask.bounding_box()), (3, Xywh::from([1.0, 0.0, 2.0, 2.0])));
    assert_eq!(drawn(&["#."]).counts(), [0, 1, 1]);
    assert_eq!(drawn(&["..", ".."]).bounding_box(), Xywh::default());
}

#[test]
fn empty_runs_change_nothing() {
    let plain = RunLengths::new([4, 3], vec![5, 2, 5]).unwrap();
    let padded = RunLengths::new([4, 3], vec![5, 1, 0, 1, 2, 0, 3, 0, 0]).unwrap();
    assert_eq!(padded.bits(), plain.bits());
    assert_eq!(padded.bounding_box(), plain.bounding_box());
    assert_eq!((padded.area(), padded.iou(&plain, false)), (2, Ok(1.0)));
    assert_eq!(RunLengths::union([padded]).unwrap().unwrap().area(), 2);
}

#[test]
fn runs_that_do_not_add_up_are_refused() {
    let size = [2, 2];
    assert_eq!(RunLengths::new(size, vec![1, 2]), Err(MaskError::Sum { counted: 3, size }));
    assert_eq!(
        RunLengths::new(size, vec![u32::MAX, 5]),
        Err(MaskError::Sum { counted: (1 << 32) + 4, size })
    );
    let size = [1 << 16, 1 << 16];
    assert_eq!(RunLengths::new(size, vec![]), Err(MaskError::TooLarge { size }));
}

#[test]
fn strings_that_are_none_are_refused() {
    let size = [2, 2];
    let read = |text: &str| RunLengths::from_coco(size, text).unwrap_err();
    assert_eq!(read("1 2"), MaskError::Letter { place: 1, byte: b' ' });
    assert_eq!(read("1é"), MaskError::Letter { place: 1, byte: 0xc3 });
    assert_eq!(read("o"), MaskError::Endless { run: 0 });
    assert_eq!(read("ooooooooooooooo0"), MaskError::Endless { run: 0 });
    assert_eq!(read("O"), MaskError::Length { run: 0, length: -1 });
    assert_eq!(read("11"), MaskError::Sum { counted: 2, size });
    assert_eq!(read(""), MaskError::Sum { counted: 0, size });
    assert_eq!(RunLengths::from_coco(size, "4").unwrap().counts(), [4]);
}

#[test]
fn masks_of_other_sizes_are_not_compared() {
    let (one, other) = (drawn(&["#."]), drawn(&["#", "."]));
    let sizes = MaskError::Sizes { one: [1, 2], other: [2, 1] };
    assert_eq!(one.iou(&other, false), Err(sizes.clone()));
    assert_eq!(RunLengths::union([one, other]), Err(sizes));
    assert_eq!(RunLengths::union([]), Ok(None));
}

#[test]
fn polygons_beyond_measure_end_at_the_picture() {
    let far = [(-1e300, -1e300), (1e300, -1e300), (f64::INFINITY, 1e300), (-1e300, f64::INFINITY)];
    let whole = RunLengths::from_polygon(far.map(|(x, y)| Point { x, y }), [7, 9]);
    assert_eq!(whole.counts(), [0, 63]);
    let odd = [(f64::NAN, 2.0), (3.0, f64::NAN), (5.0, 5.0)];
    let odd = RunLengths::from_polygon(odd.map(|(x, y)| Point { x, y }), [7, 9]);
    assert_eq!(odd.counts().iter().sum::<u32>(), 63);
    assert_eq!(RunLengths::from_polygon([], [7, 9]).counts(), [63]);
}

#[test]
fn boxes_without_a_side_show_nothing() {
    let flat = Region { x0: 2.0, y0: 1.0, x1: 2.0, y1: 5.0 };
    assert!(paste(&[1.0; 4], 2, &flat, [6, 6]).iter().all(|&share| share == 0.0));
    assert!(!target_from_bits(&[true; 36], [6, 6], &flat, 4).contains(&true));
    let whole = RunLengths::from_bits([6, 6], &[true; 36]);
    assert!(!target_from_runs(&whole, &flat, 4).contains(&true));
    let beyond = Region { x0: -30.0, y0: 2.0, x1: -20.0, y1: 90.0 };
    assert!(!target_from_runs(&whole, &beyond, 4).contains(&true));
    let nowhere = Region { x0: f64::NAN, y0: 0.0, x1: 1.0, y1: f64::INFINITY };
    assert_eq!(paste_mask(&[1.0; 4], 2, &nowhere, [6, 6]).area(), 0);
}

/// One file of test vectors.
struct Vectors {
    name: String,
    bytes: Vec<u8>,
    settings: HashMap<String, String>,
}

impl Vectors {
    fn all() -> impl Iterator<Item = Self> {
        densesiam_fixtures::family("roi").into_iter().map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
            Self { name: path.display().to_string(), settings: header.metadata().clone().unwrap(), bytes }
        })
    }

    fn setting(&self, key: &str) -> serde_json::Value {
        serde_json::from_str(&self.settings[key]).unwrap()
    }

    fn polygons(&self, key: &str) -> Vec<Vec<Vec<Point>>> {
        let objects: Vec<Vec<Vec<f64>>> = serde_json::from_str(&self.settings[key]).unwrap();
        let points = |polygon: &Vec<f64>| points(polygon).collect();
        objects.iter().map(|object| object.iter().map(points).collect()).collect()
    }

    fn picture(&self) -> [u32; 2] {
        serde_json::from_str(&self.settings["mask.picture"]).unwrap()
    }

    /// The numbers of a tensor, of any kind.
    fn tensor(&self, key: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(key).unwrap_or_else(|error| panic!("{}: {key}: {error}", self.name));
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::U8 => data.iter().map(|&byte| byte.into()).collect(),
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I64 => {
                data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
            }
            other => panic!("{}: {key} is {other:?}", self.name),
        }
    }

    fn bits(&self, key: &str) -> Vec<bool> {
        self.tensor(key).into_iter().map(|value| value != 0.0).collect()
    }

    fn regions(&self, key: &str) -> Vec<Region> {
        let corners = self.tensor(key);
        corners.chunks_exact(4).map(|c| Region { x0: c[0], y0: c[1], x1: c[2], y1: c[3] }).collect()
    }

    /// The masks of `rle.*`.
    fn masks(&self) -> Vec<RunLengths> {
        let texts: Vec<String> = serde_json::from_str(&self.settings["rle.counts"]).unwrap();
        texts.iter().map(|text| RunLengths::from_coco(self.picture(), text).unwrap()).collect()
    }
}

fn points(numbers: &[f64]) -> impl Iterator<Item = Point> + '_ {
    numbers.chunks_exact(2).map(|pair| Point { x: pair[0], y: pair[1] })
}

#[test]
fn parity_run_lengths() {
    for vectors in Vectors::all() {
        let name = &vectors.name;
        let masks = vectors.masks();
        let pixels = (vectors.picture()[0] * vectors.picture()[1]) as usize;
        let pictures = vectors.bits("rle.pictures");
        let (areas, boxes) = (vectors.tensor("rle.area"), vectors.tensor("rle.boxes"));
        let texts: Vec<String> = serde_json::from_str(&vectors.settings["rle.counts"]).unwrap();
        for (index, mask) in masks.iter().enumerate() {
            let picture = &pictures[index * pixels..(index + 1) * pixels];
            assert_eq!(mask.bits(), picture, "{name}: bits of {index}");
            assert_eq!(RunLengths::from_bits(vectors.picture(), picture), *mask, "{name}: runs of {index}");
            assert_eq!(mask.to_coco(), texts[index], "{name}: string of {index}");
            assert_eq!(f64::from(mask.area()), areas[index], "{name}: area of {index}");
            let bbox: [f64; 4] = mask.bounding_box().into();
            assert_eq!(bbox, boxes[4 * index..4 * index + 4], "{name}: box of {index}");
        }
    }
}

#[test]
fn parity_unions_and_overlaps() {
    for vectors in Vectors::all() {
        let name = &vectors.name;
        let masks = vectors.masks();
        let union = RunLengths::union(masks[..4].iter().cloned()).unwrap().unwrap();
        assert_eq!(union.to_coco(), vectors.settings["rle.union"], "{name}");
        let intersection = RunLengths::intersection(masks[8..11].iter().cloned()).unwrap().unwrap();
        assert_eq!(intersection.to_coco(), vectors.settings["rle.intersection"], "{name}");
        let (crowd, overlaps) = (vectors.bits("rle.crowd"), vectors.tensor("rle.iou"));
        for (d, detected) in masks.iter().enumerate() {
            for (g, truth) in masks.iter().enumerate() {
                let iou = detected.iou(truth, crowd[g]).unwrap();
                assert_eq!(iou, overlaps[d * masks.len() + g], "{name}: {d} with {g}");
            }
        }
        let boxes = vectors.tensor("rle.xywh");
        let boxes: Vec<Xywh> =
            boxes.chunks_exact(4).map(|b| Xywh::from(<[f64; 4]>::try_from(b).unwrap())).collect();
        let overlaps = vectors.tensor("rle.xywh_iou");
        for (d, detected) in boxes.iter().enumerate() {
            for (g, truth) in boxes.iter().enumerate() {
                let iou = detected.iou(truth, g % 2 == 1);
                assert_eq!(iou, overlaps[d * boxes.len() + g], "{name}: box {d} with {g}");
            }
        }
    }
}

#[test]
fn parity_polygons() {
    for vectors in Vectors::all() {
        let (name, size) = (&vectors.name, vectors.picture());
        let masks = vectors.masks();
        let objects = vectors.polygons("mask.polygons");
        for (index, object) in objects.iter().enumerate() {
            let mask = RunLengths::from_polygons(object.iter().map(|p| p.iter().copied()), size);
            assert_eq!(mask, masks[index], "{name}: object {index}");
        }
        let edges = vectors.setting("rle.edge_polygons");
        let edges: Vec<Vec<f64>> = serde_json::from_value(edges).unwrap();
        for (polygon, mask) in edges.iter().zip(&masks[masks.len() - edges.len()..]) {
            assert_eq!(RunLengths::from_polygon(points(polygon), size), *mask, "{name}: {polygon:?}");
        }
        let bbox: [f64; 4] = serde_json::from_value(vectors.setting("rle.box")).unwrap();
        let of_box = &masks[masks.len() - edges.len() - 1];
        assert_eq!(RunLengths::from_box(&bbox.into(), size), *of_box, "{name}");
    }
}

#[test]
fn parity_mask_targets() {
    for vectors in Vectors::all() {
        let (name, [height, width]) = (&vectors.name, vectors.picture().map(|side| side as usize));
        let objects = vectors.polygons("mask.polygons");
        let (polygons, bits) =
            (vectors.bits("mask.target_from_polygons"), vectors.bits("mask.target_from_bits"));
        let (pictures, near) = (vectors.bits("mask.pictures"), vectors.bits("mask.bits_near_half"));
        let boxes = vectors.regions("mask.boxes");
        let cells = polygons.len() / boxes.len();
        let side = cells.isqrt();
        for (index, (proposal, object)) in boxes.iter().zip(&objects).enumerate() {
            let own = index * cells..(index + 1) * cells;
            let got = target_from_polygons(object.iter().map(|p| p.iter().copied()), proposal, side);
            assert_eq!(got, polygons[own.clone()], "{name}: polygons of {index}");
            let picture = &pictures[index * height * width..(index + 1) * height * width];
            let got = target_from_bits(picture, [height, width], proposal, side);
            let runs = RunLengths::from_bits(vectors.picture(), picture);
            let of_runs = target_from_runs(&runs, proposal, side);
            let differ =
                of_runs.iter().zip(&got).zip(&near[own.clone()]).any(|((a, b), near)| a != b && !near);
            assert!(!differ, "{name}: run lengths of {index}");
            for ((cell, got), (expected, near)) in
                got.into_iter().enumerate().zip(bits[own.clone()].iter().zip(&near[own]))
            {
                assert!(*near || got == *expected, "{name}: cell {cell} of {index}");
            }
        }
    }
}

#[test]
fn parity_pasted_masks() {
    for vectors in Vectors::all() {
        let (name, size) = (&vectors.name, vectors.picture());
        let (masks, boxes) = (vectors.tensor("paste.masks"), vectors.regions("paste.boxes"));
        let (soft, hard) = (vectors.tensor("paste.soft"), vectors.bits("paste.picture_masks"));
        let cells = masks.len() / boxes.len();
        let pixels = (size[0] * size[1]) as usize;
        for (index, bbox) in boxes.iter().enumerate() {
            let mask = &masks[index * cells..(index + 1) * cells];
            let own = index * pixels..(index + 1) * pixels;
            let pasted = paste(mask, cells.isqrt(), bbox, size);
            for (pixel, (got, expected)) in pasted.iter().zip(&soft[own.clone()]).enumerate() {
                assert!(
                    (got - expected).abs() <= 1e-12,
                    "{name}: pixel {pixel} of {index}: {got}, {expected}"
                );
            }
            assert_eq!(paste_mask(mask, cells.isqrt(), bbox, size).bits(), hard[own], "{name}: {index}");
        }
    }
}
