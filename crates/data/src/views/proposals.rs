//! Three views of a picture with proposals of objects in them (SoCo): the whole picture, a crop, and another crop at half the size.

use densesiam_geometry::{Fraction, Region, View};
use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};

use super::ViewParameters;
use super::photometric::{chance, uniform};
use super::random::{RandomViews, crop_of, photometric_of};
use crate::regions::box_in;

/// Boxes that are compared in each view.
pub const BOXES: usize = 4;

/// How often a crop is drawn again that shows fewer than two proposals.
const REDRAWS: usize = 5;

/// Boxes in a view, and which proposals they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxSet {
    /// As shares of the view.
    pub boxes: [Fraction; BOXES],
    /// The number of each one's proposal among those of the picture.
    pub ids: [u32; BOXES],
}

/// What was drawn for three views.
#[derive(Clone, Debug)]
pub struct ProposalViews {
    /// The whole picture, the crop, and the smaller crop.
    pub views: [ViewParameters; 3],
    /// The boxes of view 1 for view 2, those of view 1 for view 3, those of view 2, and those of view 3.
    pub boxes: [BoxSet; 4],
}

impl ProposalViews {
    /// Draws the views of a picture of `(width, height)` pixels with these `proposals`, in pixels, as a function of the key.
    pub fn draw(settings: &RandomViews, size: (u32, u32), proposals: &[Region], key: Key) -> Self {
        let rng = &mut Key { purpose: Purpose::Proposals, ..key.view(0) }.rng();
        let whole = Region { x0: 0.0, y0: 0.0, x1: size.0.into(), y1: size.1.into() };
        let mut flip = || chance(settings.flip_probability, rng);
        let [flip1, flip2, flip3] = [flip(), flip(), flip()];
        let first = View { crop: whole, flip: flip1 };
        let [(second, shown2), (third, shown3)] = [flip2, flip3].map(|flip| {
            let (crop, shown) = crop_with_proposals(settings, size, proposals, rng);
            (View { crop, flip }, chosen(shown, rng))
        });
        let of = |shown: &[u32; BOXES], view: &View, jitter: &mut dyn FnMut(Region) -> Region| {
            let part = |id: u32| {
                // Where a crop shows no proposal, the crop itself is one.
                let region = proposals.get(id as usize).copied().unwrap_or(view.crop);
                box_in(&jitter(region), view).or_else(|| box_in(&region, view)).unwrap_or(Fraction::WHOLE)
            };
            BoxSet { boxes: shown.map(part), ids: *shown }
        };
        let exact = &mut |region| region;
        let [boxes2, boxes3] = [of(&shown2, &second, exact), of(&shown3, &third, exact)];
        let jittered = &mut |region| jittered(region, rng);
        let [boxes12, boxes13] = [of(&shown2, &first, jittered), of(&shown3, &first, jittered)];
        let parameters = |view: View, number: u32, colours: usize| {
            let rng = &mut Key { purpose: Purpose::Photometric, ..key.view(number) }.rng();
            ViewParameters { view, photometric: photometric_of(settings, colours, rng) }
        };
        let views = [parameters(first, 0, 0), parameters(second, 1, 1), parameters(third, 2, 1)];
        Self { views, boxes: [boxes12, boxes13, boxes2, boxes3] }
    }
}

/// A crop, and the numbers of the proposals that it shows: at least two, if one of the tries has so many.
fn crop_with_proposals(
    settings: &RandomViews,
    size: (u32, u32),
    proposals: &[Region],
    rng: &mut ChaCha8Rng,
) -> (Region, Vec<u32>) {
    let mut draw = || {
        let crop = crop_of(settings.scale, settings.ratio, size, rng);
        let shows = |region: &Region| region.intersection(&crop).is_some();
        let shown = proposals.iter().enumerate().filter(|(_, region)| shows(region));
        (crop, shown.map(|(id, _)| id as u32).collect::<Vec<_>>())
    };
    let mut drawn = draw();
    for _ in 0..REDRAWS {
        if drawn.1.len() >= 2 {
            break;
        }
        drawn = draw();
    }
    drawn
}

