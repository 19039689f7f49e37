//! Text, discs, rings and outlines, drawn into a picture.

use densesiam_geometry::{Point, Region};
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage};

/// Side of a letter of size 1, in pixels.
pub(super) const GLYPH: i64 = 8;
/// The replacement for a letter that the font lacks.
const UNKNOWN: [u8; 8] = [0, 0x3c, 0x24, 0x24, 0x24, 0x24, 0x3c, 0];

/// Writes `words` with their upper left corner at `(x, y)`, each letter `size` times its pixels.
pub(super) fn text(panel: &mut RgbImage, x: i64, y: i64, size: i64, words: &str, colour: Rgb<u8>) {
    let glyph = |letter| BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).unwrap_or(UNKNOWN);
    for (i, glyph) in words.chars().map(glyph).enumerate() {
        for (row, column) in (0..GLYPH * size).flat_map(|row| (0..GLYPH * size).map(move |c| (row, c))) {
            let (px, py) = (x + i as i64 * GLYPH * size + column, y + row);
            let inside =
                (0..i64::from(panel.width())).contains(&px) && (0..i64::from(panel.height())).contains(&py);
            if inside && glyph[(row / size) as usize] >> (column / size) & 1 == 1 {
                panel.put_pixel(px as u32, py as u32, colour);
            }
        }
    }
}

/// Width of [`text`], in pixels.
pub(super) fn text_width(words: &str, size: i64) -> u32 {
    words.chars().count() as u32 * (GLYPH * size) as u32
}

pub(super) fn disc(panel: &mut RgbImage, centre: Point, radius: f64, colour: Rgb<u8>) {
    around(panel, centre, radius, |distance| radius + 0.5 - distance, colour);
}

pub(super) fn ring(panel: &mut RgbImage, centre: Point, radius: f64, colour: Rgb<u8>) {
    around(panel, centre, radius, |distance| 1.0 - (distance - radius).abs(), colour);
}

/// Blends `colour` into the pixels near `centre`, by how far `coverage` says that each is covered.
fn around(panel: &mut RgbImage, centre: Point, radius: f64, coverage: impl Fn(f64) -> f64, colour: Rgb<u8>) {
    let reach = radius + 2.0;
    let range =
        |at: f64, side: u32| (at - reach).max(0.0) as u32..((at + reach).max(0.0).ceil() as u32).min(side);
    for y in range(centre.y, panel.height()) {
        for x in range(centre.x, panel.width()) {
            let distance = (f64::from(x) + 0.5 - centre.x).hypot(f64::from(y) + 0.5 - centre.y);
            let pixel = panel.get_pixel_mut(x, y);
            *pixel = blend(*pixel, colour, coverage(distance).clamp(0.0, 1.0) as f32);
        }
    }
}

/// The border of a region, drawn inwards so that a box at the picture's edge stays visible.
pub(super) fn outline(panel: &mut RgbImage, region: &Region, thickness: u32, colour: Rgb<u8>) {
    let last = |side: u32| f64::from(side.saturating_sub(1));
    let pixel = |at: f64, side: u32| at.round().clamp(0.0, last(side)) as u32;
    let (x0, x1) = (pixel(region.x0, panel.width()), pixel(region.x1 - 1.0, panel.width()));
    let (y0, y1) = (pixel(region.y0, panel.height()), pixel(region.y1 - 1.0, panel.height()));
    for (y, x) in (y0..=y1).flat_map(|y| (x0..=x1).map(move |x| (y, x))) {
        let edge = (x - x0).min(x1 - x).min(y - y0).min(y1 - y);
        if edge < thickness {
            panel.put_pixel(x, y, colour);
        }
    }
}

/// The colour `over` upon `under`, at `strength` (0 to 1).
pub(super) fn blend(under: Rgb<u8>, over: Rgb<u8>, strength: f32) -> Rgb<u8> {
    let mix = |i: usize| f32::from(under[i]) * (1.0 - strength) + f32::from(over[i]) * strength;
    Rgb([0, 1, 2].map(|i| mix(i).round() as u8))
}
