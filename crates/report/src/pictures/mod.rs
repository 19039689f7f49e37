//! What a person looks at to see that the views, their corresponding points and the pseudo-categories are right.
//!
//! Pure functions from pictures to pictures; who calls them decides where the files go. Colours are a function of the
//! number they stand for, so that category 17 has one colour on every sheet of every run.

use std::f64::consts::TAU;

use densesiam_geometry::{Point, Region, View};
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{ImageFormat, ImageResult, Rgb, RgbImage, imageops};

/// The category of what has none (unlabelled ground truth): [`mask_overlay`] leaves it bare, [`mask`] paints it black.
pub const VOID: u32 = u32::MAX;

/// Height of the panels of [`correspondence`], in pixels.
const PANEL: u32 = 448;
const MARGIN: u32 = 16;
/// Between the pictures of a contact sheet.
const GAP: u32 = 4;
const FRAME: u32 = 3;
const CAPTION: u32 = 28;
const GLYPH: i64 = 8;
/// What stands for a letter that the font lacks.
const UNKNOWN: [u8; 8] = [0, 0x3c, 0x24, 0x24, 0x24, 0x24, 0x3c, 0];
const LARGEST_RADIUS: f64 = 11.0;

const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
/// The colour of text.
pub const INK: Rgb<u8> = Rgb([30, 30, 34]);
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// The colours of view 1 and view 2, for frames and titles.
pub const VIEW_COLOURS: [Rgb<u8>; 2] = [Rgb([232, 119, 34]), Rgb([0, 121, 191])];

/// Where the two views of [`correspondence`] were cut from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The picture as it was decoded.
    pub picture: &'a RgbImage,
    /// How view 1 and view 2 were cut from it.
    pub views: [View; 2],
}

