//! Drawing the parameters of two aligned views from a key.

use densesiam_geometry::{Fraction, Region, View};
use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};
use densesiam_settings::SettingError;

use super::{AlignedViews, BlurDraw, CropRounding};
use crate::frame::Frame;
use crate::image::RgbImage;
use crate::views::photometric::{around_one, chance, uniform};
use crate::views::{
    ApplyError, Augmentation, DrawError, Jitter, JitterOperation, Photometric, ViewMaker, ViewParameters,
};

/// The pixels of a view for one cell of the feature map, along each axis.
const STRIDE: u32 = 4;

/// The order in which the release applies the four colour operations.
const ORDER: [JitterOperation; 4] = [
    JitterOperation::Brightness,
    JitterOperation::Contrast,
    JitterOperation::Saturation,
    JitterOperation::Hue,
];

/// Everything that makes the two views of one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlignedPair {
    /// View 1 (cropped and perhaps mirrored) and view 2 (the whole frame); crops in image space.
    pub views: [ViewParameters; 2],
    /// The square frame, in image space.
    pub frame: Region,
    /// The part of the feature map of view 2 that shows what view 1 shows.
    pub feature_box: Fraction,
    /// Whether view 1 is mirrored, and with it the cropped features of view 2.
    pub flip: bool,
}

impl AlignedViews {
    /// Draws both views. View and purpose of `key` are not read, nor is its epoch if settings ask for replay.
    pub fn draw(&self, size: (u32, u32), key: Key) -> AlignedPair {
        let key = if self.replay { key.epoch(0) } else { key };
        let rng = &mut Key { purpose: Purpose::Geometry, ..key.view(0) }.rng();
        let crop = CropDraw {
            ratio: uniform(self.crop_ratio, rng),
            // In the released code the first of the two numbers determines the rows.
            down: rng.random(),
            right: rng.random(),
        };
        let flip = chance(self.flip_probability, rng);
        let (pixel_box, feature_box) = crop.boxes(self);
        let frame = Frame::centred(size, self.base_size).region();
        let photometric = |view: u32, ratio: f64| {
            let key = Key { purpose: Purpose::Photometric, ..key.view(view) };
            let pixels_per_base = f64::from(self.size) / (ratio * f64::from(self.base_size));
            draw_photometric(self, pixels_per_base, &mut key.rng())
        };
        let first = View { crop: pixel_box.of(&frame), flip };
        let second = View { crop: frame, flip: false };
        let views = [
            ViewParameters { view: first, photometric: photometric(0, pixel_box.width()) },
            ViewParameters { view: second, photometric: photometric(1, 1.0) },
        ];
        AlignedPair { views, frame, feature_box, flip }
    }
}

impl Augmentation for AlignedViews {
    type Drawn = AlignedPair;

    fn validate(&self) -> Result<(), SettingError> {
        AlignedViews::validate(self)
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.size; if self.view_1_alone { 1 } else { 2 }]
    }

    fn draw(&self, size: (u32, u32), key: Key) -> Result<AlignedPair, DrawError> {
        Ok(AlignedViews::draw(self, size, key))
    }

    fn apply(
        &self,
        pair: &AlignedPair,
        view: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        maker.apply_in_frame(image, &pair.frame, &pair.views[view], out)
    }
}

/// The numbers that determine the crop, each within `[0, 1]`.
struct CropDraw {
    ratio: f64,
    down: f64,
    right: f64,
}

impl CropDraw {
    /// The box for pixels and the box for features, as fractions of the frame.
    fn boxes(&self, settings: &AlignedViews) -> (Fraction, Fraction) {
        match settings.crop {
            CropRounding::Exact => (self.exact(), self.exact()),
            CropRounding::Released => {
                (self.rounded(settings.base_size), self.rounded(settings.size.div_ceil(STRIDE)))
            }
        }
    }

    fn exact(&self) -> Fraction {
        let room = 1.0 - self.ratio;
        let (x0, y0) = (room * self.right, room * self.down);
        Fraction { x0, y0, x1: (x0 + self.ratio).min(1.0), y1: (y0 + self.ratio).min(1.0) }
    }

