//! Components that are sampled less than others, at the size of the picture.

use super::pixels::Plane;

/// A plane whose rows are asked for at the picture's size.
///
/// Doubled samples are three quarters of the nearest one and one of the next. As in the Independent JPEG Group's decoder,
/// all others are repeated, and so are rows of one sample or two.
pub(super) struct Enlarged<'a> {
    plane: &'a Plane,
    smooth: bool,
    /// A row between rows, and one of more columns.
    between: Vec<u8>,
    wide: Vec<u8>,
}

impl<'a> Enlarged<'a> {
    pub(super) fn new(plane: &'a Plane) -> Self {
        let &Plane { across, down, .. } = plane;
        let smooth = across <= 2 && down <= 2 && (across == 1 || plane.width > 2);
        let (between, wide) = (vec![0; plane.columns()], vec![0; across * plane.columns()]);
        Self { plane, smooth, between, wide }
    }

    /// A row of samples, of which some may lie beyond the picture's edge.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &[u8] {
        let samples = if self.smooth && self.plane.down == 2 {
            let nearest = row / 2;
            let next = if row.is_multiple_of(2) { nearest.saturating_sub(1) } else { nearest + 1 };
            let next = self.plane.row(next.min(self.plane.rows() - 1));
            for ((between, &near), &far) in self.between.iter_mut().zip(self.plane.row(nearest)).zip(next) {
                *between = mixed(near, far);
            }
            &self.between
        } else {
            self.plane.row(row / self.plane.down)
        };
        match self.plane.across {
            1 => samples,
            2 if self.smooth => {
                doubled(samples, self.wide.as_chunks_mut().0);
                &self.wide
            }
            across => {
                for (wide, &sample) in self.wide.chunks_exact_mut(across).zip(samples) {
                    wide.fill(sample);
                }
                &self.wide
            }
        }
    }
}

#[inline(always)]
fn doubled(samples: &[u8], wide: &mut [[u8; 2]]) {
    let last = samples.len() - 1;
    wide[0] = [samples[0], mixed(samples[0], samples[1])];
    for (wide, near) in wide[1..last].iter_mut().zip(samples.windows(3)) {
        *wide = [mixed(near[1], near[0]), mixed(near[1], near[2])];
    }
    wide[last] = [mixed(samples[last], samples[last - 1]), samples[last]];
}

#[inline(always)]
fn mixed(near: u8, far: u8) -> u8 {
    ((3 * u16::from(near) + u16::from(far) + 2) >> 2) as u8
}
