//! Drawing the parameters of two views from a key, as torchvision's transforms distribute them.

use densesiam_geometry::{Region, View};
use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};
use densesiam_settings::SettingError;

use super::RandomViews;
use crate::image::RgbImage;
use crate::views::photometric::{around_one, chance, uniform};
use crate::views::{
    ApplyError, Augmentation, DrawError, Jitter, JitterOperation, Photometric, ViewMaker, ViewParameters,
};

/// Crops that are tried before the centre crop is taken, as in torchvision.
const CROP_TRIES: usize = 10;

/// The parameters of both views of a picture, and the overlap of the two crops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomPair {
    /// Both views.
    pub views: [ViewParameters; 2],
    /// The part of the picture that both show, in image space; `None` if every try failed.
    pub overlap: Option<Region>,
    /// How often the second crop was drawn again.
    pub redraws: u32,
    /// Width and height of the picture in pixels.
    pub picture: [u32; 2],
}

impl RandomPair {
    /// Crop and flip of both views.
    pub fn geometry(&self) -> [View; 2] {
        self.views.map(|parameters| parameters.view)
    }
}

impl RandomViews {
    /// Draws both views. View and purpose of `key` are not read. If the crops do not overlap, the second is drawn
    /// again, `overlap_tries` times at most (ours; attempt `a` of the second view has `1 + 2 a` as the view of its
    /// key).
    pub fn draw(&self, size: (u32, u32), key: Key) -> RandomPair {
        let geometry = |view: u32| {
            let key = Key { purpose: Purpose::Geometry, ..key.view(view) };
            draw_geometry(self, size, &mut key.rng())
        };
        let first = geometry(0);
        let mut second = geometry(1);
        let mut redraws = 0;
        while first.overlap(&second).is_none() && redraws < self.overlap_tries {
            redraws += 1;
            second = geometry(1 + 2 * redraws);
        }
        let parameters = |view: View, index: u32| {
            let key = Key { purpose: Purpose::Photometric, ..key.view(index) };
            ViewParameters { view, photometric: draw_photometric(self, index as usize, &mut key.rng()) }
        };
        let views = [parameters(first, 0), parameters(second, 1)];
        RandomPair { views, overlap: first.overlap(&second), redraws, picture: size.into() }
    }
}

impl Augmentation for RandomViews {
    type Drawn = RandomPair;

    fn validate(&self) -> Result<(), SettingError> {
        RandomViews::validate(self)
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.size; 2]
    }

    fn draw(&self, size: (u32, u32), key: Key) -> Result<RandomPair, DrawError> {
        Ok(RandomViews::draw(self, size, key))
    }

    fn apply(
        &self,
        pair: &RandomPair,
        view: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        maker.set_interpolation(self.interpolation);
        maker.apply(image, &pair.views[view], out)
    }
}

fn draw_geometry(settings: &RandomViews, size: (u32, u32), rng: &mut ChaCha8Rng) -> View {
    let flip = chance(settings.flip_probability, rng);
    View { crop: draw_crop(settings, size, rng), flip }
}

/// torchvision's `RandomResizedCrop.get_params`: a box of whole pixels, uniform in area, log-uniform in ratio.
fn draw_crop(settings: &RandomViews, size: (u32, u32), rng: &mut ChaCha8Rng) -> Region {
    crop_of(settings.scale, settings.ratio, size, rng)
}

/// The same for any scale and ratio.
pub(in crate::views) fn crop_of(
    scale: [f64; 2],
    ratio: [f64; 2],
    (width, height): (u32, u32),
    rng: &mut ChaCha8Rng,
) -> Region {
    let area = f64::from(width) * f64::from(height);
    for _ in 0..CROP_TRIES {
        let target = area * uniform(scale, rng);
        let drawn = uniform(ratio.map(f64::ln), rng).exp();
        let crop_width = (target * drawn).sqrt().round_ties_even();
        let crop_height = (target / drawn).sqrt().round_ties_even();
        let fits = |side: f64, limit: u32| side >= 1.0 && side <= f64::from(limit);
        if fits(crop_width, width) && fits(crop_height, height) {
            let left = rng.random_range(0..=width - crop_width as u32);
            let top = rng.random_range(0..=height - crop_height as u32);
            return crop_box(left.into(), top.into(), crop_width, crop_height);
        }
    }
    centre_crop(ratio, width.into(), height.into())
}