    /// The released rounding on a map of `side` pixels or cells: the side is rounded down, offsets to the nearest, half
    /// to even.
    fn rounded(&self, side: u32) -> Fraction {
        let side = f64::from(side);
        let length = (side * self.ratio).floor();
        let [x0, y0] = [self.right, self.down].map(|share| ((side - length) * share).round_ties_even());
        Fraction { x0: x0 / side, y0: y0 / side, x1: (x0 + length) / side, y1: (y0 + length) / side }
    }
}

/// Every number is drawn, whether it is used or not, so that changing one probability leaves all other draws unchanged.
/// `pixels_per_base` scales the blur: pixels of the view for one pixel of the frame at `base_size`.
fn draw_photometric(settings: &AlignedViews, pixels_per_base: f64, rng: &mut ChaCha8Rng) -> Photometric {
    let jitter = draw_jitter(settings, rng);
    let grayscale = chance(settings.grayscale_probability, rng);
    let blurred = chance(settings.blur_probability, rng);
    let [low, high] = settings.blur_sigma;
    let sigma = match settings.blur {
        BlurDraw::Intended => uniform([low, high], rng),
        BlurDraw::Released => uniform([2.0 * low - high, low], rng).abs(),
    };
    let blur_sigma = (blurred && sigma > 0.0).then_some(sigma * pixels_per_base);
    Photometric { jitter: Some(jitter), grayscale, blur_sigma, solarize: false }
}

