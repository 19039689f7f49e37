//! Draws maps of categories over the pictures that they belong to.

use image::{Rgb, RgbImage};

use super::drawing::blend;
use super::palette::Palette;

/// The category of cells without one (unlabelled ground truth): [`mask_overlay`] leaves them uncoloured, [`mask`]
/// paints them black.
pub const VOID: u32 = u32::MAX;

/// A view covered by a map of categories of `columns x rows` cells, each cell in its colour at `strength` (0 to 1).
///
/// # Panics
/// If there are not `columns * rows` categories.
pub fn mask_overlay(
    view: &RgbImage,
    categories: &[u32],
    size: [usize; 2],
    palette: &Palette,
    strength: f32,
) -> RgbImage {
    let mut overlay = view.clone();
    lay_mask_over(&mut overlay, categories, size, palette, strength);
    overlay
}

/// As [`mask_overlay`], into the view itself.
///
/// # Panics
/// If there are not `columns * rows` categories.
pub fn lay_mask_over<C: Copy + Into<u32>>(
    view: &mut RgbImage,
    categories: &[C],
    [columns, rows]: [usize; 2],
    palette: &Palette,
    strength: f32,
) {
    assert_eq!(categories.len(), columns * rows, "a map of {columns} x {rows} categories");
    let (width, height) = view.dimensions();
    let cell = |at: u32, side: u32, cells: usize| at as usize * cells / side as usize;
    let cells: Vec<usize> = (0..width).map(|x| cell(x, width, columns)).collect();
    let mut tints = Tints { palette, strength, of_category: Vec::new() };
    for (y, line) in (0..height).zip(view.chunks_exact_mut(3 * width.max(1) as usize)) {
        let map = &categories[cell(y, height, rows) * columns..][..columns];
        for (pixel, &cell) in line.as_chunks_mut().0.iter_mut().zip(&cells) {
            tints.apply(map[cell].into(), pixel);
        }
    }
}

/// A map of `columns x rows` categories as a picture of `width x height` pixels.
///
/// # Panics
/// If there are not `columns * rows` categories.
pub fn mask(categories: &[u32], columns: usize, rows: usize, width: u32, height: u32) -> RgbImage {
    mask_overlay(&RgbImage::new(width, height), categories, [columns, rows], &Palette::default(), 1.0)
}

/// The blends of the categories' colours with the values under them. A channel has only 256 values and a picture has
/// millions of pixels, so each value is blended once.
struct Tints<'p> {
    palette: &'p Palette,
    strength: f32,
    /// For each category: the blended value for each channel and each value under it.
    of_category: Vec<Option<Box<[[u8; 256]; 3]>>>,
}

impl Tints<'_> {
    fn apply(&mut self, category: u32, pixel: &mut [u8; 3]) {
        if category == VOID {
            return;
        }
        let category = category as usize;
        if self.of_category.len() <= category {
            self.of_category.resize(category + 1, None);
        }
        let (palette, strength) = (self.palette, self.strength);
        let tint = self.of_category[category]
            .get_or_insert_with(|| tint(Rgb(palette.colour_of(category)), strength));
        *pixel = std::array::from_fn(|channel| tint[channel][usize::from(pixel[channel])]);
    }
}

fn tint(colour: Rgb<u8>, strength: f32) -> Box<[[u8; 256]; 3]> {
    let mut tint = Box::new([[0; 256]; 3]);
    for under in 0..=u8::MAX {
        let Rgb(blended) = blend(Rgb([under; 3]), colour, strength);
        (0..3).for_each(|channel| tint[channel][usize::from(under)] = blended[channel]);
    }
    tint
}

#[cfg(test)]
mod tests {
    use super::super::palette::colour_of;
    use super::*;

    #[test]
    fn a_mask_is_scaled_by_whole_cells() {
        let mask = mask(&[0, 1, 2, VOID], 2, 2, 6, 4);
        assert_eq!(mask.get_pixel(2, 1).0, colour_of(0));
        assert_eq!(mask.get_pixel(3, 1).0, colour_of(1));
        assert_eq!(mask.get_pixel(0, 2).0, colour_of(2));
        assert_eq!(mask.get_pixel(5, 3).0, [0, 0, 0]);
    }

    #[test]
    fn an_overlay_of_no_strength_is_the_view() {
        let view = RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, 77]));
        let palette = Palette::default();
        assert_eq!(mask_overlay(&view, &[0, 1, 2], [3, 1], &palette, 0.0), view);
        assert_eq!(mask_overlay(&view, &[VOID; 3], [3, 1], &palette, 1.0), view);
    }

    #[test]
    fn every_pixel_of_an_overlay_is_blended_with_the_colour_of_its_cell() {
        let view = RgbImage::from_fn(61, 43, |x, y| Rgb([x as u8 * 4, y as u8 * 5, (x * y) as u8]));
        let categories: Vec<u16> = (0..7 * 5).map(|cell| cell * 11 % 300).collect();
        let mut overlay = view.clone();
        let palette = Palette(vec![Some([1, 2, 3]), None]);
        lay_mask_over(&mut overlay, &categories, [7, 5], &palette, 0.6);
        for (x, y, &pixel) in overlay.enumerate_pixels() {
            let category = categories[(y as usize * 5 / 43) * 7 + x as usize * 7 / 61];
            let colour = Rgb(if category == 0 { [1, 2, 3] } else { colour_of(usize::from(category)) });
            assert_eq!(pixel, blend(*view.get_pixel(x, y), colour, 0.6), "at {x}, {y}");
        }
    }
}
