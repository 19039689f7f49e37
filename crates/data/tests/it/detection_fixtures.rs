//! The views of a detector's training against Detectron2's (files `transfer-data-*`).

use std::fs;
use std::sync::Arc;

use densesiam_data::detection::{
    Annotation, DetectionAugment, DetectionSet, DetectionViews, Object, Shape, resized,
};
use densesiam_data::index::ImageIndex;
use densesiam_geometry::Region;
use safetensors::SafeTensors;

use crate::detecting::view_alone;

struct Vectors<'f> {
    name: String,
    tensors: SafeTensors<'f>,
    detection: Vec<serde_json::Value>,
}

impl Vectors<'_> {
    fn floats(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensors.tensor(name).unwrap();
        tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }

    fn whole(&self, name: &str) -> Vec<i64> {
        let tensor = self.tensors.tensor(name).unwrap();
        tensor.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }

    /// Width, height and pixels.
    fn picture(&self, name: &str) -> ([u32; 2], Vec<u8>) {
        let tensor = self.tensors.tensor(name).unwrap();
        let &[height, width, 3] = tensor.shape() else { panic!("{name}: {:?}", tensor.shape()) };
        ([width as u32, height as u32], tensor.data().to_vec())
    }
}

fn with_vectors(check: impl Fn(&Vectors<'_>)) {
    for path in densesiam_fixtures::family("transfer-data") {
        let bytes = fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let detection = serde_json::from_str(&metadata["detection"]).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        check(&Vectors { name: path.display().to_string(), tensors, detection });
    }
}

#[test]
fn parity_transfer_sizes_are_detectron2s() {
    with_vectors(|vectors| {
        let rows = vectors.whole("size.detection");
        assert!(!rows.is_empty());
        for row in rows.chunks(5) {
            let &[height, width, short, new_height, new_width] = row else { panic!("{row:?}") };
            let found = resized([width as u32, height as u32], short as u32, 1333);
            assert_eq!(found.map(i64::from), [new_width, new_height], "{} {row:?}", vectors.name);
        }
    });
}

#[test]
fn parity_transfer_views_are_detectron2s() {
    with_vectors(|vectors| {
        let folder = tempfile::tempdir().unwrap();
        let (size, pixels) = vectors.picture("detection.image");
        image::save_buffer(
            folder.path().join("a.png"),
            &pixels,
            size[0],
            size[1],
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
        let boxes = vectors.floats("detection.boxes");
        let polygon = vectors.floats("detection.polygon");
        // The class of an object is its row, to find those that are left.
        let object = |(class, corners): (usize, &[f64])| Object {
            bbox: Region { x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3] },
            class,
            difficult: false,
            crowd: false,
            area: 1.0,
            shape: Some(Shape::Polygons(vec![polygon.clone()])),
        };
        let objects: Vec<_> = boxes.chunks(4).enumerate().map(object).collect();
        let classes = (0..objects.len()).map(|class| class.to_string()).collect();
        let index = ImageIndex::from_names(folder.path(), ["a.png"]).unwrap();
        let annotation = Annotation { size: Some(size), objects };
        let set = Arc::new(DetectionSet::new("made up".into(), classes, index, vec![annotation]).unwrap());
        assert!(!vectors.detection.is_empty());
        for (number, setting) in vectors.detection.iter().enumerate() {
            let whole = |key: &str| setting[key].as_u64().unwrap() as u32;
            let augment = DetectionAugment {
                short_sides: vec![whole("short")],
                longest_side: whole("long_limit"),
                flip_probability: f64::from(u8::from(setting["flip"].as_bool().unwrap())),
            };
            let views = DetectionViews { augment, set: Arc::clone(&set), masks: true };
            let (drawn, found) = view_alone(&views, 0, 0);
            let (expected_size, expected) = vectors.picture(&format!("detection.{number}.image"));
            assert_eq!(drawn.size, expected_size, "{} {number}", vectors.name);
            let most = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(found.len() == expected.len() && most <= Some(1), "{} {number}: {most:?}", vectors.name);
            let rows = vectors.floats(&format!("detection.{number}.boxes"));
            let mut left = drawn.objects.iter();
            for (class, row) in rows.chunks(4).enumerate().filter(|(_, row)| is_kept(row)) {
                let Object { bbox: Region { x0, y0, x1, y1 }, class: found, .. } = left.next().unwrap();
                assert_eq!(*found, class);
                close(&[*x0, *y0, *x1, *y1], row, &vectors.name);
            }
            assert_eq!(left.next(), None);
            let Some(Shape::Polygons(polygons)) = &drawn.objects[0].shape else { panic!("no polygon") };
            close(&polygons[0], &vectors.floats(&format!("detection.{number}.polygon")), &vectors.name);
        }
    });
}

fn is_kept(row: &[f64]) -> bool {
    row[2] - row[0] > 1e-5 && row[3] - row[1] > 1e-5
}

fn close(found: &[f64], expected: &[f64], name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-9, "{name}: {found} for {expected}");
    }
}
