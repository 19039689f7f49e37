//! One made-up picture: grounds, shapes, light, and the class of each pixel.

use std::f64::consts::TAU;

use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};

use super::texture::Texture;
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

/// A shape on the ground: disc, square, triangle or ring, turned and placed at random.
struct Shape {
    class: u8,
    centre: (f64, f64),
    radius: f64,
    angle: (f64, f64),
    texture: Texture,
}

/// Everything in a picture; lengths in pixels.
struct Scene {
    grounds: [Texture; 2],
    /// A point on the border between the grounds and the direction across it.
    border: (f64, f64),
    across: (f64, f64),
    wave: (f64, f64),
    shapes: Vec<Shape>,
    /// Where the light comes from and how strong its fall-off is.
    light: (f64, f64),
}

/// Draws picture `number` of a seed, `width x height` pixels.
pub fn draw_picture((width, height): (u32, u32), seed: u64, number: u64) -> DemoPicture {
    let mut rng = Key::new(seed, Purpose::Demo).sample(number).rng();
    let scene = Scene::draw(f64::from(width), f64::from(height), &mut rng);
    let mut image = RgbImage::new(width, height);
    let mut labels = Vec::with_capacity(width as usize * height as usize);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    for ((x, y), pixel) in places.zip(image.pixels.chunks_exact_mut(3)) {
        labels.push(scene.class_at(f64::from(x) + 0.5, f64::from(y) + 0.5));
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
        let grounds = [Texture::draw(0, side, rng), Texture::draw(1, side, rng)];
        let count = rng.random_range(2..=5);
        let shapes = (0..count).map(|_| Shape::draw(width, height, rng)).collect();
        let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        let across = between(0.0, TAU);
        Self {
            grounds,
            border: (width * between(0.2, 0.8), height * between(0.2, 0.8)),
            across: (across.cos(), across.sin()),
            wave: (side * between(0.02, 0.1), between(1.0, 3.0) * TAU / side),
            shapes,
            light: (between(-0.3, 0.3) / width, between(-0.3, 0.3) / height),
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
            let light = 1.0 + (x - self.border.0) * self.light.0 + (y - self.border.1) * self.light.1;
            let colour = self.colour_at(x, y);
            for (sum, channel) in sum.iter_mut().zip(colour) {
                *sum += channel * light / f64::from(SUPERSAMPLING * SUPERSAMPLING);
            }
        }
        sum
    }

    fn shape_at(&self, x: f64, y: f64) -> Option<&Shape> {
        self.shapes.iter().rev().find(|shape| shape.covers(x, y))
    }

    /// 0 or 1: the side of the wavy border.
    fn ground_at(&self, x: f64, y: f64) -> u8 {
        let (dx, dy) = (x - self.border.0, y - self.border.1);
        let distance = dx * self.across.0 + dy * self.across.1;
        let along = dy * self.across.0 - dx * self.across.1;
        u8::from(distance + self.wave.0 * (along * self.wave.1).sin() > 0.0)
    }

    fn class_at(&self, x: f64, y: f64) -> u8 {
        self.shape_at(x, y).map_or_else(|| self.ground_at(x, y), |shape| shape.class)
    }

    fn colour_at(&self, x: f64, y: f64) -> [f64; 3] {
        match self.shape_at(x, y) {
            Some(shape) => {
                let (x, y) = shape.local(x, y);
                shape.texture.colour(x, y)
            }
            None => self.grounds[usize::from(self.ground_at(x, y))].colour(x, y),
        }
    }
}

impl Shape {
    fn draw(width: f64, height: f64, rng: &mut ChaCha8Rng) -> Self {
        let side = width.min(height);
        let class = rng.random_range(2..=5);
        let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        let centre = (width * between(0.1, 0.9), height * between(0.1, 0.9));
        let (radius, angle) = (side * between(0.14, 0.3), between(0.0, TAU));
        Self {
            class,
            centre,
            radius,
            angle: (angle.cos(), angle.sin()),
            texture: Texture::draw(class, side, rng),
        }
    }

    /// Coordinates from the middle of the shape, along its own axes, in pixels.
    fn local(&self, x: f64, y: f64) -> (f64, f64) {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        (dx * self.angle.0 + dy * self.angle.1, dy * self.angle.0 - dx * self.angle.1)
    }

    fn covers(&self, x: f64, y: f64) -> bool {
        let (x, y) = self.local(x, y);
        let (u, v) = (x / self.radius, y / self.radius);
        match self.class {
            2 => u.hypot(v) < 0.95,
            3 => u.abs().max(v.abs()) < 0.82,
            4 => v < 0.55 && v > 1.75 * u.abs() - 1.05,
            _ => (0.55..1.05).contains(&u.hypot(v)),
        }
    }
}
