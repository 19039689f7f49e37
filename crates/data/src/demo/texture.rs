//! What the surface of each class looks like: one pattern and one family of colours a class.

use std::f64::consts::TAU;

use densesiam_random::{ChaCha8Rng, RngExt};

/// The surface of one thing in one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texture {
    class: u8,
    hue: f64,
    saturation: f64,
    value: f64,
    /// Pixels per period of the pattern.
    period: f64,
    direction: (f64, f64),
    seed: u64,
}

/// Middle of the hues of each class, in turns.
const HUES: [f64; 4] = [0.32, 0.12, 0.97, 0.60];

/// Middle of the brightness.
const VALUES: [f64; 4] = [0.6, 0.9, 0.7, 0.45];

impl Texture {
    /// Draws a surface for `class`; `side` is the shorter side of the picture in pixels.
    pub(super) fn draw(class: u8, side: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        let saturation = between(0.55, 0.8);
        let angle = between(0.0, TAU);
        Self {
            class,
            hue: HUES[usize::from(class)] + between(-0.03, 0.03),
            saturation,
            value: VALUES[usize::from(class)] + between(-0.05, 0.05),
            period: side * between(0.06, 0.1),
            direction: (angle.cos(), angle.sin()),
            seed: rng.random(),
        }
    }

    /// Colour at `(x, y)` pixels from the middle of the thing, each channel within 0 and 1.
    pub(super) fn colour(&self, x: f64, y: f64) -> [f64; 3] {
        let (cosine, sine) = self.direction;
        let (u, v) = ((x * cosine + y * sine) / self.period, (y * cosine - x * sine) / self.period);
        let pattern = self.pattern(u, v);
        let grain = 0.08 * (noise(x * 0.9, y * 0.9, self.seed) - 0.5);
        let hue = self.hue + 0.05 * (pattern - 0.5);
        from_hsv(hue, self.saturation * (1.1 - 0.4 * pattern), self.value * (0.85 + 0.2 * pattern) + grain)
    }

    /// The pattern of the class within 0 and 1, at `(u, v)` periods.
    fn pattern(&self, u: f64, v: f64) -> f64 {
        let wave = |phase: f64| 0.5 + 0.5 * (TAU * phase).sin();
        match self.class {
            0 => 0.6 * noise(u * 1.2, v * 1.2, self.seed) + 0.4 * noise(u * 3.1, v * 3.1, self.seed + 1),
            1 => wave(0.8 * u + 0.5 * noise(u * 0.5, v * 0.5, self.seed)),
            2 => {
                soft_step(wave(u * 0.5) - 0.5) * soft_step(wave(v * 0.5) - 0.5) * 2.0
                    + soft_step(wave(u * 0.5) - 0.5).min(0.3)
            }
            3 => soft_step(wave(u * 0.9) - 0.5),
            4 => soft_step(0.32 - (u - u.round()).hypot(v - v.round())),
            _ => wave(u.hypot(v) * 0.8),
        }
        .clamp(0.0, 1.0)
    }
}

/// 0 below, 1 above, with a narrow ramp.
fn soft_step(value: f64) -> f64 {
    (0.5 + value * 5.0).clamp(0.0, 1.0)
}

/// Smooth value noise within 0 and 1: random levels on whole coordinates, blended in between.
pub(super) fn noise(x: f64, y: f64, seed: u64) -> f64 {
    let (column, row) = (x.floor(), y.floor());
    let ease = |t: f64| t * t * (3.0 - 2.0 * t);
    let (s, t) = (ease(x - column), ease(y - row));
    let corner = |i: f64, j: f64| lattice(column + i, row + j, seed);
    let top = corner(0.0, 0.0) + s * (corner(1.0, 0.0) - corner(0.0, 0.0));
    let bottom = corner(0.0, 1.0) + s * (corner(1.0, 1.0) - corner(0.0, 1.0));
    top + t * (bottom - top)
}

/// The level of one lattice point: splitmix64's finaliser over its coordinates.
fn lattice(column: f64, row: f64, seed: u64) -> f64 {
    let mut z = seed ^ (column as i64 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = z.wrapping_add((row as i64 as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn from_hsv(hue: f64, saturation: f64, value: f64) -> [f64; 3] {
    let (saturation, value) = (saturation.clamp(0.0, 1.0), value.clamp(0.0, 1.0));
    [5.0, 3.0, 1.0].map(|offset| {
        let position = (offset + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * position.min(4.0 - position).clamp(0.0, 1.0)
    })
}
