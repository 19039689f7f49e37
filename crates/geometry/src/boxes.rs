//! Boxes of detectors: how much two overlap, the differences that a network predicts, the choice among overlapping ones, and the
//! objects that they stand for.
//!
//! Boxes are [`Region`]s in continuous pixels, so a box from 3 to 7 is 4 wide, and not 5. All numbers are `f64`: choices such as
//! the best overlap do not depend on the precision of a network. The conventions are detectron2's.

use crate::Region;

/// The shares of the common area in the area of both boxes together, in `[0, 1]`; 0 if they have no area in common.
///
/// The boxes (0, 0, 2, 2) and (1, 0, 3, 2) have 2 of 6 in common: a third.
pub fn overlap(one: &Region, other: &Region) -> f64 {
    let common = one.intersection(other).map_or(0.0, |common| common.area());
    if common > 0.0 { common / (one.area() + other.area() - common) } else { 0.0 }
}

/// How a box is written relative to another (Girshick 2015): the distance of the centres as a share of the other's size, and the
/// logarithms of the ratios of the sides, in units of these weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    /// Of x, y, width and height; each above 0.
    pub weights: [f64; 4],
}

/// The largest logarithm of a ratio of sides that is decoded: an object of 1000 pixels in a cell of 16.
fn largest_growth() -> f64 {
    (1000.0_f64 / 16.0).ln()
}

impl Coding {
    /// The differences from `source` to `target`. Both need sides above 0; others give numbers that are not finite.
    pub fn encode(&self, source: &Region, target: &Region) -> [f64; 4] {
        let [wx, wy, ww, wh] = self.weights;
        let (from, to) = (source.centre(), target.centre());
        [
            wx * (to.x - from.x) / source.width(),
            wy * (to.y - from.y) / source.height(),
            ww * (target.width() / source.width()).ln(),
            wh * (target.height() / source.height()).ln(),
        ]
    }

    /// The box that differs from `source` by `differences`. Sides grow at most by 1000 / 16.
    pub fn decode(&self, source: &Region, differences: [f64; 4]) -> Region {
        let [wx, wy, ww, wh] = self.weights;
        let [dx, dy, dw, dh] = differences;
        let centre = source.centre();
        let (x, y) = (dx / wx * source.width() + centre.x, dy / wy * source.height() + centre.y);
        let growth = |logarithm: f64| logarithm.min(largest_growth()).exp();
        let (width, height) = (growth(dw / ww) * source.width(), growth(dh / wh) * source.height());
        Region { x0: x - 0.5 * width, y0: y - 0.5 * height, x1: x + 0.5 * width, y1: y + 0.5 * height }
    }
}

/// Chooses among boxes that overlap (non-maximum suppression): the indices of at most `most` boxes by falling score, without
/// those that overlap a better one by **more** than `threshold`. Of equal scores the first counts as better. Boxes of different
/// `classes` do not meet; one class for all lets all boxes meet.
///
/// # Panics
/// When the lists differ in length, which the caller must prevent.
pub fn choose(
    boxes: &[Region],
    scores: &[f64],
    classes: &[usize],
    threshold: f64,
    most: usize,
) -> Vec<usize> {
    assert!(boxes.len() == scores.len() && boxes.len() == classes.len(), "a score and a class for each box");
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut indices = Vec::new();
    for index in order {
        if indices.len() == most {
            break;
        }
        let class = classes[index];
        if chosen.len() <= class {
            chosen.resize_with(class + 1, Chosen::default);
        }
        if !chosen[class].overlaps(&boxes[index], threshold) {
            chosen[class].push(&boxes[index]);
            indices.push(index);
        }
    }
    indices
}

/// The boxes of a class that were chosen so far, edge by edge, so that the search among them uses vector instructions.
#[derive(Debug, Default)]
struct Chosen {
    x0: Vec<f64>,
    y0: Vec<f64>,
    x1: Vec<f64>,
    y1: Vec<f64>,
}

impl Chosen {
    /// Boxes that are compared before the search looks whether it may end.
    const BLOCK: usize = 32;

    fn push(&mut self, region: &Region) {
        self.x0.push(region.x0);
        self.y0.push(region.y0);
        self.x1.push(region.x1);
        self.y1.push(region.y1);
    }