/// The largest centred box whose ratio is allowed.
fn centre_crop([narrowest, widest]: [f64; 2], width: f64, height: f64) -> Region {
    let ratio = (width / height).clamp(narrowest, widest);
    let crop_width = width.min((height * ratio).round_ties_even().max(1.0));
    let crop_height = height.min((width / ratio).round_ties_even().max(1.0));
    let left = ((width - crop_width) / 2.0).floor();
    let top = ((height - crop_height) / 2.0).floor();
    crop_box(left, top, crop_width, crop_height)
}

fn crop_box(left: f64, top: f64, width: f64, height: f64) -> Region {
    Region { x0: left, y0: top, x1: left + width, y1: top + height }
}

/// Every number is drawn, whether it is used or not, so that changing one probability leaves all other draws unchanged.
pub(in crate::views) fn draw_photometric(
    settings: &RandomViews,
    view: usize,
    rng: &mut ChaCha8Rng,
) -> Photometric {
    let jittered = chance(settings.jitter_probability, rng);
    let jitter = draw_jitter(settings, rng);
    let grayscale = chance(settings.grayscale_probability, rng);
    let blurred = chance(settings.blur_probability.of(view), rng);
    let sigma = uniform(settings.blur_sigma, rng);
    let solarize = chance(settings.solarize_probability.of(view), rng);
    let blur_sigma = blurred.then_some(sigma);
    Photometric { jitter: jittered.then_some(jitter), grayscale, blur_sigma, solarize }
}

fn draw_jitter(settings: &RandomViews, rng: &mut ChaCha8Rng) -> Jitter {
    let mut factor = |strength: f64| uniform(around_one(strength), rng);
    let brightness = factor(settings.brightness);
    let contrast = factor(settings.contrast);
    let saturation = factor(settings.saturation);
    let hue = uniform([-settings.hue, settings.hue], rng);
    Jitter { brightness, contrast, saturation, hue, order: draw_order(rng) }
}

