//! The contact sheet of a detector: the pictures in which it is most wrong and most right, with what it has found and what is
//! there.

use std::cmp::Reverse;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::detection::DetectionSet;
use densesiam_geometry::Xywh;
use densesiam_metrics::detection::Detection;
use densesiam_report::pictures::{INK, NamedBox, Palette, draw_boxes, fitted, titled_sheet};
use image::RgbImage;

/// The pictures of each kind.
const SHOWN: usize = 3;
/// The score from which a box counts as found.
const FOUND: f64 = 0.5;
/// The overlap from which a found box is right.
const RIGHT: f64 = 0.5;
/// Height of the pictures on the sheet, in pixels.
const HEIGHT: u32 = 240;

/// The sheet; `None` if no picture can be read.
pub(super) fn draw(set: &DetectionSet, detections: &[Detection], limits: &DecodeLimits) -> Option<RgbImage> {
    // Detections are in the order of the pictures.
    let found = |picture: usize| {
        let first = detections.partition_point(|found| found.picture < picture);
        let own = detections[first..].iter().take_while(move |found| found.picture == picture);
        own.filter(|found| found.score >= FOUND)
    };
    let mut pictures: Vec<_> = (0..set.len())
        .map(|picture| (wrong(set, picture, &found(picture).collect::<Vec<_>>()), picture))
        .collect();
    pictures.sort_by_key(|&(wrong, picture)| (Reverse(wrong), picture));
    let best = pictures.len().saturating_sub(SHOWN).max(SHOWN.min(pictures.len()));
    let shown = pictures.iter().take(SHOWN).chain(&pictures[best..]);
    let rows: Vec<Vec<RgbImage>> = shown
        .filter_map(|&(_, picture)| row(set, picture, &found(picture).collect::<Vec<_>>(), limits))
        .collect();
    let key: Vec<_> = set
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| (Palette::default().colour_of(class), name.clone()))
        .collect();
    let titles = [("found; the first rows are the worst pictures", INK), ("there", INK)];
    (!rows.is_empty()).then(|| titled_sheet(&titles, rows, &key))
}

/// How many objects were missed and how many boxes are wrong. Each object is found by one box at most.
fn wrong(set: &DetectionSet, picture: usize, found: &[&Detection]) -> usize {
    let objects = set.objects(picture);
    let mut taken = vec![false; objects.len()];
    let mut right = 0;
    for found in found {
        let fits = |place: &usize| {
            let object = &objects[*place];
            object.class == found.class && found.bbox.iou(&Xywh::from(object.bbox), object.crowd) >= RIGHT
        };
        let free = (0..objects.len()).filter(|&place| !taken[place]).find(fits);
        if let Some(place) = free {
            taken[place] = true;
            right += 1;
        }
    }
    objects.len() + found.len() - 2 * right
}

fn row(
    set: &DetectionSet,
    picture: usize,
    found: &[&Detection],
    limits: &DecodeLimits,
) -> Option<Vec<RgbImage>> {
    let mut bytes = Vec::new();
    set.picture(picture).read_into(&mut bytes).ok()?;
    let decoded = decode(&bytes, limits).ok()?;
    let whole = RgbImage::from_raw(decoded.width, decoded.height, decoded.pixels)?;
    let scale = f64::from(HEIGHT) / f64::from(whole.height().max(1));
    let small = fitted(&whole, HEIGHT);
    let words = |class: usize, score: f64| format!("{} {score:.2}", set.classes[class]);
    let scaled = |bbox: Xywh| {
        let Xywh { x, y, width, height } = bbox;
        Xywh { x: x * scale, y: y * scale, width: width * scale, height: height * scale }.into()
    };
    let of_found: Vec<_> = found
        .iter()
        .map(|found| (scaled(found.bbox), found.class, words(found.class, found.score)))
        .collect();
    let of_objects: Vec<_> = set
        .objects(picture)
        .iter()
        .map(|object| (scaled(object.bbox.into()), object.class, set.classes[object.class].clone()))
        .collect();
    let with = |boxes: &[(_, usize, String)]| {
        let mut drawn = small.clone();
        let named = boxes.iter().map(|(region, class, words)| NamedBox {
            region: *region,
            class: *class,
            words,
            mask: None,
        });
        draw_boxes(&mut drawn, &named.collect::<Vec<_>>(), &Palette::default());
        drawn
    };
    Some(vec![with(&of_found), with(&of_objects)])
}
