//! The views of a detector's training.

use std::sync::Arc;

use densesiam_random::{Key, RngExt};
use densesiam_settings::SettingError;

use super::{DetectionAugment, DetectionSet, Object, Placement, resized};
use crate::image::RgbImage;
use crate::views::{ApplyError, Augmentation, DrawError, ViewMaker, chance};

/// One view of each picture of a set: the whole picture, resized and perhaps mirrored, with its objects. The loader reads the
/// pictures of the set's index.
#[derive(Clone, Debug)]
pub struct DetectionViews {
    /// What is drawn.
    pub augment: DetectionAugment,
    /// The set.
    pub set: Arc<DetectionSet>,
    /// Whether objects have their outlines. Those without one are left out then.
    pub masks: bool,
}

/// What was drawn for one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionView {
    /// Width and height of the view in pixels.
    pub size: [u32; 2],
    /// Width and height of the picture in pixels.
    pub picture_size: [u32; 2],
    /// Whether the view is mirrored left to right.
    pub flip: bool,
    /// What is to be learnt from, in pixels of the view; boxes lie in it and have an area. There may be none.
    pub objects: Vec<Object>,
}

impl Augmentation for DetectionViews {
    type Drawn = DetectionView;

    fn validate(&self) -> Result<(), SettingError> {
        self.augment.validate()
    }

    fn sizes(&self) -> Vec<u32> {
        Vec::new()
    }

    fn drawn_size(&self, view: &DetectionView) -> Option<[u32; 2]> {
        Some(view.size)
    }

    fn draw(&self, size: (u32, u32), key: Key) -> Result<DetectionView, DrawError> {
        let DetectionAugment { short_sides, longest_side, flip_probability } = &self.augment;
        let mut rng = key.rng();
        let short = short_sides[rng.random_range(0..short_sides.len() as u64) as usize];
        let flip = chance(*flip_probability, &mut rng);
        let annotation = self.set.annotation(key.sample as usize);
        // If the picture has another size than its annotation, it is refused when the view is made.
        let picture_size = annotation.size.unwrap_or(size.into());
        let size = resized(picture_size, short, *longest_side);
        let place = Placement { picture_size, size, flip };
        let objects =
            annotation.objects.iter().filter_map(|object| place.object(object, self.masks)).collect();
        Ok(DetectionView { size, picture_size, flip, objects })
    }

    fn apply(
        &self,
        drawn: &DetectionView,
        _: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        let (expected, found) = (drawn.picture_size, [image.width, image.height]);
        if expected != found {
            return Err(ApplyError::PictureSize { expected, found });
        }
        maker.whole(image, drawn.size, drawn.flip, out)
    }
}