fn draw_order(rng: &mut ChaCha8Rng) -> [JitterOperation; 4] {
    use JitterOperation::{Brightness, Contrast, Hue, Saturation};
    let mut order = [Brightness, Contrast, Saturation, Hue];
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last as u32) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::PerView;

    const KEY: Key = Key { seed: 3, epoch: 0, sample: 0, view: 0, purpose: Purpose::Geometry };

    #[test]
    fn crops_lie_in_the_picture_and_keep_scale_and_ratio() {
        let settings = RandomViews::default();
        for sample in 0..2000 {
            let pair = settings.draw((500, 375), KEY.sample(sample));
            for ViewParameters { view: View { crop, .. }, .. } in pair.views {
                assert!(crop.x0 >= 0.0 && crop.y0 >= 0.0 && crop.x1 <= 500.0 && crop.y1 <= 375.0, "{crop:?}");
                let share = crop.width() * crop.height() / (500.0 * 375.0);
                assert!((0.195..=1.0).contains(&share), "{share}");
                assert!((0.74..=1.35).contains(&(crop.width() / crop.height())), "{crop:?}");
            }
            assert_eq!(pair.overlap, pair.views[0].view.overlap(&pair.views[1].view));
        }
    }

    #[test]
    fn shares_of_the_random_choices_are_as_set() {
        let settings = RandomViews::default();
        let drawn: Vec<_> = (0..4000).flat_map(|s| settings.draw((300, 200), KEY.sample(s)).views).collect();
        let share = |holds: fn(&ViewParameters) -> bool| {
            drawn.iter().filter(|view| holds(view)).count() as f64 / drawn.len() as f64
        };
        assert!((share(|v| v.photometric.jitter.is_some()) - 0.8).abs() < 0.02);
        assert!((share(|v| v.photometric.grayscale) - 0.2).abs() < 0.02);
        assert!((share(|v| v.photometric.blur_sigma.is_some()) - 0.5).abs() < 0.02);
        assert!((share(|v| v.view.flip) - 0.5).abs() < 0.02);
        let hue_first =
            |v: &ViewParameters| v.photometric.jitter.is_some_and(|j| j.order[0] == JitterOperation::Hue);
        assert!((share(hue_first) - 0.2).abs() < 0.02);
    }

    #[test]
    fn each_view_has_its_own_blur_and_solarisation() {
        let settings = RandomViews {
            blur_probability: PerView::Each([1.0, 0.1]),
            solarize_probability: PerView::Each([0.0, 0.2]),
            ..RandomViews::default()
        };
        let pairs: Vec<_> = (0..4000).map(|s| settings.draw((300, 200), KEY.sample(s)).views).collect();
        let share = |view: usize, holds: fn(&Photometric) -> bool| {
            pairs.iter().filter(|views| holds(&views[view].photometric)).count() as f64 / pairs.len() as f64
        };
        let blurred = |view: usize| share(view, |drawn| drawn.blur_sigma.is_some());
        let solarized = |view: usize| share(view, |drawn| drawn.solarize);
        assert_eq!([blurred(0), solarized(0)], [1.0, 0.0]);
        assert!((blurred(1) - 0.1).abs() < 0.02);
        assert!((solarized(1) - 0.2).abs() < 0.02);
    }

    #[test]
    fn changing_a_probability_leaves_the_other_draws() {
        let never = RandomViews { jitter_probability: 0.0, ..RandomViews::default() };
        for sample in 0..50 {
            let with = RandomViews::default().draw((300, 200), KEY.sample(sample)).views[0];
            let without = never.draw((300, 200), KEY.sample(sample)).views[0];
            assert_eq!(with.view, without.view);
            assert_eq!(with.photometric.blur_sigma, without.photometric.blur_sigma);
        }
    }

    #[test]
    fn crops_without_overlap_are_drawn_again_and_counted() {
        let small = RandomViews { scale: [0.01, 0.02], ..RandomViews::default() };
        let patient = RandomViews { overlap_tries: 1000, ..small.clone() };
        let pairs: Vec<_> = (0..200).map(|s| small.draw((500, 375), KEY.sample(s))).collect();
        assert!(pairs.iter().any(|pair| pair.overlap.is_none() && pair.redraws == 10));
        assert!(pairs.iter().all(|pair| pair.overlap.is_some() || pair.redraws == 10));
        let found: Vec<_> = (0..200).map(|s| patient.draw((500, 375), KEY.sample(s))).collect();
        assert!(found.iter().all(|pair| pair.overlap.is_some()));
        for (pair, found) in pairs.iter().zip(&found).filter(|(pair, _)| pair.overlap.is_some()) {
            assert_eq!(pair, found, "more patience must not change a pair that was found");
        }
    }

    #[test]
    fn a_point_of_the_overlap_lies_in_both_views() {
        for sample in 0..200 {
            let pair = RandomViews::default().draw((640, 427), KEY.sample(sample));
            for point in pair.overlap.iter().flat_map(|overlap| overlap.cell_centres(7)) {
                for parameters in pair.views {
                    let seen = parameters.view.view_from_image(point);
                    assert!(seen.x.abs() <= 1.0 && seen.y.abs() <= 1.0);
                    let back = parameters.view.image_from_view(seen);
                    assert!((back.x - point.x).abs() < 1e-9 && (back.y - point.y).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn extreme_pictures_get_a_centre_crop() {
        for size in [(1, 1), (1000, 1), (1, 1000), (2, 3)] {
            for sample in 0..50 {
                let crop = RandomViews::default().draw(size, KEY.sample(sample)).views[0].view.crop;
                assert!(crop.width() >= 1.0 && crop.x1 <= size.0.into(), "{size:?} {crop:?}");
                assert!(crop.height() >= 1.0 && crop.y1 <= size.1.into(), "{size:?} {crop:?}");
            }
        }
        assert_eq!(centre_crop([0.75, 4.0 / 3.0], 1000.0, 30.0), crop_box(480.0, 0.0, 40.0, 30.0));
        assert_eq!(centre_crop([0.75, 4.0 / 3.0], 30.0, 1000.0), crop_box(0.0, 480.0, 30.0, 40.0));
    }
}
