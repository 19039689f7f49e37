//! The frame that segmentation looks at: a picture scaled by its shorter side, and the centred square of that.
//!
//! torchvision's geometry, whole pixels of the scaled picture; pictures are resampled from the frame's region of the
//! original in one go, labels are read at the nearest pixel as Pillow does.

use densesiam_geometry::Region;

/// Where the pixels of a frame lie in their picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width and height of the picture in pixels.
    source: [u32; 2],
    /// Width and height of the whole scaled picture.
    scaled: [u32; 2],
    /// Column and row of the scaled picture where the frame begins.
    origin: [u32; 2],
    /// Width and height of the frame.
    size: [u32; 2],
}

impl Frame {
    /// The picture of `(width, height)` pixels scaled so that its shorter side is `shorter` (torchvision's `resize`:
    /// the longer side is rounded down).
    pub fn scaled((width, height): (u32, u32), shorter: u32) -> Self {
        let longer = |long: u32, short: u32| (u64::from(shorter) * u64::from(long) / u64::from(short)) as u32;
        let scaled =
            if width <= height { [shorter, longer(height, width)] } else { [longer(width, height), shorter] };
        Self { source: [width, height], scaled, origin: [0, 0], size: scaled }
    }

    /// As [`Frame::scaled`], and of that the centred square of `side` pixels (torchvision's `center_crop`).
    pub fn centred((width, height): (u32, u32), side: u32) -> Self {
        let whole = Self::scaled((width, height), side);
        let origin = whole.scaled.map(|length| (f64::from(length - side) / 2.0).round_ties_even() as u32);
        Self { origin, size: [side, side], ..whole }
    }

    /// Width and height of the frame in its own pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.size[0], self.size[1])
    }

    /// What the frame shows, in image space (pixels of the original picture).
    pub fn region(&self) -> Region {
        let edge = |axis: usize, offset: u32| {
            let scale = f64::from(self.source[axis]) / f64::from(self.scaled[axis]);
            (f64::from(self.origin[axis] + offset) * scale).min(self.source[axis].into())
        };
        Region { x0: edge(0, 0), y0: edge(1, 0), x1: edge(0, self.size[0]), y1: edge(1, self.size[1]) }
    }

    /// The columns (axis 0) or rows (axis 1) of the original that the frame's pixels take their label from: those
    /// that hold the pixels' centres, as in Pillow's nearest resize.
    pub fn nearest(&self, axis: usize) -> Vec<usize> {
        let (source, scaled) = (u64::from(self.source[axis]), u64::from(self.scaled[axis]));
        let first = u64::from(self.origin[axis]);
        let positions = first..first + u64::from(self.size[axis]);
        positions.map(|position| ((2 * position + 1) * source / (2 * scaled)) as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centred_square_is_torchvisions() {
        // 480 x 360 to shorter side 160: 213 x 160, offset round(26.5) = 26 (half to even).
        let frame = Frame::centred((480, 360), 160);
        assert_eq!((frame.scaled, frame.origin), ([213, 160], [26, 0]));
        let region = frame.region();
        assert!((region.x0 - 26.0 * 480.0 / 213.0).abs() < 1e-9 && region.y0 == 0.0);
        assert!((region.width() - 160.0 * 480.0 / 213.0).abs() < 1e-9 && region.height() == 360.0);
    }

    #[test]
    fn labels_come_from_the_pixels_that_hold_the_centres() {
        assert_eq!(Frame::scaled((6, 3), 1).nearest(0), [1, 4]);
        assert_eq!(Frame::scaled((2, 2), 4).nearest(0), [0, 0, 1, 1]);
        assert_eq!(Frame::scaled((5, 5), 5).nearest(1), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn frames_lie_in_their_pictures() {
        for size in [(1, 1), (1, 997), (997, 1), (641, 480), (333, 1000), (1283, 719)] {
            for side in [1, 7, 160, 320, 640] {
                let frame = Frame::centred(size, side);
                let region = frame.region();
                assert!(region.x0 >= 0.0 && region.x0 + region.width() <= size.0.into(), "{frame:?}");
                assert!(region.y0 >= 0.0 && region.y0 + region.height() <= size.1.into(), "{frame:?}");
                assert!(frame.nearest(0).iter().all(|&x| x < size.0 as usize));
                assert!(frame.nearest(1).iter().all(|&y| y < size.1 as usize));
            }
        }
    }
}