/// One draw for each operation; an operation that is not applied has its neutral parameter.
fn draw_jitter(settings: &AlignedViews, rng: &mut ChaCha8Rng) -> Jitter {
    let mut parameter = |neutral: f64, range: [f64; 2]| {
        let applied = chance(settings.jitter_probability, rng);
        let drawn = uniform(range, rng);
        if applied { drawn } else { neutral }
    };
    Jitter {
        brightness: parameter(1.0, around_one(settings.brightness)),
        contrast: parameter(1.0, around_one(settings.contrast)),
        saturation: parameter(1.0, around_one(settings.saturation)),
        hue: parameter(0.0, [-settings.hue, settings.hue]),
        order: ORDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 3, epoch: 5, sample: 0, view: 0, purpose: Purpose::Geometry };

    fn drawn(settings: &AlignedViews, count: u64) -> Vec<AlignedPair> {
        (0..count).map(|sample| settings.draw((500, 375), KEY.sample(sample))).collect()
    }

    #[test]
    fn replay_leaves_the_epoch_out_and_fresh_does_not() {
        let fresh = AlignedViews { replay: false, ..AlignedViews::default() };
        for sample in 0..20 {
            let pair =
                |settings: &AlignedViews, epoch| settings.draw((500, 375), KEY.sample(sample).epoch(epoch));
            let replayed = AlignedViews::default();
            assert_eq!(pair(&replayed, 0), pair(&replayed, 7));
            assert_ne!(pair(&fresh, 0), pair(&fresh, 7));
            assert_eq!(pair(&fresh, 0), pair(&replayed, 7));
        }
    }

    #[test]
    fn view_1_and_the_features_of_view_2_show_the_same_image_points() {
        for AlignedPair { views: [first, second], feature_box, flip, .. } in
            drawn(&AlignedViews::default(), 200)
        {
            let Fraction { x0, y0, x1, y1 } = feature_box;
            let cells = View { crop: Region { x0, y0, x1, y1 }, flip };
            for cell in (Region { x0: -1.0, y0: -1.0, x1: 1.0, y1: 1.0 }).cell_centres(9) {
                let in_first = first.view.image_from_view(cell);
                let share = cells.image_from_view(cell);
                let in_second = second.view.crop.at(share.x, share.y);
                assert!((in_first.x - in_second.x).abs() < 1e-9 && (in_first.y - in_second.y).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_released_rounding_is_whole_pixels_and_apart_whole_cells() {
        let released = AlignedViews { crop: CropRounding::Released, ..AlignedViews::default() };
        let whole = |value: f64| (value - value.round()).abs() < 1e-9;
        let mut apart = Vec::new();
        for AlignedPair { views, frame, feature_box, .. } in drawn(&released, 500) {
            let x0 = (views[0].view.crop.x0 - frame.x0) / frame.width();
            assert!((x0 * 640.0 - (x0 * 640.0).round()).abs() < 1e-6, "{x0}");
            assert!(whole(feature_box.x0 * 80.0) && whole(feature_box.y1 * 80.0) && feature_box.x1 <= 1.0);
            apart.push((feature_box.x0 - x0).abs() * 80.0);
        }
        apart.sort_by(f64::total_cmp);
        // The side loses up to one cell, the offset is rounded by up to a half.
        assert!((0.1..0.5).contains(&apart[250]) && apart[499] < 1.6, "{} {} cells", apart[250], apart[499]);
    }

    #[test]
    fn a_whole_view_is_the_frame_as_it_is() {
        let whole = AlignedViews::default().whole();
        for AlignedPair { views: [view, _], frame, flip, .. } in drawn(&whole, 50) {
            assert!(view.view == View { crop: frame, flip: false } && !flip);
            let Photometric { jitter, grayscale, blur_sigma, .. } = view.photometric;
            let neutral = Jitter { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0, order: ORDER };
            assert_eq!((jitter, grayscale, blur_sigma), (Some(neutral), false, None));
        }
    }

    #[test]
    fn the_first_number_drives_the_rows() {
        let draw = CropDraw { ratio: 0.5, down: 1.0, right: 0.0 };
        for found in [draw.exact(), draw.rounded(80)] {
            assert_eq!(found, Fraction { x0: 0.0, y0: 0.5, x1: 0.5, y1: 1.0 });
        }
    }

    #[test]
    fn shares_of_the_random_choices_are_as_set() {
        let pairs = drawn(&AlignedViews::default(), 4000);
        let views: Vec<_> = pairs.iter().flat_map(|pair| pair.views).collect();
        let share = |holds: &dyn Fn(&Photometric) -> bool| {
            views.iter().filter(|view| holds(&view.photometric)).count() as f64 / views.len() as f64
        };
        assert!((share(&|p| p.jitter.unwrap().brightness != 1.0) - 0.8).abs() < 0.02);
        assert!((share(&|p| p.jitter.unwrap().contrast != 1.0) - 0.8).abs() < 0.02);
        assert!((share(&|p| p.jitter.unwrap().hue != 0.0) - 0.8).abs() < 0.02);
        assert!((share(&|p| p.grayscale) - 0.2).abs() < 0.02);
        assert!((share(&|p| p.blur_sigma.is_some()) - 0.5).abs() < 0.02);
        let flips = pairs.iter().filter(|pair| pair.flip).count() as f64 / 4000.0;
        assert!((flips - 0.5).abs() < 0.03);
    }

    #[test]
    fn blur_is_in_pixels_at_the_base_size() {
        let always = AlignedViews { blur_probability: 1.0, ..AlignedViews::default() };
        let released = AlignedViews { blur: BlurDraw::Released, ..always.clone() };
        let at_base = |pair: &AlignedPair| {
            let scale = [pair.feature_box.width() * 640.0 / 320.0, 640.0 / 320.0];
            [0, 1].map(|view| pair.views[view].photometric.blur_sigma.unwrap() * scale[view])
        };
        for (settings, low, high, mean) in [(always, 0.1, 2.0, 1.05), (released, 0.0, 1.8, 0.855)] {
            let sigmas: Vec<f64> = drawn(&settings, 2000).iter().flat_map(at_base).collect();
            assert!(sigmas.iter().all(|sigma| (low - 1e-9..=high + 1e-9).contains(sigma)));
            let found = sigmas.iter().sum::<f64>() / 4000.0;
            assert!((found - mean).abs() < 0.03, "{found}");
        }
    }
}
