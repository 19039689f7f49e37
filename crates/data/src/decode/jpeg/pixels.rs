//! Samples to pixels: halved chroma is interpolated, then YCbCr becomes RGB.

use multiversion::multiversion;

/// Pixels that are converted at once.
const AT_ONCE: usize = 64;

/// All samples of one component, row by row.
pub(super) struct Plane {
    /// Samples in a row, those beyond the picture's edge included.
    pub(super) width: usize,
    pub(super) samples: Vec<u8>,
}

impl Plane {
    /// A plane of zeros.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, samples: vec![0; width * height] }
    }

    fn height(&self) -> usize {
        self.samples.len() / self.width
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.width..][..self.width]
    }
}

/// Writes one plane or three, of which the first is luma, as rows of `width` pixels.
#[multiversion(targets = "simd")]
pub(super) fn to_rgb(planes: &[Plane], width: usize, pixels: &mut [u8]) {
    let rows = pixels.chunks_exact_mut(3 * width).enumerate();
    let [luma, blue, red] = planes else {
        for (row, pixels) in rows {
            for (pixel, &grey) in pixels.as_chunks_mut().0.iter_mut().zip(planes[0].row(row)) {
                *pixel = [grey; 3];
            }
        }
        return;
    };
    let (mut blue, mut red) = (Upsampled::new(blue, luma), Upsampled::new(red, luma));
    for (row, pixels) in rows {
        let (luma, blue, red) = (&luma.row(row)[..width], &blue.row(row)[..width], &red.row(row)[..width]);
        let (luma, luma_rest) = luma.as_chunks::<AT_ONCE>();
        let (blue, blue_rest) = blue.as_chunks::<AT_ONCE>();
        let (red, red_rest) = red.as_chunks::<AT_ONCE>();
        let (pixels, pixels_rest) = pixels.as_chunks_mut::<{ 3 * AT_ONCE }>();
        for (((pixels, luma), blue), red) in pixels.iter_mut().zip(luma).zip(blue).zip(red) {
            convert(luma, blue, red, pixels);
        }
        let pixels_rest = pixels_rest.as_chunks_mut().0.iter_mut();
        for (((pixel, &luma), &blue), &red) in pixels_rest.zip(luma_rest).zip(blue_rest).zip(red_rest) {
            *pixel = rgb(luma, blue, red);
        }
    }
}

/// Whole arrays, and colours apart before they are joined: so the compiler makes vectors of both loops.
#[inline(always)]
fn convert(luma: &[u8; AT_ONCE], blue: &[u8; AT_ONCE], red: &[u8; AT_ONCE], pixels: &mut [u8; 3 * AT_ONCE]) {
    let (mut r, mut g, mut b) = ([0; AT_ONCE], [0; AT_ONCE], [0; AT_ONCE]);
    for i in 0..AT_ONCE {
        [r[i], g[i], b[i]] = rgb(luma[i], blue[i], red[i]);
    }
    for i in 0..AT_ONCE {
        pixels[3 * i] = r[i];
        pixels[3 * i + 1] = g[i];
        pixels[3 * i + 2] = b[i];
    }
}

/// JFIF's conversion (BT.601, full range), in 16384ths.
#[inline(always)]
fn rgb(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    let luma = (i32::from(luma) << 14) + (1 << 13) - 1;
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    let clamped = |value: i32| (value >> 14).clamp(0, 255) as u8;
    [clamped(luma + 22970 * red), clamped(luma - 11700 * red - 5638 * blue), clamped(luma + 29032 * blue)]
}

/// A plane at the size of luma's: where that is double, three quarters of the nearest sample and one of the next.
struct Upsampled<'a> {
    plane: &'a Plane,
    halved_across: bool,
    halved_down: bool,
    /// A row between rows, and one of twice as many columns.
    between: Vec<u8>,
    wide: Vec<u8>,
}

impl<'a> Upsampled<'a> {
    fn new(plane: &'a Plane, luma: &Plane) -> Self {
        let (halved_across, halved_down) = (plane.width < luma.width, plane.height() < luma.height());
        Self { plane, halved_across, halved_down, between: vec![0; plane.width], wide: vec![0; luma.width] }
    }

    #[inline(always)]
    fn row(&mut self, row: usize) -> &[u8] {
        let samples = if self.halved_down {
            let nearest = row / 2;
            let next = if row.is_multiple_of(2) { nearest.saturating_sub(1) } else { nearest + 1 };
            let next = self.plane.row(next.min(self.plane.height() - 1));
            for ((between, &near), &far) in self.between.iter_mut().zip(self.plane.row(nearest)).zip(next) {
                *between = mixed(near, far);
            }
            &self.between
        } else {
            self.plane.row(row)
        };
        if !self.halved_across {
            return samples;
        }
        let wide = self.wide.as_chunks_mut().0;
        let last = samples.len() - 1;
        wide[0] = [samples[0], mixed(samples[0], samples[1])];
        for (wide, near) in wide[1..last].iter_mut().zip(samples.windows(3)) {
            *wide = [mixed(near[1], near[0]), mixed(near[1], near[2])];
        }
        wide[last] = [mixed(samples[last], samples[last - 1]), samples[last]];
        &self.wide
    }
}

#[inline(always)]
fn mixed(near: u8, far: u8) -> u8 {
    ((3 * u16::from(near) + u16::from(far) + 2) >> 2) as u8
}