    /// Whether one of them overlaps `region` by more than `threshold`.
    fn overlaps(&self, region: &Region, threshold: f64) -> bool {
        let columns = self.x0.chunks(Self::BLOCK).zip(self.x1.chunks(Self::BLOCK));
        let rows = self.y0.chunks(Self::BLOCK).zip(self.y1.chunks(Self::BLOCK));
        columns.zip(rows).any(|((x0, x1), (y0, y1))| {
            let edges = x0.iter().zip(x1).zip(y0.iter().zip(y1));
            edges.fold(false, |found, ((&x0, &x1), (&y0, &y1))| {
                let width = (x1.min(region.x1) - x0.max(region.x0)).max(0.0);
                let height = (y1.min(region.y1) - y0.max(region.y0)).max(0.0);
                let common = width * height;
                found | (common / ((x1 - x0) * (y1 - y0) + region.area() - common) > threshold)
            })
        })
    }
}

/// The boxes that a detector starts from: at every cell of a map the same ones, of each size and ratio.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// Square roots of the areas, in pixels.
    pub sizes: Vec<f64>,
    /// Heights divided by widths.
    pub ratios: Vec<f64>,
}

impl Anchors {
    /// The number of boxes at a cell.
    pub fn count(&self) -> usize {
        self.sizes.len() * self.ratios.len()
    }

    /// The boxes of a map of `[rows, columns]` cells, by row, column, size and ratio. Those of cell (`i`, `j`) have their centre at
    /// (`j * stride`, `i * stride`), the cell's corner. A size of 32 at a ratio of 1 at the first cell is (-16, -16, 16, 16).
    pub fn of_map(&self, [rows, columns]: [usize; 2], stride: u32) -> Vec<Region> {
        let halves: Vec<[f64; 2]> = self.sizes.iter().flat_map(|size| self.halves(*size)).collect();
        let mut boxes = Vec::with_capacity(rows * columns * halves.len());
        for row in 0..rows {
            for column in 0..columns {
                let [x, y] = [column, row].map(|cell| cell as f64 * f64::from(stride));
                boxes.extend(halves.iter().map(|[w, h]| Region {
                    x0: x - w,
                    y0: y - h,
                    x1: x + w,
                    y1: y + h,
                }));
            }
        }
        boxes
    }

    /// Half the width and height of the boxes of a size, by ratio.
    fn halves(&self, size: f64) -> impl Iterator<Item = [f64; 2]> {
        self.ratios.iter().map(move |ratio| {
            let width = (size * size / ratio).sqrt();
            [width / 2.0, ratio * width / 2.0]
        })
    }
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// No object.
    Background,
    /// Neither, so nothing is learned from it.
    Ignored,
    /// The object of this index.
    Object(usize),
}

/// The rule by which boxes stand for objects: the largest overlap with one decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// Below this overlap a box is background.
    pub background: f64,
    /// From this overlap a box stands for the object. Between the two it is ignored.
    pub object: f64,
    /// Whether the boxes that overlap an object best stand for an object too, however little that is. They stand for the object
    /// that they themselves overlap best.
    pub best: bool,
}

impl Matcher {
    /// What each box stands for. Of equal overlaps the first object counts.
    pub fn labels(&self, boxes: &[Region], objects: &[Region]) -> Vec<Label> {
        let mut best_of_box = vec![(0.0, 0); boxes.len()];
        let mut overlaps_best = vec![false; boxes.len()];
        for (index, object) in objects.iter().enumerate() {
            let overlaps: Vec<f64> = boxes.iter().map(|of| overlap(of, object)).collect();
            let most = overlaps.iter().fold(0.0, |most: f64, &overlap| most.max(overlap));
            for (place, &overlap) in overlaps.iter().enumerate() {
                if overlap > best_of_box[place].0 {
                    best_of_box[place] = (overlap, index);
                }
                overlaps_best[place] |= overlap == most;
            }
        }
        let label = |((overlap, object), overlaps_best)| match overlap {
            _ if self.best && overlaps_best => Label::Object(object),
            _ if objects.is_empty() || overlap < self.background => Label::Background,
            _ if overlap < self.object => Label::Ignored,
            _ => Label::Object(object),
        };
        best_of_box.into_iter().zip(overlaps_best).map(label).collect()
    }
}

/// The level of a feature pyramid, of 2 to 5, from which a box is read (Lin et al. 2017, eq. 1): 4 for 224 pixels a side, and one
/// more or less when the side doubles or halves.
pub fn pyramid_level(region: &Region) -> usize {
    let level = (4.0 + (region.area().sqrt() / 224.0 + 1e-8).log2()).floor();
    // A box without area, or of a size that is no number, is read where the smallest are.
    if level >= 2.0 { level.min(5.0) as usize } else { 2 }
}
