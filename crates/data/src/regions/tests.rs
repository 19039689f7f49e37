//! The test vectors of segments and boxes, and segmentation against them.

use std::fs;

use safetensors::SafeTensors;

use super::Felzenszwalb;
use crate::image::RgbImage;

/// A file of test vectors.
pub(super) struct Vectors {
    pub(super) name: String,
    bytes: Vec<u8>,
}

/// The files of a family.
pub(super) fn vectors(family: &str) -> Vec<Vectors> {
    let file = |path: std::path::PathBuf| Vectors {
        name: path.display().to_string(),
        bytes: fs::read(&path).unwrap(),
    };
    densesiam_fixtures::family(family).into_iter().map(file).collect()
}

impl Vectors {
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().data().to_vec()
    }

    pub(super) fn shape(&self, name: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().shape().to_vec()
    }

    pub(super) fn integers(&self, name: &str) -> Vec<i32> {
        let bytes = self.bytes(name);
        bytes.as_chunks().0.iter().map(|&number| i32::from_le_bytes(number)).collect()
    }

    pub(super) fn picture(&self) -> RgbImage {
        let shape = self.shape("picture");
        RgbImage { width: shape[1] as u32, height: shape[0] as u32, pixels: self.bytes("picture") }
    }

    /// The settings of each result and its number.
    pub(super) fn settings(&self) -> Vec<(String, Felzenszwalb)> {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let settings = |(number, text): (&String, &String)| {
            let [scale, sigma, min_size] = text.split(',').collect::<Vec<_>>().try_into().unwrap();
            let min_size = min_size.parse().unwrap();
            let settings =
                Felzenszwalb { scale: scale.parse().unwrap(), sigma: sigma.parse().unwrap(), min_size };
            (number.clone(), settings)
        };
        let metadata = header.metadata().clone().unwrap();
        let mut all: Vec<_> = metadata.iter().map(settings).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(!all.is_empty(), "{} has no settings", self.name);
        all
    }
}

#[test]
fn parity_fh_segments_are_scikit_images_at_every_pixel() {
    for file in vectors("rival-fh") {
        let picture = file.picture();
        for (number, settings) in file.settings() {
            let labels = file.integers(&format!("labels{number}"));
            let segments = settings.segment(&picture);
            let differ =
                segments.values.iter().zip(&labels).filter(|(ours, theirs)| **ours as i32 != **theirs);
            assert_eq!((segments.values.len(), differ.count()), (labels.len(), 0), "{} {number}", file.name);
        }
    }
}

#[test]
fn segments_of_simple_pictures() {
    let settings = Felzenszwalb { scale: 1.0, sigma: 0.0, min_size: 1 };
    let segments = |width, height, pixels: Vec<u8>| {
        settings.segment(&RgbImage {
            width,
            height,
            pixels: pixels.into_iter().flat_map(|v| [v; 3]).collect(),
        })
    };
    assert_eq!(segments(1, 1, vec![7]).values, [0]);
    assert_eq!(segments(3, 1, vec![0, 0, 255]).values, [0, 0, 1]);
    assert_eq!(segments(1, 3, vec![9, 255, 255]).values, [0, 1, 1]);
    assert_eq!(segments(3, 2, vec![0, 9, 0, 9, 0, 9]).values, [0, 1, 0, 1, 0, 1]);
    assert_eq!(segments(5, 5, vec![40; 25]).values, [0; 25]);
    // Below the least size, segments join what is most like them.
    let joined = Felzenszwalb { min_size: 3, ..settings };
    let pixels = [10, 10, 10, 90, 100, 100, 100].into_iter().flat_map(|v| [v; 3]).collect();
    assert_eq!(joined.segment(&RgbImage { width: 7, height: 1, pixels }).values, [0, 0, 0, 1, 1, 1, 1]);
}
