//! Laws of labelled crops, and what the reference computes (files `transfer-data-*`).

use std::path::PathBuf;

use densesiam_random::{Key, Purpose};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::{CropSettings, Distortion, LabelledCrop};
use crate::image::RgbImage;
use crate::labelled::{LabelMap, VOID};
use crate::opencv::{Window, WindowResizer, fitted};
use crate::views::ViewMaker;

/// A file of the family with its settings.
struct Fixture {
    name: PathBuf,
    bytes: Vec<u8>,
}

impl Fixture {
    fn all() -> impl Iterator<Item = Self> {
        let files = densesiam_fixtures::family("transfer-data");
        files.into_iter().map(|name| Self { bytes: std::fs::read(&name).unwrap(), name })
    }

    fn setting<T: serde::de::DeserializeOwned>(&self, key: &str) -> T {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let text = &header.metadata().as_ref().unwrap()[key];
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {key}: {error}", self.name.display()))
    }

    fn tensor(&self, key: &str) -> TensorView<'_> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        tensors.tensor(key).unwrap_or_else(|error| panic!("{}: {key}: {error}", self.name.display()))
    }

    fn whole_numbers(&self, key: &str) -> Vec<u32> {
        let numbers = self.tensor(key).data().chunks_exact(8);
        numbers.map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32).collect()
    }

    fn image(&self, key: &str) -> RgbImage {
        let tensor = self.tensor(key);
        let [height, width] = [tensor.shape()[0] as u32, tensor.shape()[1] as u32];
        RgbImage { width, height, pixels: tensor.data().to_vec() }
    }

    fn labels(&self, key: &str) -> LabelMap {
        let tensor = self.tensor(key);
        let [height, width] = [tensor.shape()[0] as u32, tensor.shape()[1] as u32];
        LabelMap { width, height, classes: tensor.data().to_vec() }
    }

    /// The mean and the largest difference of levels.
    fn differences(&self, key: &str, found: &[u8]) -> (f64, u8) {
        let expected = self.tensor(key);
        assert_eq!(expected.data().len(), found.len(), "{}: {key}", self.name.display());
        let differences = || expected.data().iter().zip(found).map(|(a, b)| a.abs_diff(*b));
        let mean = differences().map(f64::from).sum::<f64>() / found.len() as f64;
        (mean, differences().max().unwrap())
    }
}

#[test]
fn parity_transfer_sizes_are_the_references() {
    for fixture in Fixture::all() {
        let ratios = fixture.tensor("size.ratio");
        let ratios = ratios.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
        let sizes = fixture.whole_numbers("size.segmentation");
        for (ratio, size) in ratios.zip(sizes.chunks_exact(4)) {
            let found = fitted([size[1], size[0]], [2049, 1025], ratio);
            assert_eq!(found, [size[3], size[2]], "{}: {size:?} by {ratio}", fixture.name.display());
        }
    }
}

#[test]
fn parity_transfer_pictures_and_labels_are_scaled_as_the_reference_does() {
    for fixture in Fixture::all() {
        let targets: Vec<[u32; 2]> = fixture.setting("segmentation.targets");
        assert!(!targets.is_empty(), "{}", fixture.name.display());
        let (image, labels) = (fixture.image("segmentation.image"), fixture.labels("segmentation.label"));
        for (number, target) in targets.into_iter().enumerate() {
            let [width, height] = fitted([image.width, image.height], target, 1.0);
            let window = Window::whole([width, height]);
            let mut scaled = RgbImage::new(width, height);
            let rows = scaled.pixels.chunks_exact_mut(width as usize * 3);
            WindowResizer::default().resize(&image, &window, rows);
            let (mean, largest) =
                fixture.differences(&format!("segmentation.{number}.image"), &scaled.pixels);
            assert!(largest == 0, "{} {number}: mean {mean}, largest {largest}", fixture.name.display());
            let mut classes = vec![0; width as usize * height as usize];
            window.labels_into(&labels, classes.chunks_exact_mut(width as usize));
            let expected = fixture.tensor(&format!("segmentation.{number}.label"));
            assert!(expected.data() == classes, "{} {number}: labels", fixture.name.display());
        }
    }
}

#[derive(serde::Deserialize)]
struct Photo {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: i32,
}

#[test]
fn parity_transfer_colours_change_as_in_the_reference() {
    for fixture in Fixture::all() {
        let photo: Photo = fixture.setting("photo");
        let [brightness, contrast, saturation] =
            [photo.brightness, photo.contrast, photo.saturation].map(Some);
        let hue = Some(photo.hue);
        let none = Distortion::default();
        let all = Distortion { brightness, contrast, contrast_first: false, saturation, hue };
        for (key, distortion, mean, largest) in [
            ("photo.brightness", Distortion { brightness, ..none }, 0.0, 0),
            ("photo.contrast", Distortion { contrast, ..none }, 0.0, 0),
            // OpenCV rounds the last pixels of a row where it cuts off the others: by one level; at a few pixels an 8-bit hue rounds the other way.
            ("photo.saturation", Distortion { saturation, ..none }, 0.3, 16),
            ("photo.hue", Distortion { hue, ..none }, 0.3, 16),
            ("photo.mode1", Distortion { contrast_first: true, ..all }, 0.6, 16),
            ("photo.mode0", all, 0.6, 16),
        ] {
            let mut pixels = fixture.image("photo.image").pixels;
            distortion.apply(&mut pixels);
            let found = fixture.differences(key, &pixels);
            assert!(found.0 <= mean && found.1 <= largest, "{} {key}: {found:?}", fixture.name.display());
        }
    }
}

