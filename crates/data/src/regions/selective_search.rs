//! Selective search as SoCo released it: the segments of a picture are merged in pairs, the most alike first, and the
//! box of everything that ever was a segment is a proposal. [`BoxFilter`] then leaves out most of them.
//!
//! Released oddities are kept, because the published figures have them. Of the histograms of hue, saturation and value
//! only the third varies: all three are taken between 0 and 255, and the first two lie between 0 and 1. Boxes end at
//! their last column and row, not behind them. Neighbours are segments whose boxes cross in a certain way, whether the
//! segments touch or not.

use std::collections::BinaryHeap;

use densesiam_geometry::Region;
use densesiam_settings::{SettingError, within};
use serde::{Deserialize, Serialize};

use super::box_filter::BoxFilter;
use super::felzenszwalb::Felzenszwalb;
use super::pattern::local_binary_patterns;
use super::raster::Raster;
use crate::image::RgbImage;

/// How boxes of things are proposed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectiveSearch {
    /// The segments that are merged, of at least 20 pixels.
    pub segments: Felzenszwalb,
    /// Which boxes are kept.
    pub filter: BoxFilter,
}

impl Default for SelectiveSearch {
    /// The proposals of SoCo.
    fn default() -> Self {
        let segments = Felzenszwalb { scale: 300.0, sigma: 0.9, min_size: 100 };
        Self { segments, filter: BoxFilter::default() }
    }
}

impl SelectiveSearch {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.segments.validate()?;
        within("min_size", self.segments.min_size, 20..=u32::MAX, "pixels")?;
        self.filter.validate()
    }

    /// The box of every segment of the picture and of everything that was merged, in the order of making, in pixels of
    /// the picture. Of n segments, at most the picture's pixels over `segments.min_size`, there are at most `2 n - 1`
    /// boxes. Time and memory grow with the pairs of neighbours that ever were, at most about `n^2 / 2` with those of
    /// merged segments; [`super::RegionSettings`] bounds n by reducing the picture.
    pub fn every_box(&self, picture: &RgbImage) -> Vec<Region> {
        let segments = self.segments.segment(picture);
        merged(picture, &segments, &local_binary_patterns(picture))
    }
}

/// Bins of the histogram of values.
const VALUES: usize = 25;
/// Bins of the histograms of patterns, all three channels.
const TEXTURES: usize = 30;

/// What is known of a segment.
#[derive(Clone)]
struct Segment {
    /// First and last column and row.
    min: [u32; 2],
    max: [u32; 2],
    /// Pixels.
    size: f64,
    values: [f64; VALUES],
    textures: [f64; TEXTURES],
}

impl Segment {
    const EMPTY: Self =
        Self { min: [u32::MAX; 2], max: [0; 2], size: 0.0, values: [0.0; VALUES], textures: [0.0; TEXTURES] };

    fn add(&mut self, place: [u32; 2], value: u8, patterns: [u8; 3]) {
        for axis in [0, 1] {
            self.min[axis] = self.min[axis].min(place[axis]);
            self.max[axis] = self.max[axis].max(place[axis]);
        }
        self.size += 1.0;
        // Bins of 10.2 and of 25.5 between 0 and 255; 255 is in the last.
        self.values[(usize::from(value) * 5 / 51).min(VALUES - 1)] += 1.0;
        for (channel, pattern) in patterns.into_iter().enumerate() {
            self.textures[channel * 10 + (usize::from(pattern) * 2 / 51).min(9)] += 1.0;
        }
    }

    fn merged(&self, other: &Self) -> Self {
        let size = self.size + other.size;
        let mean = |a: f64, b: f64| (a * self.size + b * other.size) / size;
        Self {
            min: [0, 1].map(|axis| self.min[axis].min(other.min[axis])),
            max: [0, 1].map(|axis| self.max[axis].max(other.max[axis])),
            size,
            values: std::array::from_fn(|bin| mean(self.values[bin], other.values[bin])),
            textures: std::array::from_fn(|bin| mean(self.textures[bin], other.textures[bin])),
        }
    }