/// Both views with their corresponding points (view space), the same number and colour for the same point.
///
/// With an `origin`, the picture stands at the left with both crop boxes and the overlap. There each point is a disc
/// where view 1 has it and a ring where view 2 has it: a ring around every disc says that the two grids agree.
pub fn correspondence(views: [&RgbImage; 2], points: [&[Point]; 2], origin: Option<&Origin<'_>>) -> RgbImage {
    let mut panels: Vec<RgbImage> = origin.map(|origin| picture_panel(origin, points)).into_iter().collect();
    for (i, (view, points)) in views.into_iter().zip(points).enumerate() {
        let mirrored = origin.is_some_and(|origin| origin.views[i].flip);
        let caption = if mirrored { format!("view {}, mirrored", i + 1) } else { format!("view {}", i + 1) };
        let mut panel = fitted(view, PANEL);
        let whole = Region { x0: 0.0, y0: 0.0, x1: f64::from(panel.width()), y1: f64::from(panel.height()) };
        let placed: Vec<Point> =
            points.iter().map(|point| whole.at((point.x + 1.0) / 2.0, (point.y + 1.0) / 2.0)).collect();
        draw_points(&mut panel, &placed);
        panels.push(captioned(&panel, &caption, VIEW_COLOURS[i]));
    }
    contact_sheet(&[panels], MARGIN)
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

/// Titled columns of pictures, and below them what the colours stand for, where there is anything to say of them. Text is
/// as large as the first row has room for.
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

fn text_width(words: &str, size: i64) -> u32 {
    words.chars().count() as u32 * (GLYPH * size) as u32
}

/// The picture at this height, and at most three times as wide.
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

/// Draws the frames of both views into a picture that had `decoded` pixels, width and height, when they were cut.
pub fn frame_views(picture: &mut RgbImage, decoded: [u32; 2], views: &[View; 2]) {
    let scale = |side: u32, decoded: u32| f64::from(side) / f64::from(decoded.max(1));
    let (across, down) = (scale(picture.width(), decoded[0]), scale(picture.height(), decoded[1]));
    for (View { crop, .. }, colour) in views.iter().zip(VIEW_COLOURS) {
        let Region { x0, y0, x1, y1 } = *crop;
        let region = Region { x0: x0 * across, y0: y0 * down, x1: x1 * across, y1: y1 * down };
        outline(picture, &region, 2, colour);
    }
}

/// The colour of a category: all of the first 512 differ, and low numbers, which share sheets most, differ strongly.
pub fn colour_of(category: usize) -> [u8; 3] {
    // Hue turns by the golden angle; lightness and chroma by the third and first power of 1 / 1.2207 (the golden ratio
    // of three dimensions), so that the three never fall into step and colours of like hue differ in lightness.
    let turned = |by: f64| (category as f64 * by).fract();
    let lightness = 0.40 + 0.46 * turned(0.549_700_477_9);
    let chroma = 0.12 + 0.12 * turned(0.819_172_513_4);
    srgb_from_oklch(lightness, chroma, turned(0.618_033_988_7) * TAU)
}

/// The colours of classes and categories by number: the data set's own where it has them, else [`colour_of`].
#[derive(Clone, Debug, Default)]
pub struct Palette(pub Vec<Option<[u8; 3]>>);

impl Palette {
    /// The colour of this number.
    pub fn colour_of(&self, number: usize) -> [u8; 3] {
        self.0.get(number).copied().flatten().unwrap_or_else(|| colour_of(number))
    }
}

/// The view under a map of categories of `columns x rows` cells, each cell in its colour at `strength` (0 to 1).
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

/// What the colours of categories make of what is under them. There are 256 values of a channel and a picture has
/// millions, so each is blended once.
struct Tints<'p> {
    palette: &'p Palette,
    strength: f32,
    /// By category: by channel and value below, the value of the blend.
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

/// A map of `columns x rows` categories as a picture of `width x height` pixels.
///
/// # Panics
/// If there are not `columns * rows` categories.
pub fn mask(categories: &[u32], columns: usize, rows: usize, width: u32, height: u32) -> RgbImage {
    mask_overlay(&RgbImage::new(width, height), categories, [columns, rows], &Palette::default(), 1.0)
}

/// The bytes of a PNG file.
pub fn png(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The original picture: dimmed where no view looks, both crop boxes, the overlap, and the points of both views.
fn picture_panel(origin: &Origin<'_>, points: [&[Point]; 2]) -> RgbImage {
    let mut panel = fitted(origin.picture, PANEL);
    let to_panel = f64::from(panel.height()) / f64::from(origin.picture.height());
    let scaled = |point: Point| Point { x: point.x * to_panel, y: point.y * to_panel };
    let boxes = origin.views.map(|view| {
        let (low, high) = (scaled(view.crop.at(0.0, 0.0)), scaled(view.crop.at(1.0, 1.0)));
        Region { x0: low.x, y0: low.y, x1: high.x, y1: high.y }
    });
    let overlap = boxes[0].intersection(&boxes[1]);
    shade(&mut panel, &boxes, overlap.as_ref());
    if let Some(overlap) = overlap {
        outline(&mut panel, &overlap, 1, WHITE);
    }
    for (region, colour) in boxes.iter().zip(VIEW_COLOURS) {
        outline(&mut panel, region, 2, colour);
    }

    let placed = |i: usize| -> Vec<Point> {
        points[i].iter().map(|&point| scaled(origin.views[i].image_from_view(point))).collect()
    };
    let (discs, rings) = (placed(0), placed(1));
    let radius = marker_radius(&discs).min(4.0);
    for (number, (&disc_centre, &ring_centre)) in discs.iter().zip(&rings).enumerate() {
        disc(&mut panel, disc_centre, radius - 1.0, Rgb(colour_of(number)));
        ring(&mut panel, ring_centre, radius, INK);
        ring(&mut panel, ring_centre, radius + 1.0, WHITE);
    }
    let caption = if overlap.is_some() { "picture" } else { "picture, no overlap" };
    captioned(&panel, caption, INK)
}

/// Dims what no view sees and brightens what both see.
fn shade(panel: &mut RgbImage, boxes: &[Region; 2], overlap: Option<&Region>) {
    let inside = |region: &Region, x: f64, y: f64| {
        (region.x0..region.x1).contains(&x) && (region.y0..region.y1).contains(&y)
    };
    for (x, y, pixel) in panel.enumerate_pixels_mut() {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        if overlap.is_some_and(|overlap| inside(overlap, x, y)) {
            *pixel = blend(*pixel, WHITE, 0.2);
        } else if !boxes.iter().any(|region| inside(region, x, y)) {
            *pixel = blend(*pixel, INK, 0.6);
        }
    }
}

fn captioned(panel: &RgbImage, caption: &str, colour: Rgb<u8>) -> RgbImage {
    let (width, height) = panel.dimensions();
    let framed_width = (width + 2 * FRAME).max(text_width(caption, 2));
    let mut framed = RgbImage::from_pixel(framed_width, CAPTION + height + 2 * FRAME, PAPER);
    text(&mut framed, 0, 2, 2, caption, colour);
    let frame = RgbImage::from_pixel(width + 2 * FRAME, height + 2 * FRAME, colour);
    imageops::replace(&mut framed, &frame, 0, i64::from(CAPTION));
    imageops::replace(&mut framed, panel, i64::from(FRAME), i64::from(CAPTION + FRAME));
    framed
}

/// Numbered discs where there is room for numbers, plain ones where there is not.
fn draw_points(panel: &mut RgbImage, points: &[Point]) {
    let radius = marker_radius(points);
    for (number, &point) in points.iter().enumerate() {
        let colour = Rgb(colour_of(number));
        disc(panel, point, radius + 1.0, WHITE);
        disc(panel, point, radius, colour);
        let label = number.to_string();
        let half_width = GLYPH * label.len() as i64 / 2;
        if half_width as f64 <= radius {
            let (x, y) = (point.x.round() as i64 - half_width, point.y.round() as i64 - GLYPH / 2);
            text(panel, x, y, 1, &label, if luminance(colour) > 0.42 { INK } else { WHITE });
        }
    }
}

/// As large as neighbouring points allow.
fn marker_radius(points: &[Point]) -> f64 {
    let distance = |a: &Point, b: &Point| (a.x - b.x).hypot(a.y - b.y);
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| distance(a, b)));
    (pairs.fold(f64::INFINITY, f64::min) * 0.42).clamp(3.0, LARGEST_RADIUS)
}