#[test]
fn parity_transfer_crops_are_accepted_by_the_share_of_their_classes() {
    for fixture in Fixture::all() {
        let labels = fixture.labels("crop.label");
        let settings = CropSettings::default();
        let tries = settings.crop_tries as usize;
        let windows = fixture.whole_numbers("crop.windows");
        let chosen = fixture.whole_numbers("crop.chosen");
        for (windows, chosen) in windows.chunks_exact((tries + 1) * 4).zip(chosen) {
            let windows: Vec<&[u32]> = windows.chunks_exact(4).collect();
            let accepted = windows[..tries].iter().position(|window| {
                let [y0, y1, x0, x1] = **window else { unreachable!() };
                let (origin, size) = ([x0, y0], [x1 - x0, y1 - y0]);
                let scaled = [labels.width, labels.height];
                settings.accepts(&Window { scaled, origin, size, flip: false }, &labels)
            });
            // The same window may have been drawn twice.
            let found = windows[accepted.unwrap_or(tries)];
            assert_eq!(found, windows[chosen as usize], "{}", fixture.name.display());
        }
    }
}

/// A picture that holds its label in the first channel and its place in the others, and the label map: 16 classes.
fn pair(width: u32, height: u32) -> (RgbImage, LabelMap) {
    let mut image = RgbImage::new(width, height);
    let mut classes = Vec::new();
    for (place, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (place as u32 % width, place as u32 / width);
        let class = (x / 16 + y / 16 * 5) as u8 % 16;
        pixel.copy_from_slice(&[class * 16, x as u8, y as u8]);
        classes.push(class);
    }
    (image, LabelMap { width, height, classes })
}

fn unchanged() -> CropSettings {
    CropSettings { size: 64, scale: [0, 0], jitter_probability: 0.0, ..CropSettings::default() }
}

fn key(sample: u64) -> Key {
    Key::new(4, Purpose::Geometry).epoch(2).sample(sample)
}

fn made(image: &RgbImage, crop: &LabelledCrop) -> Vec<u8> {
    let mut out = vec![7; crop.labels.len() * 3];
    let size = crop.labels.len().isqrt() as u32;
    ViewMaker::new(size).apply_in_window(image, &crop.window, &crop.distortion, &mut out).unwrap();
    out
}

#[test]
fn labels_and_pixels_show_the_same_places_and_the_rest_is_padding() {
    let (image, labels) = pair(120, 90);
    let mut seen = [[false; 2]; 2];
    for sample in 0..60 {
        let settings = unchanged();
        let crop = settings.draw(&labels, key(sample));
        let pixels = made(&image, &crop);
        let [width, height] = crop.valid().map(|side| side as usize);
        let (mut right, mut all) = (0, 0);
        for (place, pixel) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = (place % 64, place / 64);
            if x < width && y < height {
                // Labels jump where pixels blend, so that only pixels of one label are compared; there are enough of them.
                right += usize::from(crop.labels[place] * 16 == pixel[0]);
                all += 1;
            } else {
                assert_eq!((crop.labels[place], pixel), (VOID, &[124, 116, 104][..]));
            }
        }
        assert!(right * 10 > all * 7, "{right} of {all}: {:?}", crop.window);
        // Columns grow to the right, unless the crop is mirrored.
        assert_eq!(pixels[1] > pixels[(width - 1) * 3 + 1], crop.window.flip);
        seen[usize::from(crop.window.flip)][usize::from(height < 64)] = true;
    }
    assert_eq!(seen, [[true; 2]; 2]);
}

#[test]
fn at_its_own_size_every_pixel_keeps_its_label() {
    let (image, labels) = pair(120, 90);
    for sample in 0..20 {
        let settings = CropSettings { ratio: [1.0, 1.0], ..unchanged() };
        let crop = settings.draw(&labels, key(sample));
        let pixels = made(&image, &crop);
        assert!(pixels.chunks_exact(3).zip(&crop.labels).all(|(pixel, class)| pixel[0] == class * 16));
    }
}

