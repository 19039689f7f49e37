//! Regions of a picture as one of its views shows them: cropped, resized and mirrored as its pixels are.

use densesiam_geometry::{Fraction, Region, View};

use super::raster::Raster;
use crate::resize::{ResizeError, ResizeScratch, resize_levels};

impl<T: Copy> Raster<T> {
    /// What a square view of `size` pixels a side shows: of each of its pixels the value under its centre. A crop that
    /// leaves the picture takes the pixel at the edge. The raster must have pixels.
    pub fn nearest_in(&self, view: &View, size: u32) -> Self {
        let Region { x0, y0, x1, y1 } = view.crop;
        let mut columns = centres([x0, x1], size, self.width);
        if view.flip {
            columns.reverse();
        }
        self.picked(&columns, &centres([y0, y1], size, self.height))
    }

    /// The same values at another size: of each pixel the value under its centre.
    pub(super) fn stretched(&self, width: u32, height: u32) -> Self {
        let whole = |side: u32| [0.0, f64::from(side)];
        self.picked(
            &centres(whole(self.width), width, self.width),
            &centres(whole(self.height), height, self.height),
        )
    }
}

impl Raster<u16> {
    /// The ids as bytes, from 0 again after 255, as DetCon's masks have them.
    pub fn wrapped(&self) -> Raster<u8> {
        let values = self.values.iter().map(|&id| id as u8).collect();
        Raster { width: self.width, height: self.height, values }
    }
}

impl Raster<u8> {
    /// What a square view of `size` pixels a side shows, resampled as its pixels are (bilinear, antialiased).
    ///
    /// # Errors
    /// A [`ResizeError`] if the crop lies outside the picture.
    pub fn bilinear_in(
        &self,
        view: &View,
        size: u32,
        scratch: &mut ResizeScratch,
    ) -> Result<Self, ResizeError> {
        let mut values = vec![0; size as usize * size as usize];
        resize_levels(
            (self.width, self.height),
            &self.values,
            &view.crop,
            (size, size),
            scratch,
            &mut values,
        )?;
        if view.flip {
            values.chunks_exact_mut(size.max(1) as usize).for_each(<[u8]>::reverse);
        }
        Ok(Self { width: size, height: size, values })
    }

    /// The value that covers most of each cell of a `grid x grid` division, row by row; the lowest of those that cover
    /// as much. A cell without pixels has 0.
    pub fn cells(&self, grid: usize) -> Vec<u8> {
        let (width, height) = (self.width as usize, self.height as usize);
        let part = |cell: usize, side: usize| cell * side / grid..(cell + 1) * side / grid;
        let most = |row: usize, column: usize| {
            let mut counts = [0u32; 256];
            for y in part(row, height) {
                for &value in &self.values[y * width..][part(column, width)] {
                    counts[usize::from(value)] += 1;
                }
            }
            // The first of equal ones.
            (0..=u8::MAX).rev().max_by_key(|&value| counts[usize::from(value)]).unwrap_or_default()
        };
        (0..grid)
            .flat_map(|row| (0..grid).map(move |column| (row, column)))
            .map(|(y, x)| most(y, x))
            .collect()
    }
}

/// The pixels, below `length`, that hold the centres of `size` equal parts of the stretch between two edges.
fn centres([low, high]: [f64; 2], size: u32, length: u32) -> Vec<usize> {
    let last = length.saturating_sub(1);
    // One division, so that a centre on the edge of a pixel is found on it and not before it.
    let centre = |part: u32| low + (2 * u64::from(part) + 1) as f64 * (high - low) / f64::from(2 * size);
    (0..size).map(|part| centre(part).clamp(0.0, last.into()) as usize).collect()
}

