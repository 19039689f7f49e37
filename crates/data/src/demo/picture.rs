//! One made-up picture: patches of land, light, and the class of each pixel.

use std::array;

use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};

use super::CLASSES;
use super::texture::{Texture, noise};
use crate::image::RgbImage;

/// Samples a pixel has along either side, for smooth edges.
const SUPERSAMPLING: u32 = 2;

/// A made-up picture and the class of each of its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoPicture {
    /// The picture.
    pub image: RgbImage,
    /// Position in [`super::CLASSES`] of each pixel's class, row by row.
    pub labels: Vec<u8>,
}

/// A piece of land: all that is nearer to its centre than to another's.
struct Patch {
    class: u8,
    centre: (f64, f64),
    texture: Texture,
}

/// Everything in a picture; lengths in pixels.
struct Scene {
    patches: [Patch; CLASSES.len()],
    /// How far, how often and by which noise the borders are bent.
    bend: (f64, f64, u64),
    /// Where the light comes from and how strong its fall-off is.
    light: (f64, f64),
    middle: (f64, f64),
}

/// Draws picture `number` of a seed, `width x height` pixels.
pub fn draw_picture((width, height): (u32, u32), seed: u64, number: u64) -> DemoPicture {
    let mut rng = Key::new(seed, Purpose::Demo).sample(number).rng();
    let scene = Scene::draw(f64::from(width), f64::from(height), &mut rng);
    let mut image = RgbImage::new(width, height);
    let mut labels = Vec::with_capacity(width as usize * height as usize);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    for ((x, y), pixel) in places.zip(image.pixels.chunks_exact_mut(3)) {
        labels.push(scene.patch_at(f64::from(x) + 0.5, f64::from(y) + 0.5).class);
        let colour = scene.pixel(x, y);
        let sensor = 0.02 * (rng.random::<f64>() - 0.5);
        for (byte, channel) in pixel.iter_mut().zip(colour) {
            *byte = ((channel + sensor).clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
    DemoPicture { image, labels }
}

impl Scene {
    fn draw(width: f64, height: f64, rng: &mut ChaCha8Rng) -> Self {
        let side = width.min(height);
        // A place in each cell of a grid of two rows: no patch is a splinter, and no class has much more land than others.
        let mut classes: [u8; CLASSES.len()] = array::from_fn(|class| class as u8);
        classes.sort_by_cached_key(|_| rng.random::<u64>());
        let columns = classes.len().div_ceil(2);
        let patches = array::from_fn(|cell| {
            let mut inside =
                |index: usize, count: usize| (index as f64 + 0.2 + 0.6 * rng.random::<f64>()) / count as f64;
            let centre = (width * inside(cell % columns, columns), height * inside(cell / columns, 2));
            Patch { class: classes[cell], centre, texture: Texture::draw(classes[cell], side, rng) }
        });
        let bends = rng.random();
        let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        Self {
            patches,
            bend: (side * between(0.1, 0.25), between(3.0, 5.0) / side, bends),
            light: (between(-0.3, 0.3) / width, between(-0.3, 0.3) / height),
            middle: (width / 2.0, height / 2.0),
        }
    }

    /// Mean colour of the samples of a pixel, in the light that falls there.
    fn pixel(&self, x: u32, y: u32) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for sample in 0..SUPERSAMPLING * SUPERSAMPLING {
            let offset = |i: u32| (f64::from(i) + 0.5) / f64::from(SUPERSAMPLING);
            let (x, y) = (
                f64::from(x) + offset(sample % SUPERSAMPLING),
                f64::from(y) + offset(sample / SUPERSAMPLING),
            );
            let light = 1.0 + (x - self.middle.0) * self.light.0 + (y - self.middle.1) * self.light.1;
            let colour = self.patch_at(x, y).texture.colour(x, y);
            for (sum, channel) in sum.iter_mut().zip(colour) {
                *sum += channel * light / f64::from(SUPERSAMPLING * SUPERSAMPLING);
            }
        }
        sum
    }

    /// The patch whose centre is nearest, after the place has been moved by the noise that bends the borders.
    fn patch_at(&self, x: f64, y: f64) -> &Patch {
        let (far, often, seed) = self.bend;
        let moved = |seed| far * (noise(x * often, y * often, seed) - 0.5);
        let place = (x + moved(seed), y + moved(seed.wrapping_add(1)));
        let distance = |patch: &Patch| (patch.centre.0 - place.0).hypot(patch.centre.1 - place.1);
        let [first, others @ ..] = &self.patches;
        let nearer = |nearest, patch| if distance(patch) < distance(nearest) { patch } else { nearest };
        others.iter().fold(first, nearer)
    }
}