#[test]
fn a_crop_is_a_function_of_its_key_and_colours_move_nothing() {
    let (image, labels) = pair(120, 90);
    let settings = CropSettings { jitter_probability: 1.0, ..unchanged() };
    for sample in 0..10 {
        let crop = settings.draw(&labels, key(sample));
        assert_eq!(crop, settings.draw(&labels, key(sample)));
        assert_eq!(made(&image, &crop), made(&image, &crop));
        let plain = unchanged().draw(&labels, key(sample));
        assert_eq!((crop.window, &crop.labels), (plain.window, &plain.labels));
        assert_ne!(crop.distortion, plain.distortion);
        assert_ne!(crop, settings.draw(&labels, key(sample + 100)));
        assert_ne!(crop, settings.draw(&labels, key(sample).epoch(3)));
    }
}

/// Left half one class, right half another: a window of a sixteenth of the picture often shows one alone.
#[test]
fn a_class_that_covers_the_crop_is_drawn_again_as_often_as_is_allowed() {
    let mut labels = LabelMap { width: 256, height: 256, classes: vec![3; 256 * 256] };
    for row in labels.classes.chunks_exact_mut(256) {
        row[128..].fill(5);
    }
    let count = |max_class_share: f64, crop_tries: u32| {
        let settings = CropSettings { ratio: [1.0, 1.0], max_class_share, crop_tries, ..unchanged() };
        let mixed = |sample: &u64| {
            let crop = settings.draw(&labels, key(*sample));
            let share = crop.labels.iter().filter(|&&class| class == 3).count() as f64 / 4096.0;
            share > 0.25 && share < 0.75
        };
        (0..200).filter(mixed).count()
    };
    let [unchecked, none, one, ten] = [count(1.0, 10), count(0.75, 0), count(0.75, 1), count(0.75, 10)];
    // A sixth of all places do.
    assert_eq!(unchecked, none);
    assert!(
        (15..60).contains(&unchecked) && unchecked < one && one < ten && ten > 140,
        "{unchecked} {one} {ten}"
    );
}

#[test]
fn numbers_are_drawn_from_their_ranges() {
    let settings = CropSettings { jitter_probability: 1.0, ..CropSettings::default() };
    let drawn = |settings: &CropSettings| -> Vec<Distortion> {
        (0..3000).map(|sample| Distortion::draw(settings, &mut key(sample).rng())).collect()
    };
    let all = drawn(&settings);
    let range = |of: fn(&Distortion) -> Option<f64>| {
        let numbers = || all.iter().map(|distortion| of(distortion).unwrap());
        [numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max)]
    };
    let near =
        |[low, high]: [f64; 2], [a, b]: [f64; 2]| low >= a && high <= b && (high - low) > 0.99 * (b - a);
    assert!(near(range(|drawn| drawn.brightness), [-32.0, 32.0]));
    assert!(near(range(|drawn| drawn.contrast), [0.5, 1.5]));
    assert!(near(range(|drawn| drawn.saturation), [0.5, 1.5]));
    assert_eq!(range(|drawn| drawn.hue.map(f64::from)), [-18.0, 17.0]);
    let first = all.iter().filter(|distortion| distortion.contrast_first).count();
    assert!((1400..1600).contains(&first), "{first}");
    let half = drawn(&CropSettings::default());
    let used = half.iter().filter(|distortion| distortion.hue.is_some()).count();
    assert!((1400..1600).contains(&used), "{used}");
    let none = CropSettings { hue: 0.0, brightness: 0.0, contrast: 0.0, ..settings };
    assert!(
        drawn(&none)
            .iter()
            .all(|drawn| (drawn.hue, drawn.brightness, drawn.contrast) == (Some(0), Some(0.0), Some(1.0)))
    );
}

#[test]
fn settings_out_of_range_are_named_and_unknown_keys_refused() {
    let invalid = |change: fn(&mut CropSettings)| {
        let mut settings = CropSettings::default();
        change(&mut settings);
        settings.validate().unwrap_err().key
    };
    assert_eq!(invalid(|s| s.size = 0), "augment.size");
    assert_eq!(invalid(|s| s.scale = [0, 5]), "augment.scale");
    assert_eq!(invalid(|s| s.ratio = [2.0, 0.5]), "augment.ratio");
    assert_eq!(invalid(|s| s.max_class_share = 0.0), "augment.max_class_share");
    assert_eq!(invalid(|s| s.crop_tries = 1001), "augment.crop_tries");
    assert_eq!(invalid(|s| s.flip_probability = f64::NAN), "augment.flip_probability");
    assert_eq!(invalid(|s| s.jitter_probability = 1.5), "augment.jitter_probability");
    assert_eq!(invalid(|s| s.brightness = 256.0), "augment.brightness");
    assert_eq!(invalid(|s| s.hue = 0.6), "augment.hue");
    assert!(CropSettings::default().validate().is_ok());
    assert!(CropSettings { scale: [0, 0], ..CropSettings::default() }.validate().is_ok());
    let read: CropSettings = serde_json::from_str(r#"{"size": 65, "scale": [0, 0]}"#).unwrap();
    assert_eq!((read.size, read.crop_tries), (65, 10));
    assert!(serde_json::from_str::<CropSettings>(r#"{"sise": 32}"#).is_err());
}