    /// How alike two segments of a picture of `pixels` pixels are, between 2 and 8. The sums are in the released order,
    /// so that equal likenesses stay equal.
    fn likeness(&self, other: &Self, pixels: f64) -> f64 {
        let common = |start: f64, ours: &[f64], theirs: &[f64]| {
            ours.iter().zip(theirs).fold(start, |sum, (&a, &b)| sum + a.min(b))
        };
        // Hue and saturation are 1 each, as every pixel is in their first bin.
        let colour = common(2.0, &self.values, &other.values);
        let texture = common(0.0, &self.textures, &other.textures);
        let side = |axis: usize| {
            f64::from(self.max[axis].max(other.max[axis]) - self.min[axis].min(other.min[axis]))
        };
        let size = 1.0 - (self.size + other.size) / pixels;
        let fill = 1.0 - (side(0) * side(1) - self.size - other.size) / pixels;
        colour + texture + size + fill
    }

    /// Whether a corner of the other box lies strictly within this one.
    fn holds_corner_of(&self, other: &Self) -> bool {
        let within = |axis: usize, place: u32| self.min[axis] < place && place < self.max[axis];
        let either = |axis: usize| within(axis, other.min[axis]) || within(axis, other.max[axis]);
        either(0) && either(1)
    }
}

/// The boxes of the segments and of all that they are merged to.
fn merged(picture: &RgbImage, segments: &Raster<u32>, patterns: &[Vec<u8>; 3]) -> Vec<Region> {
    let mut merging = Merging::new(described(picture, segments, patterns), segments.values.len() as f64);
    while let Some((_, pair)) = merging.queue.pop() {
        merging.merge(pair);
    }
    let corner = |place: [u32; 2]| place.map(f64::from);
    let boxes = merging.segments.iter().map(|segment| (corner(segment.min), corner(segment.max)));
    boxes.map(|([x0, y0], [x1, y1])| Region { x0, y0, x1, y1 }).collect()
}

fn described(picture: &RgbImage, segments: &Raster<u32>, patterns: &[Vec<u8>; 3]) -> Vec<Segment> {
    let count = segments.values.iter().max().map_or(0, |&last| last as usize + 1);
    let mut described = vec![Segment::EMPTY; count];
    for (pixel, (&segment, rgb)) in segments.values.iter().zip(picture.pixels.chunks_exact(3)).enumerate() {
        let place = [pixel as u32 % picture.width, pixel as u32 / picture.width];
        let value = rgb.iter().copied().max().unwrap_or_default();
        let patterns = [0, 1, 2].map(|channel| patterns[channel][pixel]);
        described[segment as usize].add(place, value, patterns);
    }
    for Segment { size, values, textures, .. } in &mut described {
        values.iter_mut().chain(textures).for_each(|count| *count /= *size);
    }
    described
}

/// Segments that are being merged. Pairs are numbered in the order in which they came to be.
struct Merging {
    segments: Vec<Segment>,
    /// Whether each segment is part of a later one.
    gone: Vec<bool>,
    pairs: Vec<[u32; 2]>,
    /// The pairs that each segment is in, ascending.
    pairs_of: Vec<Vec<u32>>,
    /// The bits of a pair's likeness, which are in the order of the likenesses, and its number: among equals the last
    /// comes first. Pairs of segments that are gone are left in it and passed over.
    queue: BinaryHeap<(u64, u32)>,
    pixels: f64,
}

impl Merging {
    fn new(segments: Vec<Segment>, pixels: f64) -> Self {
        let count = segments.len();
        let (gone, pairs_of) = (vec![false; count], vec![Vec::new(); count]);
        let (pairs, queue) = (Vec::new(), BinaryHeap::new());
        let mut merging = Self { segments, gone, pairs, pairs_of, queue, pixels };
        for earlier in 0..count {
            for later in earlier + 1..count {
                if merging.segments[earlier].holds_corner_of(&merging.segments[later]) {
                    merging.pair(earlier, later);
                }
            }
        }
        merging
    }

    fn pair(&mut self, first: usize, second: usize) {
        let number = self.pairs.len() as u32;
        let likeness = self.segments[first].likeness(&self.segments[second], self.pixels);
        self.queue.push((likeness.to_bits(), number));
        self.pairs.push([first as u32, second as u32]);
        self.pairs_of[first].push(number);
        self.pairs_of[second].push(number);
    }

