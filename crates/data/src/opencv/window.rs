//! A part of a scaled picture, and where its pixels come from.

use crate::labelled::{LabelMap, VOID};

/// A part of a picture that is scaled to another size; whole pixels of the scaled picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Width and height of the whole scaled picture, at least 1.
    pub scaled: [u32; 2],
    /// Column and row of the scaled picture where the window begins.
    pub origin: [u32; 2],
    /// Width and height of the window, which ends within the scaled picture.
    pub size: [u32; 2],
    /// Whether the window is mirrored left to right.
    pub flip: bool,
}

impl Window {
    /// All of the scaled picture.
    pub fn whole(scaled: [u32; 2]) -> Self {
        Self { scaled, origin: [0, 0], size: scaled, flip: false }
    }

    /// The columns (axis 0) or rows (axis 1) of the scaled picture, in the order in which the window shows them.
    pub(super) fn positions(&self, axis: usize) -> impl Iterator<Item = u32> {
        let (origin, length, mirrored) = (self.origin[axis], self.size[axis], axis == 0 && self.flip);
        (0..length).map(move |place| origin + if mirrored { length - 1 - place } else { place })
    }

    /// Pixels of a picture with `source` columns or rows for one of the scaled picture, computed as OpenCV does: rounded
    /// twice, so that a label between two pixels may come from the first.
    pub(super) fn step(&self, axis: usize, source: u32) -> f64 {
        1.0 / (f64::from(self.scaled[axis]) / f64::from(source))
    }

    /// The columns (axis 0) or rows (axis 1) of the original, which has `source` of them, that labels are taken from: the
    /// pixel at `position * source / scaled`, rounded down. A pixel's middle does not count, unlike in Pillow.
    pub fn nearest(&self, axis: usize, source: u32) -> Vec<usize> {
        let (step, last) = (self.step(axis, source), source.saturating_sub(1));
        self.positions(axis)
            .map(|position| ((f64::from(position) * step) as u32).min(last) as usize)
            .collect()
    }

    /// Writes the classes that the window shows of a label map: a row of the window into each of `rows`, which may be
    /// longer.
    pub fn labels_into<'o>(&self, labels: &LabelMap, rows: impl IntoIterator<Item = &'o mut [u8]>) {
        let (columns, width) = (self.nearest(0, labels.width), labels.width as usize);
        for (row, out) in self.nearest(1, labels.height).into_iter().zip(rows) {
            let row = &labels.classes[row * width..][..width];
            out.iter_mut().zip(&columns).for_each(|(class, &column)| *class = row[column]);
        }
    }

    /// How many pixels of each class the window shows, void left out.
    pub(crate) fn class_counts(&self, labels: &LabelMap) -> [u32; VOID as usize] {
        let (columns, width) = (self.nearest(0, labels.width), labels.width as usize);
        let mut counts = [0; VOID as usize + 1];
        for row in self.nearest(1, labels.height) {
            let row = &labels.classes[row * width..][..width];
            columns.iter().for_each(|&column| counts[usize::from(row[column])] += 1);
        }
        std::array::from_fn(|class| counts[class])
    }
}

/// The size, `[width, height]`, of a picture that is scaled with both sides alike to the largest that fits into `scale`
/// times `ratio`: the longer side into the larger number, the shorter side into the smaller one. A `scale` of `[0, 0]` is
/// the picture's own size.
pub fn fitted(image_size: [u32; 2], scale: [u32; 2], ratio: f64) -> [u32; 2] {
    let [short, long] = sorted(image_size);
    let target = if scale == [0, 0] { [short, long] } else { sorted(scale) };
    let [short_target, long_target] = target.map(|side| (f64::from(side) * ratio).floor());
    let factor = (long_target / f64::from(long)).min(short_target / f64::from(short));
    image_size.map(|side| ((f64::from(side) * factor + 0.5) as u32).max(1))
}

fn sorted([one, two]: [u32; 2]) -> [u32; 2] {
    [one.min(two), one.max(two)]
}
