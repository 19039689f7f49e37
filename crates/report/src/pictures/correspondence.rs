//! Two views of one picture: their corresponding points, and where they were cut.

use densesiam_geometry::{Point, Region, View};
use image::{Rgb, RgbImage, imageops};

use super::drawing::{GLYPH, blend, disc, outline, ring, text, text_width};
use super::palette::{INK, PAPER, VIEW_COLOURS, WHITE, colour_of, luminance};
use super::sheet::{contact_sheet, fitted};

/// Height of the panels of [`correspondence`], in pixels.
const PANEL: u32 = 448;
const MARGIN: u32 = 16;
const FRAME: u32 = 3;
const CAPTION: u32 = 28;
const LARGEST_RADIUS: f64 = 11.0;

/// Where the two views of [`correspondence`] were cut from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The picture as it was decoded.
    pub picture: &'a RgbImage,
    /// How view 1 and view 2 were cut from it.
    pub views: [View; 2],
}

/// Both views with their corresponding points (view space); the same point has the same number and colour.
///
/// With an `origin`, the picture stands at the left with both crop boxes and the overlap. There each point is a disc
/// where view 1 has it and a ring where view 2 has it: a ring around every disc says that the two grids agree.
pub fn correspondence(views: [&RgbImage; 2], points: [&[Point]; 2], origin: Option<&Source<'_>>) -> RgbImage {
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

/// The original picture: dimmed where no view looks, both crop boxes, the overlap, and the points of both views.
fn picture_panel(origin: &Source<'_>, points: [&[Point]; 2]) -> RgbImage {
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

/// Dims the area outside both views, and brightens their overlap.
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

/// Draws numbered discs if there is space for numbers, else plain ones.
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

/// The largest radius that neighbouring points allow.
fn marker_radius(points: &[Point]) -> f64 {
    let distance = |a: &Point, b: &Point| (a.x - b.x).hypot(a.y - b.y);
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| distance(a, b)));
    (pairs.fold(f64::INFINITY, f64::min) * 0.42).clamp(3.0, LARGEST_RADIUS)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let origin = Source { picture: &view, views };
        correspondence([&view, &view], [&outside, &outside], Some(&origin));
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
}