/// The part of a box, in pixels of the picture, that a view shows, as a share of the view; `None` if it shows none.
pub fn box_in(region: &Region, view: &View) -> Option<Fraction> {
    let shown = region.intersection(&view.crop)?;
    let across = |x: f64| (x - view.crop.x0) / view.crop.width();
    let down = |y: f64| (y - view.crop.y0) / view.crop.height();
    let [left, right] = [across(shown.x0), across(shown.x1)];
    let [x0, x1] = if view.flip { [1.0 - right, 1.0 - left] } else { [left, right] };
    Some(Fraction { x0, y0: down(shown.y0), x1, y1: down(shown.y1) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::vectors;
    use super::*;
    use crate::demo::draw_picture;
    use crate::image::RgbImage;
    use crate::views::{Photometric, ViewMaker, ViewParameters};

    const fn view(x0: f64, y0: f64, x1: f64, y1: f64, flip: bool) -> View {
        View { crop: Region { x0, y0, x1, y1 }, flip }
    }

    fn numbered(width: u32, height: u32) -> Raster<u16> {
        Raster { width, height, values: (0..(width * height) as u16).collect() }
    }

    #[test]
    fn parity_detcon_cells_have_the_id_that_covers_most() {
        for file in vectors("rival-detcon") {
            for [labels, cells] in [["labels1", "cells1"], ["labels2", "cells2"]] {
                let (size, per_picture) = (file.shape(labels)[1], file.shape(cells)[1]);
                let (labels, cells) = (file.bytes(labels), file.bytes(cells));
                let pictures = labels.chunks(size * size).zip(cells.chunks(per_picture));
                assert_eq!(pictures.len(), 4, "{}", file.name);
                for (values, cells) in pictures {
                    let (width, height, values) = (size as u32, size as u32, values.to_vec());
                    let found = Raster { width, height, values }.cells(per_picture.isqrt());
                    assert_eq!(found, cells, "{}", file.name);
                }
            }
        }
    }

    #[test]
    fn of_equal_ids_a_cell_has_the_lowest() {
        let raster =
            Raster { width: 4, height: 4, values: vec![9, 3, 7, 7, 3, 9, 7, 8, 0, 0, 5, 4, 0, 0, 3, 2] };
        assert_eq!(raster.cells(2), [3, 7, 0, 2]);
        assert_eq!(raster.cells(4), raster.values);
        let ragged = Raster { width: 3, height: 3, values: vec![1, 2, 2, 3, 4, 4, 3, 4, 4] };
        assert_eq!(ragged.cells(2), [1, 2, 3, 4]);
    }

    #[test]
    fn a_view_shows_the_pixel_under_each_centre() {
        let raster = numbered(6, 4);
        assert_eq!(raster.nearest_in(&view(0.0, 0.0, 4.0, 4.0, false), 2).values, [7, 9, 19, 21]);
        assert_eq!(raster.nearest_in(&view(2.0, 1.0, 4.0, 3.0, false), 2).values, [8, 9, 14, 15]);
        assert_eq!(raster.nearest_in(&view(2.0, 1.0, 4.0, 3.0, true), 2).values, [9, 8, 15, 14]);
        assert_eq!(raster.nearest_in(&view(5.5, 3.5, 6.0, 4.0, false), 3).values, [23; 9]);
        assert_eq!(raster.nearest_in(&view(-3.0, -9.0, -1.0, -2.0, false), 1).values, [0]);
        assert_eq!(raster.stretched(3, 2).values, [7, 9, 11, 19, 21, 23]);
        assert_eq!(raster.stretched(2, 2).stretched(6, 4).width, 6);
        let wide = Raster { width: 2, height: 1, values: vec![256, 511] };
        assert_eq!(wide.wrapped().values, [0, 255]);
    }

    /// A map of levels and a grey picture of the same levels become the same view.
    #[test]
    fn saliency_is_resampled_as_pixels_are() {
        let RgbImage { width, height, pixels } = draw_picture((90, 70), 3, 0).image;
        let levels = Raster { width, height, values: pixels.iter().step_by(3).copied().collect() };
        let grey =
            RgbImage { width, height, pixels: levels.values.iter().flat_map(|&level| [level; 3]).collect() };
        for flip in [false, true] {
            let view = view(3.25, 8.5, 71.0, 66.75, flip);
            let seen = levels.bilinear_in(&view, 24, &mut ResizeScratch::default()).unwrap();
            let mut pixels = vec![0; 24 * 24 * 3];
            let parameters = ViewParameters { view, photometric: Photometric::IDENTITY };
            ViewMaker::new(24).apply(&grey, &parameters, &mut pixels).unwrap();
            assert!(pixels.chunks(3).map(|pixel| pixel[0]).eq(seen.values));
        }
        let outside = view(0.0, 0.0, 91.0, 10.0, false);
        assert!(levels.bilinear_in(&outside, 4, &mut ResizeScratch::default()).is_err());
    }

    #[test]
    fn boxes_are_clipped_to_the_view_and_mirrored_with_it() {
        let region = Region { x0: 10.0, y0: 20.0, x1: 60.0, y1: 40.0 };
        let seen = |flip| box_in(&region, &view(50.0, 0.0, 90.0, 80.0, flip));
        assert_eq!(seen(false), Some(Fraction { x0: 0.0, y0: 0.25, x1: 0.25, y1: 0.5 }));
        assert_eq!(seen(true), Some(Fraction { x0: 0.75, y0: 0.25, x1: 1.0, y1: 0.5 }));
        assert_eq!(box_in(&region, &view(60.0, 0.0, 90.0, 80.0, false)), None);
    }
}
