//! The colours of paper and text, of the two views, and of classes and categories by number.

use std::f64::consts::TAU;

use image::Rgb;

/// The background of sheets.
pub(super) const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
/// The colour of text.
pub const INK: Rgb<u8> = Rgb([30, 30, 34]);
pub(super) const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// The colours of view 1 and view 2, for frames and titles.
pub const VIEW_COLOURS: [Rgb<u8>; 2] = [Rgb([232, 119, 34]), Rgb([0, 121, 191])];

/// The colours of classes and categories by number: the data set's own colours if it has them, else [`colour_of`].
#[derive(Clone, Debug, Default)]
pub struct Palette(pub Vec<Option<[u8; 3]>>);

impl Palette {
    /// The colour of this number.
    pub fn colour_of(&self, number: usize) -> [u8; 3] {
        self.0.get(number).copied().flatten().unwrap_or_else(|| colour_of(number))
    }
}

/// The colour of a category: all of the first 512 differ, and low numbers, which share sheets most, differ strongly.
pub fn colour_of(category: usize) -> [u8; 3] {
    // Hue turns by the golden angle; lightness and chroma by the third and first power of 1 / 1.2207 (the golden ratio
    // of three dimensions), so that the three never repeat together, and colours of similar hue differ in lightness.
    let turned = |by: f64| (category as f64 * by).fract();
    let lightness = 0.40 + 0.46 * turned(0.549_700_477_9);
    let chroma = 0.12 + 0.12 * turned(0.819_172_513_4);
    srgb_from_oklch(lightness, chroma, turned(0.618_033_988_7) * TAU)
}

/// Oklch (Björn Ottosson, 2020) to sRGB; chroma is lowered until the colour can be shown.
fn srgb_from_oklch(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    if chroma > 1e-3 && linear.iter().any(|channel| !(-1e-4..=1.0001).contains(channel)) {
        return srgb_from_oklch(lightness, chroma * 0.95, hue);
    }
    let encoded = |channel: f64| {
        if channel <= 0.003_130_8 { 12.92 * channel } else { 1.055 * channel.powf(1.0 / 2.4) - 0.055 }
    };
    linear.map(|channel| (encoded(channel.clamp(0.0, 1.0)) * 255.0).round() as u8)
}

/// How light a colour looks, 0 to 1.
pub(super) fn luminance(colour: Rgb<u8>) -> f64 {
    let [red, green, blue] = colour.0.map(|channel| (f64::from(channel) / 255.0).powf(2.2));
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: [u8; 3], b: [u8; 3]) -> f64 {
        (0..3).map(|i| (f64::from(a[i]) - f64::from(b[i])).powi(2)).sum::<f64>().sqrt()
    }

    fn smallest_distance(categories: usize) -> f64 {
        let colours: Vec<_> = (0..categories).map(colour_of).collect();
        let pairs = (0..categories).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| distance(colours[i], colours[j])).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn colours_differ() {
        for (categories, least) in [(8, 50.0), (27, 25.0), (128, 14.0), (512, 1.0)] {
            let smallest = smallest_distance(categories);
            assert!(smallest >= least, "{categories} categories: {smallest}");
        }
    }

    #[test]
    fn grey_stays_grey() {
        assert_eq!(srgb_from_oklch(1.0, 0.0, 0.0), [255, 255, 255]);
        assert_eq!(srgb_from_oklch(0.0, 0.0, 0.0), [0, 0, 0]);
        let red = srgb_from_oklch(0.627_955, 0.257_683, 29.233_88_f64.to_radians());
        assert!(distance(red, [255, 0, 0]) < 6.0, "{red:?}");
    }

    #[test]
    fn a_colour_is_that_of_its_number_alone() {
        // The colours must not change, so that sheets of old runs can be compared with those of new ones.
        let colours = [[120, 36, 69], [19, 159, 196], [16, 134, 121], [255, 151, 174]];
        assert_eq!([0, 1, 17, 500].map(colour_of), colours);
        let palette = Palette(vec![None, Some([9, 8, 7])]);
        assert_eq!(
            [0, 1, 2].map(|number| palette.colour_of(number)),
            [colour_of(0), [9, 8, 7], colour_of(2)]
        );
    }
}
