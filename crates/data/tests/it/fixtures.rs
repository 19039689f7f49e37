//! Crop, colours and blur against what Pillow and torchvision make of the same parameters (files `augment-*`).

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::image::RgbImage;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_data::views::{Jitter, JitterOperation, Photometric, ViewMaker, ViewParameters};
use densesiam_geometry::{Region, View};
use safetensors::SafeTensors;

/// Leaves the view as it is, in the order of the fixtures' chain.
const NEUTRAL: Jitter = Jitter {
    brightness: 1.0,
    contrast: 1.0,
    saturation: 1.0,
    hue: 0.0,
    order: [
        JitterOperation::Brightness,
        JitterOperation::Contrast,
        JitterOperation::Saturation,
        JitterOperation::Hue,
    ],
};

/// One picture of a file and the reference results, all as stored.
struct Case<'a> {
    name: String,
    tensors: &'a SafeTensors<'a>,
    settings: serde_json::Value,
    number: usize,
}

#[test]
fn parity_augment_views_agree_with_pillow_and_torchvision() {
    for path in densesiam_fixtures::family("augment") {
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut count = 0;
        while let Some(settings) = metadata.get(&count.to_string()) {
            let settings = serde_json::from_str(settings).unwrap();
            let name = format!("{} picture {count}", path.display());
            Case { name, tensors: &tensors, settings, number: count }.check();
            count += 1;
        }
        assert!(count > 0, "{} has no picture", path.display());
    }
}

impl Case<'_> {
    fn bytes(&self, part: &str) -> &[u8] {
        self.tensors.tensor(&format!("{}.{part}", self.number)).unwrap().data()
    }

    fn setting(&self, key: &str) -> f64 {
        self.settings[key].as_f64().unwrap_or_else(|| panic!("{}: no setting {key}", self.name))
    }

    fn check(&self) {
        let decoded = decode(self.bytes("jpeg"), &DecodeLimits::default()).unwrap();
        self.close("image", &decoded.pixels, 1.0, 255);
        let shape = self.tensors.tensor(&format!("{}.image", self.number)).unwrap().shape().to_vec();
        let image = RgbImage {
            width: shape[1] as u32,
            height: shape[0] as u32,
            pixels: self.bytes("image").to_vec(),
        };
        let (left, top) = (self.setting("left"), self.setting("top"));
        let crop =
            Region { x0: left, y0: top, x1: left + self.setting("width"), y1: top + self.setting("height") };
        let whole = self.view(&image, crop, Photometric::IDENTITY, false);
        self.close("crop", &whole, 1.0, 255);
        self.check_operations();
    }

    /// Every operation on the reference's own crop, alone and chained.
    fn check_operations(&self) {
        let [brightness, contrast, saturation, hue, sigma] =
            ["brightness", "contrast", "saturation", "hue", "sigma"].map(|key| self.setting(key));
        let jitter = |jitter| Photometric { jitter: Some(jitter), ..Photometric::IDENTITY };
        let blur = Photometric { blur_sigma: Some(sigma), ..Photometric::IDENTITY };
        let chain = Jitter { brightness, contrast, saturation, hue, ..NEUTRAL };
        let cases = [
            ("brightness", jitter(Jitter { brightness, ..NEUTRAL }), 0.6, 1),
            ("contrast", jitter(Jitter { contrast, ..NEUTRAL }), 0.6, 1),
            ("saturation", jitter(Jitter { saturation, ..NEUTRAL }), 0.6, 1),
            ("gray", Photometric { grayscale: true, ..Photometric::IDENTITY }, 0.6, 1),
            ("hue", jitter(Jitter { hue, ..NEUTRAL }), 2.0, 255),
            ("blur", blur, 2.0, 255),
            ("chain", Photometric { jitter: Some(chain), ..blur }, 2.0, 255),
        ];
        let size = self.setting("size") as u32;
        let crop = RgbImage { width: size, height: size, pixels: self.bytes("crop").to_vec() };
        let whole = Region { x0: 0.0, y0: 0.0, x1: size.into(), y1: size.into() };
        for (part, photometric, mean, most) in cases {
            self.close(part, &self.view(&crop, whole, photometric, part == "chain"), mean, most);
        }
    }

    fn view(&self, image: &RgbImage, crop: Region, photometric: Photometric, flip: bool) -> Vec<u8> {
        let size = self.setting("size") as u32;
        let mut out = vec![0; (size * size * 3) as usize];
        let parameters = ViewParameters { view: View { crop, flip }, photometric };
        ViewMaker::new(size).apply(image, &parameters, &mut out).unwrap();
        out
    }

    fn close(&self, part: &str, ours: &[u8], mean: f64, most: u8) {
        let reference = self.bytes(part);
        assert_eq!(ours.len(), reference.len(), "{} {part}", self.name);
        let differences = || ours.iter().zip(reference).map(|(a, b)| a.abs_diff(*b));
        let found = differences().map(f64::from).sum::<f64>() / ours.len() as f64;
        let largest = differences().max().unwrap();
        println!("{} {part}: mean {found:.3}, largest {largest}", self.name);
        assert!(found <= mean && largest <= most, "{} {part}: mean {found}, largest {largest}", self.name);
    }
}

#[test]
fn a_flip_mirrors_the_view() {
    let image = densesiam_data::demo::draw_picture((60, 50), 1, 0).image;
    let whole = Region { x0: 3.0, y0: 2.0, x1: 58.0, y1: 44.0 };
    let view = |flip| {
        let mut view = RgbImage::new(33, 33);
        let parameters =
            ViewParameters { view: View { crop: whole, flip }, photometric: Photometric::IDENTITY };
        ViewMaker::new(33).apply(&image, &parameters, &mut view.pixels).unwrap();
        view
    };
    let (plain, mirrored) = (view(false), view(true));
    for (x, y) in (0..33).flat_map(|y| (0..33).map(move |x| (x, y))) {
        assert_eq!(plain.pixel(x, y), mirrored.pixel(32 - x, y));
    }
}

#[test]
fn resizing_keeps_a_constant_and_a_mean() {
    let mut image = RgbImage::new(90, 70);
    image.pixels.fill(77);
    let small = resize_to(&image, 17, 23, &mut ResizeScratch::default()).unwrap();
    assert!(small.pixels.iter().all(|&level| level == 77));
    let picture = densesiam_data::demo::draw_picture((90, 70), 1, 0).image;
    let small = resize_to(&picture, 30, 35, &mut ResizeScratch::default()).unwrap();
    let mean = |image: &RgbImage| {
        image.pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / image.pixels.len() as f64
    };
    assert!((mean(&picture) - mean(&small)).abs() < 1.0);
}

#[test]
fn a_crop_outside_the_picture_is_refused() {
    let image = RgbImage::new(20, 20);
    let outside = Region { x0: 5.0, y0: 5.0, x1: 25.0, y1: 15.0 };
    let parameters =
        ViewParameters { view: View { crop: outside, flip: false }, photometric: Photometric::IDENTITY };
    let error = ViewMaker::new(8).apply(&image, &parameters, &mut [0; 192]).unwrap_err();
    assert!(error.to_string().contains("must lie inside"), "{error}");
    let error = ViewMaker::new(8).apply(&image, &parameters, &mut [0; 191]).unwrap_err();
    assert!(error.to_string().contains("191"), "{error}");
}
