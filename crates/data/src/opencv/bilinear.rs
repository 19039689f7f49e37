//! OpenCV's bilinear resize of 8-bit pictures: weights of 11 bits, two taps along each axis, no antialiasing.

use multiversion::multiversion;

use super::{Window, fitted};
use crate::image::RgbImage;

/// The weights of the two taps sum to this.
const ONE: f32 = 2048.0;

/// Computes windows of scaled pictures, and keeps the memory for it; one for each worker.
#[derive(Debug, Default)]
pub struct WindowResizer {
    columns: Vec<Taps>,
    /// Two rows of the original, each scaled along the row.
    rows: [ScaledRow; 2],
}

/// A row of the original at the columns of the window; 128 times the levels.
#[derive(Debug, Default)]
struct ScaledRow {
    /// Which row it is, if it is one.
    number: Option<usize>,
    levels: Vec<i16>,
}

/// The two pixels that one pixel is between, along one axis, and their weights.
#[derive(Clone, Copy, Debug)]
struct Taps {
    at: [usize; 2],
    weights: [i16; 2],
}

impl Taps {
    /// At a position of the scaled picture; each of its pixels has `step` of the `source` pixels of the original.
    fn new(position: u32, step: f64, source: u32) -> (Self, f32) {
        let middle = ((f64::from(position) + 0.5) * step - 0.5) as f32;
        let (low, last) = (middle.floor(), i64::from(source) - 1);
        let share = middle - low;
        let at = [low as i64, low as i64 + 1].map(|place| place.clamp(0, last) as usize);
        let weight = |share: f32| (share * ONE).round_ties_even() as i16;
        (Self { at, weights: [weight(1.0 - share), weight(share)] }, low)
    }

    /// Of a row. Beyond the border both taps are the row at the border.
    fn of_row(position: u32, step: f64, source: u32) -> Self {
        Self::new(position, step, source).0
    }

    /// Of a column. Beyond the border one tap has all the weight, which is rounded differently.
    fn of_column(position: u32, step: f64, source: u32) -> Self {
        let (taps, low) = Self::new(position, step, source);
        let inside = low >= 0.0 && low as i64 + 1 < i64::from(source);
        if inside { taps } else { Self { weights: [ONE as i16, 0], ..taps } }
    }
}

impl WindowResizer {
    /// Computes the pixels of `window` of a picture with at least one pixel: a row of the window into each of `rows`,
    /// `3 * width` bytes.
    pub fn resize<'o>(
        &mut self,
        image: &RgbImage,
        window: &Window,
        rows: impl IntoIterator<Item = &'o mut [u8]>,
    ) {
        let step = window.step(0, image.width);
        self.columns.clear();
        self.columns.extend(window.positions(0).map(|column| Taps::of_column(column, step, image.width)));
        for row in &mut self.rows {
            row.number = None;
            row.levels.resize(self.columns.len() * 3, 0);
        }
        let step = window.step(1, image.height);
        for (position, out) in window.positions(1).zip(rows) {
            let Taps { at: [low, high], weights } = Taps::of_row(position, step, image.height);
            if self.rows[1].number == Some(low) {
                self.rows.swap(0, 1);
            }
            let [first, second] = &mut self.rows;
            first.become_row(low, image, &self.columns);
            second.become_row(high, image, &self.columns);
            blend_rows(&first.levels, &second.levels, weights, out);
        }
    }

    /// The whole of a picture, scaled to fit into `scale` as [`fitted`] says.
    pub fn fitted(&mut self, image: &RgbImage, scale: [u32; 2]) -> RgbImage {
        let size = fitted([image.width, image.height], scale, 1.0);
        let mut scaled = RgbImage::new(size[0], size[1]);
        let rows = scaled.pixels.chunks_exact_mut(size[0] as usize * 3);
        self.resize(image, &Window::whole(size), rows);
        scaled
    }
}

impl ScaledRow {
    fn become_row(&mut self, number: usize, image: &RgbImage, columns: &[Taps]) {
        if self.number != Some(number) {
            let width = image.width as usize * 3;
            blend_columns(&image.pixels[number * width..][..width], columns, &mut self.levels);
            self.number = Some(number);
        }
    }
}

fn blend_columns(pixels: &[u8], columns: &[Taps], out: &mut [i16]) {
    for (&Taps { at, weights }, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
        let [low, high] = at.map(|column| &pixels[column * 3..][..3]);
        let [first, second] = weights.map(i32::from);
        for ((out, &low), &high) in out.iter_mut().zip(low).zip(high) {
            *out = ((i32::from(low) * first + i32::from(high) * second) >> 4) as i16;
        }
    }
}

#[multiversion(targets = "simd")]
fn blend_rows(low: &[i16], high: &[i16], weights: [i16; 2], out: &mut [u8]) {
    let [first, second] = weights.map(i32::from);
    for ((out, &low), &high) in out.iter_mut().zip(low).zip(high) {
        let sum = ((i32::from(low) * first) >> 16) + ((i32::from(high) * second) >> 16);
        *out = ((sum + 2) >> 2) as u8;
    }
}
