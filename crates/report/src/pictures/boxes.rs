//! Draws boxes with their names and scores over a picture.

use densesiam_geometry::Region;
use image::{Rgb, RgbImage};

use super::drawing::{GLYPH, blend, outline, text, text_width};
use super::palette::{Palette, luminance};

/// A box to draw.
#[derive(Clone, Debug)]
pub struct NamedBox<'n> {
    /// Where, in pixels of the picture.
    pub region: Region,
    /// Its class, which has its colour in the palette.
    pub class: usize,
    /// What is written beside it, for example `car 0.93`.
    pub words: &'n str,
    /// The pixels of the object within the picture, row by row, if they are known.
    pub mask: Option<&'n [bool]>,
}

/// How strongly the colour of an object covers its pixels.
const STRENGTH: f32 = 0.45;

/// Draws boxes into a picture, the first of them on top; a name stands above its box, or within it at the upper border.
pub fn draw_boxes(picture: &mut RgbImage, boxes: &[NamedBox<'_>], palette: &Palette) {
    let thickness = 1 + picture.width().max(picture.height()) / 500;
    let size = i64::from(thickness.min(3));
    for named in boxes.iter().rev() {
        let colour = Rgb(palette.colour_of(named.class));
        for (pixel, _) in
            picture.pixels_mut().zip(named.mask.unwrap_or_default()).filter(|(_, inside)| **inside)
        {
            *pixel = blend(*pixel, colour, STRENGTH);
        }
        outline(picture, &named.region, thickness, colour);
        label(picture, named, size, colour);
    }
}

fn label(picture: &mut RgbImage, named: &NamedBox<'_>, size: i64, colour: Rgb<u8>) {
    let (height, width) = ((GLYPH + 2) * size, text_width(named.words, size) + 2 * size as u32);
    let left = (named.region.x0.round() as i64).clamp(0, i64::from(picture.width().saturating_sub(width)));
    let above = named.region.y0.round() as i64 - height;
    let top = if above < 0 { named.region.y0.round().max(0.0) as i64 } else { above };
    let bottom = (top + height).min(i64::from(picture.height()));
    let right = (left + i64::from(width)).min(i64::from(picture.width()));
    for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
        picture.put_pixel(x as u32, y as u32, colour);
    }
    let ink = if luminance(colour) > 0.5 { Rgb([0; 3]) } else { Rgb([255; 3]) };
    text(picture, left + size, top + size, size, named.words, ink);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_the_colour_of_their_class_and_lie_where_they_are() {
        let palette = Palette(vec![Some([250, 0, 0]), Some([0, 0, 250])]);
        let region = Region { x0: 20.0, y0: 30.0, x1: 60.0, y1: 50.0 };
        let mask: Vec<bool> = (0..100 * 80).map(|pixel| pixel == 40 * 100 + 40).collect();
        let named = |class, mask| NamedBox { region, class, words: "car 0.93", mask };
        let mut picture = RgbImage::new(100, 80);
        draw_boxes(&mut picture, &[named(1, Some(&mask)), named(0, None)], &palette);
        assert_eq!(picture.get_pixel(20, 40).0, [0, 0, 250], "the first is on top");
        assert_eq!(picture.get_pixel(40, 40).0, [0, 0, 113], "its pixels are covered in part");
        assert_eq!(picture.get_pixel(41, 40).0, [0; 3]);
        assert_eq!(picture.get_pixel(20, 21).0, [0, 0, 250], "its name stands above it");
    }

    #[test]
    fn boxes_beyond_the_edge_are_drawn_without_panic() {
        let mut picture = RgbImage::new(10, 6);
        let region = Region { x0: -5.0, y0: -5.0, x1: 50.0, y1: 50.0 };
        let far = Region { x0: 40.0, y0: 40.0, x1: 41.0, y1: 41.0 };
        let boxes =
            [region, far].map(|region| NamedBox { region, class: 0, words: "a long name", mask: None });
        draw_boxes(&mut picture, &boxes, &Palette(vec![]));
    }
}
