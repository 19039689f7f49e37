//! Which proposed boxes are kept: those large enough, not too long, and neither tiny nor all of the picture.

use densesiam_geometry::Region;
use densesiam_settings::{SettingError, require, within};
use serde::{Deserialize, Serialize};

/// Which boxes are kept. Where none passes, conditions are given up one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxFilter {
    /// Least width and height in pixels of the picture.
    pub min_side: f64,
    /// Most that the longer side may be of the shorter.
    pub max_aspect: f64,
    /// Least and largest square root of a box's area, as a share of the picture's.
    pub share: [f64; 2],
}

impl Default for BoxFilter {
    /// SoCo's.
    fn default() -> Self {
        Self { min_side: 32.0, max_aspect: 3.0, share: [0.3, 0.8] }
    }
}

impl BoxFilter {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("min_side", self.min_side, 1.0..=4096.0, "pixels")?;
        within("max_aspect", self.max_aspect, 1.0..=1000.0, "times the shorter side")?;
        let [low, high] = self.share;
        require(
            0.0 <= low && low < high && high <= 1.0,
            "share",
            &format!("[{low}, {high}]"),
            "[low, high] with 0 <= low < high <= 1 (share of the picture)",
        )
    }

    /// The boxes that pass, in their order, of a picture of this width and height. Where none does, the share is given
    /// up; where still none does, the aspect too; and then the whole picture is the one box.
    pub fn kept(&self, boxes: &[Region], [width, height]: [u32; 2]) -> Vec<Region> {
        let large = |region: &Region| region.width() >= self.min_side && region.height() >= self.min_side;
        let compact = |region: &Region| {
            let aspect = region.width() / region.height();
            large(region) && 1.0 / self.max_aspect <= aspect && aspect <= self.max_aspect
        };
        let side = (f64::from(width) * f64::from(height)).sqrt();
        let medium = |region: &Region| {
            let share = (region.width() * region.height()).sqrt() / side;
            compact(region) && self.share[0] <= share && share <= self.share[1]
        };
        let passing = |passes: &dyn Fn(&Region) -> bool| -> Vec<Region> {
            boxes.iter().copied().filter(|region| passes(region)).collect()
        };
        let attempts: [&dyn Fn(&Region) -> bool; 3] = [&medium, &compact, &large];
        let whole = Region { x0: 0.0, y0: 0.0, x1: width.into(), y1: height.into() };
        let mut kept = attempts.iter().map(|passes| passing(passes));
        kept.find(|boxes| !boxes.is_empty()).unwrap_or_else(|| vec![whole])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(width: f64, height: f64) -> Region {
        Region { x0: 5.0, y0: 7.0, x1: 5.0 + width, y1: 7.0 + height }
    }

    #[test]
    fn conditions_are_given_up_one_after_the_other() {
        let filter = BoxFilter::default();
        let kept = |boxes: &[Region]| filter.kept(boxes, [200, 200]);
        let (medium, small, long, tiny) =
            (region(100.0, 80.0), region(40.0, 40.0), region(190.0, 40.0), region(199.0, 31.0));
        assert_eq!(kept(&[tiny, long, small, medium]), [medium]);
        assert_eq!(kept(&[tiny, long, small]), [small]);
        assert_eq!(kept(&[tiny, long]), [long]);
        let whole = Region { x0: 0.0, y0: 0.0, x1: 200.0, y1: 200.0 };
        assert_eq!((kept(&[tiny]), kept(&[])), (vec![whole], vec![whole]));
    }

    #[test]
    fn the_bounds_themselves_pass() {
        let filter = BoxFilter::default();
        assert_eq!(filter.kept(&[region(96.0, 32.0)], [100, 100]), [region(96.0, 32.0)]);
        let [low, high] = [region(60.0, 60.0), region(160.0, 160.0)];
        assert_eq!(filter.kept(&[low, high], [200, 200]), [low, high]);
    }
}
