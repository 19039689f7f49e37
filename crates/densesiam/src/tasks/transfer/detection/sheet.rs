//! The contact sheet of a detector: the pictures in which it is most wrong and most right, with what it has found and what is
//! there.

use std::cmp::Reverse;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::detection::{DetectionSet, Object};
use densesiam_geometry::mask::RunLengths;
use densesiam_geometry::{Region, Xywh};
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
        .map(|picture| (wrong(set.objects(picture), &found(picture).collect::<Vec<_>>()), picture))
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

/// How many objects were missed and how many boxes are wrong. Each object is found by one box at most; objects that count neither
/// as found nor as missed, difficult ones and crowds, are neither, nor are the boxes on them.
fn wrong(objects: &[Object], found: &[&Detection]) -> usize {
    let counts = |object: &Object| !object.difficult && !object.crowd;
    let mut taken = vec![false; objects.len()];
    let (mut right, mut ignored) = (0, 0);
    for found in found {
        let fits = |place: &usize| {
            let object = &objects[*place];
            object.class == found.class && found.bbox.iou(&Xywh::from(object.bbox), object.crowd) >= RIGHT
        };
        let fitting: Vec<usize> = (0..objects.len()).filter(|&place| !taken[place]).filter(fits).collect();
        match fitting.iter().find(|&&place| counts(&objects[place])) {
            Some(&place) => {
                taken[place] = true;
                right += 1;
            }
            None => ignored += usize::from(!fitting.is_empty()),
        }
    }
    let counted = objects.iter().filter(|object| counts(object)).count();
    counted + found.len() - ignored - 2 * right
}

/// A box as it is drawn into a picture: with its words, and the pixels of its mask in the picture's own size.
struct Drawn {
    region: Region,
    class: usize,
    words: String,
    mask: Option<RunLengths>,
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
    let own = [whole.height(), whole.width()];
    let small = fitted(&whole, HEIGHT);
    let words = |class: usize, score: f64| format!("{} {score:.2}", set.classes[class]);
    let of_found: Vec<Drawn> = found
        .iter()
        .map(|found| Drawn {
            region: found.bbox.into(),
            class: found.class,
            words: words(found.class, found.score),
            mask: found.mask.clone(),
        })
        .collect();
    let has_masks = of_found.iter().any(|drawn| drawn.mask.is_some());
    let of_objects: Vec<Drawn> = set
        .objects(picture)
        .iter()
        .map(|object| Drawn {
            region: object.bbox,
            class: object.class,
            words: set.classes[object.class].clone(),
            mask: object.shape.as_ref().filter(|_| has_masks).and_then(|shape| shape.mask(own)),
        })
        .collect();
    Some([of_found, of_objects].map(|drawn| with_boxes(&small, own, &drawn)).into())
}

/// A picture with boxes, which are given in the pixels of its own size (height, width).
fn with_boxes(small: &RgbImage, own: [u32; 2], boxes: &[Drawn]) -> RgbImage {
    let mut drawn = small.clone();
    let [height, width] = [small.height(), small.width()];
    let [y, x] = [f64::from(height) / f64::from(own[0]), f64::from(width) / f64::from(own[1])];
    // The first on top; one mask at a time, because each is as large as the picture.
    for Drawn { region, class, words, mask } in boxes.iter().rev() {
        let Region { x0, y0, x1, y1 } = *region;
        let region = Region { x0: x0 * x, y0: y0 * y, x1: x1 * x, y1: y1 * y };
        let mask = mask.as_ref().map(|mask| nearest(&mask.bits(), own, [height, width]));
        let named = NamedBox { region, class: *class, words, mask: mask.as_deref() };
        draw_boxes(&mut drawn, &[named], &Palette::default());
    }
    drawn
}

/// The bits of a mask of one size (height, width) at another, each that of the nearest pixel.
fn nearest(bits: &[bool], own: [u32; 2], [height, width]: [u32; 2]) -> Vec<bool> {
    let at = |place: u32, of: u32, own: u32| (2 * place as usize + 1) * own as usize / (2 * of as usize);
    let row = |y: u32| {
        let first = at(y, height, own[0]) * own[1] as usize;
        (0..width).map(move |x| bits[first + at(x, width, own[1])])
    };
    (0..height).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difficult_objects_and_crowds_are_neither_missed_nor_found_wrongly() {
        let bbox = Region { x0: 0.0, y0: 0.0, x1: 10.0, y1: 10.0 };
        let plain = Object { bbox, class: 0, difficult: false, crowd: false, area: 100.0, shape: None };
        let found = Detection { picture: 0, class: 0, score: 0.9, bbox: bbox.into(), mask: None };
        let other = Detection { class: 1, ..found.clone() };
        let difficult = Object { difficult: true, ..plain.clone() };
        let crowd = Object { crowd: true, ..plain.clone() };
        let objects = [[difficult, plain.clone()], [crowd, plain]];
        for [ignored, plain] in objects.each_ref().map(|two| two.each_ref().map(std::slice::from_ref)) {
            assert_eq!(wrong(plain, &[]), 1);
            assert_eq!(wrong(plain, &[&found]), 0);
            assert_eq!(wrong(plain, &[&found, &found]), 1, "the second is one too many");
            assert_eq!(wrong(plain, &[&other]), 2);
            assert_eq!(wrong(ignored, &[]), 0);
            assert_eq!(wrong(ignored, &[&found, &found]), 0);
        }
        assert!(objects.iter().all(|both| wrong(both, &[&found]) == 0), "the plain one is found");
    }

    #[test]
    fn masks_are_scaled_to_the_nearest_pixel() {
        let bits = [true, false, false, true];
        assert_eq!(nearest(&bits, [2, 2], [2, 4]), [true, true, false, false, false, false, true, true]);
        assert_eq!(nearest(&bits, [2, 2], [1, 1]), [true]);
    }
}