fn disc(panel: &mut RgbImage, centre: Point, radius: f64, colour: Rgb<u8>) {
    around(panel, centre, radius, |distance| radius + 0.5 - distance, colour);
}

fn ring(panel: &mut RgbImage, centre: Point, radius: f64, colour: Rgb<u8>) {
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
fn outline(panel: &mut RgbImage, region: &Region, thickness: u32, colour: Rgb<u8>) {
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

fn text(panel: &mut RgbImage, x: i64, y: i64, size: i64, words: &str, colour: Rgb<u8>) {
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

fn blend(under: Rgb<u8>, over: Rgb<u8>, strength: f32) -> Rgb<u8> {
    let mix = |i: usize| f32::from(under[i]) * (1.0 - strength) + f32::from(over[i]) * strength;
    Rgb([0, 1, 2].map(|i| mix(i).round() as u8))
}

fn luminance(colour: Rgb<u8>) -> f64 {
    let [red, green, blue] = colour.0.map(|channel| (f64::from(channel) / 255.0).powf(2.2));
    0.2126 * red + 0.7152 * green + 0.0722 * blue
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
        // Without a key there is nothing below, and narrow columns have small titles.
        let plain = titled_sheet(&titles, vec![vec![cell(30), cell(30)]], &[]);
        assert_eq!(plain.dimensions(), (3 * GAP + 60, GAP + 8 + GAP + 40 + GAP));
    }

    #[test]
    fn a_colour_is_that_of_its_number_alone() {
        // Sheets of old runs can be compared with those of new ones.
        let colours = [[120, 36, 69], [19, 159, 196], [16, 134, 121], [255, 151, 174]];
        assert_eq!([0, 1, 17, 500].map(colour_of), colours);
        let palette = Palette(vec![None, Some([9, 8, 7])]);
        assert_eq!(
            [0, 1, 2].map(|number| palette.colour_of(number)),
            [colour_of(0), [9, 8, 7], colour_of(2)]
        );
    }

    #[test]
    fn frames_lie_where_the_views_were_cut() {
        let mut picture = RgbImage::new(50, 20);
        let view = |x0, x1| View { crop: Region { x0, y0: 0.0, x1, y1: 40.0 }, flip: false };
        frame_views(&mut picture, [100, 40], &[view(0.0, 40.0), view(60.0, 100.0)]);
        let row: Vec<_> = (0..50).map(|x| *picture.get_pixel(x, 10)).collect();
        let [one, two] = VIEW_COLOURS;
        let framed = |colour| (0..50).filter(|&x| row[x as usize] == colour).collect::<Vec<u32>>();
        assert_eq!((framed(one), framed(two)), (vec![0, 1, 18, 19], vec![30, 31, 48, 49]));
    }

    #[test]
    fn a_png_reads_back() {
        let picture = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8, y as u8, 200]));
        assert_eq!(image::load_from_memory(&png(&picture).unwrap()).unwrap().to_rgb8(), picture);
    }

    #[test]
    fn corresponding_points_have_one_colour_at_their_places() {
        let view = RgbImage::from_pixel(PANEL, PANEL, Rgb([90; 3]));
        let here = [Point { x: -0.5, y: 0.0 }, Point { x: 0.5, y: 0.5 }];
        let there = [Point { x: 0.25, y: -0.25 }, Point { x: -0.75, y: 0.75 }];
        let sheet = correspondence([&view, &view], [&here, &there], None);
        let panel = PANEL + 2 * FRAME + MARGIN;
        for (i, points) in [here, there].iter().enumerate() {
            for (number, point) in points.iter().enumerate() {
                let pixel = |at: f64| ((at + 1.0) / 2.0 * f64::from(PANEL)) as u32;
                // Beside the number, inside the disc.
                let x = MARGIN + FRAME + i as u32 * panel + pixel(point.x);
                let y = MARGIN + CAPTION + FRAME + pixel(point.y) - 7;
                assert_eq!(sheet.get_pixel(x, y).0, colour_of(number));
            }
        }
    }

    #[test]
    fn points_and_boxes_beyond_the_edge_are_drawn_without_panic() {
        let view = RgbImage::from_pixel(30, 20, Rgb([90; 3]));
        let outside = [Point { x: -1.4, y: 9.0 }, Point { x: 1.0, y: 1.0 }];
        let crop = |x0, x1| Region { x0, y0: -5.0, x1, y1: 40.0 };
        let views =
            [View { crop: crop(-4.0, 10.0), flip: false }, View { crop: crop(20.0, 44.0), flip: true }];
        let origin = Origin { picture: &view, views };
        correspondence([&view, &view], [&outside, &outside], Some(&origin));
    }
}