    /// Makes one of two segments. Its neighbours are theirs, in the order of the pairs.
    fn merge(&mut self, pair: u32) {
        let [i, j] = self.pairs[pair as usize].map(|segment| segment as usize);
        if self.gone[i] || self.gone[j] {
            return;
        }
        (self.gone[i], self.gone[j]) = (true, true);
        let whole = self.segments.len();
        self.segments.push(self.segments[i].merged(&self.segments[j]));
        self.gone.push(false);
        self.pairs_of.push(Vec::new());
        let mut pairs = std::mem::take(&mut self.pairs_of[i]);
        pairs.append(&mut self.pairs_of[j]);
        pairs.sort_unstable();
        for pair in pairs {
            let [a, b] = self.pairs[pair as usize].map(|segment| segment as usize);
            let other = if a == i || a == j { b } else { a };
            // Who is a neighbour of both becomes one once: then its last pair is the one with the new segment.
            let last = self.pairs_of[other].last().map(|&last| self.pairs[last as usize]);
            if !self.gone[other] && last.is_none_or(|[first, _]| first as usize != whole) {
                self.pair(whole, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::vectors;
    use super::*;

    fn regions(boxes: &[i32]) -> Vec<Region> {
        let region = |&[x, y, w, h]: &[i32; 4]| {
            let [x0, y0, x1, y1] = [x, y, x + w, y + h].map(f64::from);
            Region { x0, y0, x1, y1 }
        };
        boxes.as_chunks().0.iter().map(region).collect()
    }

    #[test]
    fn parity_proposals_are_the_released_ones_in_their_order() {
        for file in vectors("rival-proposals") {
            let picture = file.picture();
            let ours = local_binary_patterns(&picture);
            let stored: Vec<Vec<u8>> =
                file.bytes("pattern").chunks(ours[0].len()).map(<[u8]>::to_vec).collect();
            let stored: [Vec<u8>; 3] = stored.try_into().unwrap();
            let differ =
                ours.iter().flatten().zip(stored.iter().flatten()).filter(|(ours, theirs)| ours != theirs);
            let share = differ.count() as f64 / stored.concat().len() as f64;
            assert!(share <= 0.01, "{}: {share} of the patterns differ", file.name);
            for (number, segments) in file.settings() {
                let search = SelectiveSearch { segments, ..SelectiveSearch::default() };
                let boxes = merged(&picture, &segments.segment(&picture), &stored);
                assert_eq!(
                    boxes,
                    regions(&file.integers(&format!("boxes{number}"))),
                    "{} {number}",
                    file.name
                );
                let kept = search.filter.kept(&boxes, [picture.width, picture.height]);
                assert_eq!(kept, regions(&file.integers(&format!("kept{number}"))), "{} {number}", file.name);
                let own = search.every_box(&picture);
                let found = boxes.iter().filter(|expected| own.contains(expected)).count();
                assert!(found * 20 >= boxes.len() * 19, "{} {number}: {found} boxes", file.name);
            }
        }
    }

    #[test]
    fn a_picture_of_one_colour_is_one_box() {
        let picture = RgbImage { width: 40, height: 50, pixels: vec![90; 40 * 50 * 3] };
        let boxes = SelectiveSearch::default().every_box(&picture);
        assert_eq!(boxes, [Region { x0: 0.0, y0: 0.0, x1: 39.0, y1: 49.0 }]);
    }

    /// Diagonals one pixel wide: nearly every segment is a neighbour of every other.
    #[test]
    fn many_neighbours_take_no_longer_than_their_pairs() {
        let (width, height) = (600, 600);
        let level = |pixel: u32| ((pixel % width + pixel / width) * 37 % 256) as u8;
        let pixels = (0..width * height).flat_map(|pixel| [level(pixel), 255 - level(pixel), 0]).collect();
        let picture = RgbImage { width, height, pixels };
        let segments = Felzenszwalb { scale: 1e-3, sigma: 0.0, min_size: 1 };
        let search = SelectiveSearch { segments, ..SelectiveSearch::default() };
        let start = std::time::Instant::now();
        let boxes = search.every_box(&picture);
        assert!(boxes.len() > 2000 && start.elapsed().as_secs() < 60, "{} boxes", boxes.len());
    }
}