/// Four of the proposals that a crop shows, in random order; of fewer some occur again. Of none, a number that no proposal has.
fn chosen(mut shown: Vec<u32>, rng: &mut ChaCha8Rng) -> [u32; BOXES] {
    if shown.is_empty() {
        return [u32::MAX; BOXES];
    }
    let count = shown.len();
    for place in 0..count.min(BOXES) {
        shown.swap(place, rng.random_range(place as u64..count as u64) as usize);
    }
    std::array::from_fn(|place| match shown.get(place) {
        Some(&id) => id,
        None => shown[rng.random_range(0..count as u64) as usize],
    })
}

/// Half of the boxes are moved and resized by up to a tenth of their sides.
fn jittered(region: Region, rng: &mut ChaCha8Rng) -> Region {
    let moves = chance(0.5, rng);
    let mut share = || uniform([-0.1, 0.1], rng);
    let [right, down, wider, higher] = [share(), share(), share(), share()];
    if !moves {
        return region;
    }
    let (width, height) = (region.width(), region.height());
    let (x0, y0) = (region.x0 + right * width, region.y0 + down * height);
    Region { x0, y0, x1: x0 + (1.0 + wider) * width, y1: y0 + (1.0 + higher) * height }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposals() -> Vec<Region> {
        let at = |x: f64, y: f64| Region { x0: x, y0: y, x1: x + 90.0, y1: y + 70.0 };
        vec![
            at(20.0, 30.0),
            at(200.0, 30.0),
            at(380.0, 280.0),
            at(150.0, 150.0),
            at(60.0, 250.0),
            at(300.0, 120.0),
        ]
    }

    #[test]
    fn boxes_of_two_views_are_the_same_proposals() {
        let settings = RandomViews { scale: [0.5, 1.0], ..RandomViews::default() };
        let proposals = proposals();
        for sample in 0..200 {
            let key = Key::new(2, Purpose::Geometry).sample(sample);
            let drawn = ProposalViews::draw(&settings, (500, 375), &proposals, key);
            let again = ProposalViews::draw(&settings, (500, 375), &proposals, key);
            assert_eq!((drawn.views, drawn.boxes), (again.views, again.boxes), "a function of the key");
            let [boxes12, boxes13, boxes2, boxes3] = drawn.boxes;
            assert_eq!((boxes12.ids, boxes13.ids), (boxes2.ids, boxes3.ids));
            for (set, view) in [(boxes2, 1), (boxes3, 2)] {
                for (part, id) in set.boxes.iter().zip(set.ids) {
                    let view = &drawn.views[view].view;
                    assert_eq!(Some(*part), box_in(&proposals[id as usize], view));
                    assert!(part.width() > 0.0 && part.height() > 0.0 && part.x0 >= 0.0 && part.y1 <= 1.0);
                }
            }
            let close = |set: BoxSet| {
                set.boxes.iter().zip(set.ids).all(|(part, id)| {
                    let exact = box_in(&proposals[id as usize], &drawn.views[0].view).unwrap();
                    (part.x0 - exact.x0).abs() < 0.05 && (part.height() - exact.height()).abs() < 0.1
                })
            };
            assert!(close(boxes12) && close(boxes13));
        }
    }

    #[test]
    fn a_picture_of_one_proposal_or_none_has_boxes_too() {
        let settings = RandomViews { scale: [0.5, 1.0], ..RandomViews::default() };
        let key = Key::new(2, Purpose::Geometry);
        let one = ProposalViews::draw(&settings, (500, 375), &proposals()[3..4], key);
        assert_eq!(one.boxes[2].ids, [0; BOXES]);
        let none = ProposalViews::draw(&settings, (500, 375), &[], key);
        assert_eq!(none.boxes[2].boxes, [Fraction::WHOLE; BOXES]);
    }
}
