//! Drawing and making the crops of labelled pictures.

use std::sync::Arc;

use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};
use densesiam_settings::SettingError;

use super::{CropSettings, Distortion};
use crate::decode::DecodeLimits;
use crate::image::RgbImage;
use crate::labelled::{LabelMap, LabelledSet, VOID};
use crate::opencv::{Window, fitted};
use crate::views::photometric::{chance, uniform};
use crate::views::{ApplyError, Augmentation, DrawError, ViewMaker};

/// Square crops of the pictures of a labelled set. Samples are those of [`LabelledSet::index`].
#[derive(Clone, Debug)]
pub struct LabelledCrops {
    /// How crops are drawn.
    pub settings: CropSettings,
    /// Where the labels are.
    pub set: Arc<LabelledSet>,
    /// Largest label map that is decoded.
    pub limits: DecodeLimits,
}

/// What was drawn for one picture, with the labels of its crop.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledCrop {
    /// The part of the scaled picture that the crop shows, from its top left; the rest of the crop is padding.
    pub window: Window,
    /// How its colours change.
    pub distortion: Distortion,
    /// The class of each pixel of the crop, `size * size` numbers; 255 is void or padding.
    pub labels: Vec<u8>,
}

impl LabelledCrop {
    /// Width and height of what is not padding, in pixels. The network's input is 0 beyond that, which no byte stands for.
    pub fn valid(&self) -> [u32; 2] {
        self.window.size
    }
}

impl CropSettings {
    /// Draws the crop of a picture with these labels. View and purpose of `key` are not read.
    pub fn draw(&self, labels: &LabelMap, key: Key) -> LabelledCrop {
        let rng = &mut Key { purpose: Purpose::Geometry, ..key.view(0) }.rng();
        let scaled = fitted([labels.width, labels.height], self.scale, uniform(self.ratio, rng));
        let flip = chance(self.flip_probability, rng);
        let origin = [0, 0];
        let mut window = Window { scaled, origin, size: scaled.map(|side| side.min(self.size)), flip };
        window.origin = draw_origin(&window, rng);
        for _ in 0..self.crop_tries {
            if self.accepts(&window, labels) {
                break;
            }
            window.origin = draw_origin(&window, rng);
        }
        let side = self.size as usize;
        let mut shown = vec![VOID; side * side];
        window.labels_into(labels, shown.chunks_exact_mut(side));
        let rng = &mut Key { purpose: Purpose::Photometric, ..key.view(0) }.rng();
        LabelledCrop { window, distortion: Distortion::draw(self, rng), labels: shown }
    }

    /// Whether the window shows at least two classes, and none has too large a share of the labelled pixels.
    pub(super) fn accepts(&self, window: &Window, labels: &LabelMap) -> bool {
        if self.max_class_share >= 1.0 {
            return true;
        }
        let counts = window.class_counts(labels);
        let largest = counts.iter().copied().max().unwrap_or_default();
        let all: u32 = counts.iter().sum();
        largest < all && f64::from(largest) / f64::from(all) < self.max_class_share
    }
}

/// Where a window of this size begins, anywhere within the scaled picture.
fn draw_origin(window: &Window, rng: &mut ChaCha8Rng) -> [u32; 2] {
    [0, 1].map(|axis| rng.random_range(0..=window.scaled[axis] - window.size[axis]))
}

impl Augmentation for LabelledCrops {
    type Drawn = LabelledCrop;

    fn validate(&self) -> Result<(), SettingError> {
        self.settings.validate()
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.settings.size]
    }

    fn draw(&self, (width, height): (u32, u32), key: Key) -> Result<LabelledCrop, DrawError> {
        let labels = self.set.label_map(key.sample as usize, [width, height], &self.limits)?;
        Ok(self.settings.draw(&labels, key))
    }

    fn apply(
        &self,
        drawn: &LabelledCrop,
        _: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        maker.apply_in_window(image, &drawn.window, &drawn.distortion, out)
    }
}
