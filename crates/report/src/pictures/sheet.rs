//! Contact sheets: pictures in rows and columns, with titles above and a key of colours below.

use image::{Rgb, RgbImage, imageops};

use super::drawing::{GLYPH, text, text_width};
use super::palette::{INK, PAPER};

/// The gap between the pictures of a contact sheet, in pixels.
const GAP: u32 = 4;

/// Titled columns of pictures, with a key of the colours below if there are any entries. The text is as large as the
/// first row allows.
pub fn titled_sheet(
    titles: &[(&str, Rgb<u8>)],
    rows: Vec<Vec<RgbImage>>,
    key: &[([u8; 3], String)],
) -> RgbImage {
    let narrowest = rows.first().and_then(|row| row.iter().map(RgbImage::width).min()).unwrap_or(0);
    let longest = titles.iter().map(|(words, _)| text_width(words, 2)).max().unwrap_or(0);
    let size = if longest <= narrowest { 2 } else { 1 };
    let heads = titles.iter().map(|&(words, colour)| words_in(words, size, colour)).collect();
    let sheet = contact_sheet(&[vec![heads], rows].concat(), GAP);
    let key = key_of_colours(key, size, sheet.width());
    contact_sheet(&[vec![sheet], vec![key]], 0)
}

/// Pictures in rows, each in a cell as wide as its column and as high as its row, `gap` pixels apart.
pub fn contact_sheet(rows: &[Vec<RgbImage>], gap: u32) -> RgbImage {
    let column_count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column_width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(RgbImage::width).max().unwrap_or(0);
    let widths: Vec<u32> = (0..column_count).map(column_width).collect();
    let heights: Vec<u32> =
        rows.iter().map(|row| row.iter().map(RgbImage::height).max().unwrap_or(0)).collect();
    let side = |cells: &[u32]| (cells.iter().sum::<u32>() + gap * (cells.len() as u32 + 1)).max(1);
    let mut sheet = RgbImage::from_pixel(side(&widths), side(&heights), PAPER);

    let mut y = gap;
    for (row, height) in rows.iter().zip(&heights) {
        let mut x = gap;
        for (picture, width) in row.iter().zip(&widths) {
            imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
            x += width + gap;
        }
        y += height + gap;
    }
    sheet
}

/// A patch of each colour with its name, in lines of at most `width` pixels.
fn key_of_colours(entries: &[([u8; 3], String)], size: i64, width: u32) -> RgbImage {
    let (glyph, step) = (GLYPH as u32 * size as u32, GLYPH as u32 * size as u32 * 3 / 2);
    let (mut x, mut y, mut placed) = (GAP, GAP, Vec::new());
    for (colour, name) in entries {
        let taken = step + text_width(name, size);
        if x > GAP && x + taken > width {
            (x, y) = (GAP, y + step);
        }
        placed.push((x, y, Rgb(*colour), name));
        x += taken + 2 * glyph;
    }
    let height = if placed.is_empty() { 0 } else { y + step };
    let mut key = RgbImage::from_pixel(width, height, PAPER);
    for (x, y, colour, name) in placed {
        imageops::replace(&mut key, &RgbImage::from_pixel(glyph, glyph, colour), i64::from(x), i64::from(y));
        text(&mut key, i64::from(x + step), i64::from(y), size, name, INK);
    }
    key
}

fn words_in(words: &str, size: i64, colour: Rgb<u8>) -> RgbImage {
    let mut line = RgbImage::from_pixel(text_width(words, size), GLYPH as u32 * size as u32, PAPER);
    text(&mut line, 0, 0, size, words, colour);
    line
}

/// The picture scaled to this height or, if it is more than three times as wide as high, to a width of three times this
/// height.
pub fn fitted(picture: &RgbImage, height: u32) -> RgbImage {
    let [width, height] = fitted_size(picture, height);
    imageops::resize(picture, width, height, imageops::FilterType::CatmullRom)
}

/// Width and height of the picture [`fitted`] to a height.
pub fn fitted_size(picture: &RgbImage, height: u32) -> [u32; 2] {
    let (width, whole_height) = picture.dimensions();
    let fitted_width = f64::from(height) * f64::from(width) / f64::from(whole_height.max(1));
    let scale = (f64::from(3 * height) / fitted_width.max(1.0)).min(1.0);
    [fitted_width, f64::from(height)].map(|length| (length * scale).round().max(1.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::super::palette::VIEW_COLOURS;
    use super::*;

    #[test]
    fn a_sheet_has_a_cell_for_every_picture() {
        let picture = |width, height, level| RgbImage::from_pixel(width, height, Rgb([level; 3]));
        let sheet = contact_sheet(&[vec![picture(4, 3, 1)], vec![picture(2, 2, 2), picture(5, 6, 3)]], 2);
        assert_eq!(sheet.dimensions(), (2 + 4 + 2 + 5 + 2, 2 + 3 + 2 + 6 + 2));
        assert_eq!((sheet.get_pixel(2, 2)[0], sheet.get_pixel(2, 7)[0], sheet.get_pixel(8, 7)[0]), (1, 2, 3));
        assert_eq!(contact_sheet(&[], 0).dimensions(), (1, 1));
    }

    #[test]
    fn a_sheet_names_its_columns_and_its_colours() {
        let cell = |width| RgbImage::from_pixel(width, 40, Rgb([90; 3]));
        let titles = [("one", INK), ("two", VIEW_COLOURS[0])];
        let red = [200, 0, 0];
        let key = vec![(red, "a class of a long name".to_owned()); 3];
        let sheet = titled_sheet(&titles, vec![vec![cell(100), cell(100)]], &key);
        // Text of 16 pixels above, and as each name fills a line, three lines of it below.
        assert_eq!(sheet.dimensions(), (3 * GAP + 200, (GAP + 16) + (GAP + 40 + GAP) + (GAP + 3 * 24)));
        let has = |line: std::ops::Range<u32>, colour: Rgb<u8>| {
            line.clone().any(|y| (0..sheet.width()).any(|x| *sheet.get_pixel(x, y) == colour))
        };
        assert!(has(GAP..GAP + 16, INK) && has(GAP..GAP + 16, VIEW_COLOURS[0]));
        let below = GAP + 16 + GAP + 40 + GAP;
        assert_eq!(sheet.get_pixel(GAP + 15, below + GAP + 15).0, red);
        assert_eq!(sheet.get_pixel(GAP + 15, below + GAP + 2 * 24).0, red);
        assert!(has(below..below + 24, INK));
        // Without a key there is nothing below the pictures, and narrow columns have small titles.
        let plain = titled_sheet(&titles, vec![vec![cell(30), cell(30)]], &[]);
        assert_eq!(plain.dimensions(), (3 * GAP + 60, GAP + 8 + GAP + 40 + GAP));
    }
}
