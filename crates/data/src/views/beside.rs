//! Two random views with what some methods of pre-training need beside them: patches of the picture, or regions of it that were
//! found before the training.

use std::sync::Arc;

use densesiam_geometry::{Region, View};
use densesiam_random::{ChaCha8Rng, Key, Purpose, RngExt};
use densesiam_settings::SettingError;

use super::proposals::{BoxSet, ProposalViews};
use super::random::{RandomPair, RandomViews, crop_of, photometric_of};
use super::{ApplyError, Augmentation, DrawError, Photometric, ViewMaker, ViewParameters};
use crate::image::RgbImage;
use crate::regions::{Raster, RegionError, RegionFile, RegionKind, Regions};
use crate::resize::ResizeScratch;

/// Patches beside each view: three rows of three (Misra and van der Maaten 2020; DetCo).
pub const PATCHES: usize = 9;

/// What stands beside both views.
#[derive(Clone, Debug, Default)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// For each view nine square patches of the picture, so many pixels a side.
    Patches(u32),
    /// The regions of the picture as each view shows them.
    Regions(Arc<RegionFile>),
}

/// The views of pre-training.
#[derive(Clone, Debug)]
pub struct PretrainViews {
    /// Both views.
    pub random: RandomViews,
    /// Whether both are mirrored, or neither (ReSim).
    pub shared_flip: bool,
    /// What stands beside them.
    pub beside: Beside,
}

/// What was drawn for one picture.
#[derive(Clone, Debug)]
pub struct PretrainSample {
    /// Both views.
    pub pair: RandomPair,
    /// The views after the first two: the patches of view 1 and then those of view 2, or SoCo's third view, or none.
    pub others: Vec<ViewParameters>,
    /// SoCo's boxes: of view 1 for view 2, of view 1 for view 3, of view 2, and of view 3; or none.
    pub boxes: Vec<BoxSet>,
    /// For each view its segments, `size * size` ids, or none.
    pub labels: Vec<Raster<u8>>,
    /// For each view how salient its pixels are, 0 to 255, or none.
    pub saliency: Vec<Raster<u8>>,
}

impl From<RandomPair> for PretrainSample {
    fn from(pair: RandomPair) -> Self {
        Self { pair, others: Vec::new(), boxes: Vec::new(), labels: Vec::new(), saliency: Vec::new() }
    }
}

impl Augmentation for PretrainViews {
    type Drawn = PretrainSample;

    fn validate(&self) -> Result<(), SettingError> {
        self.random.validate()
    }

    fn sizes(&self) -> Vec<u32> {
        let others = match &self.beside {
            Beside::Patches(side) => vec![*side; 2 * PATCHES],
            Beside::Regions(file) if file.kind() == RegionKind::Boxes => vec![self.random.size / 2],
            _ => Vec::new(),
        };
        [self.random.sizes(), others].concat()
    }

    fn draw(&self, size: (u32, u32), key: Key) -> Result<PretrainSample, DrawError> {
        let mut pair = self.random.draw(size, key);
        if self.shared_flip {
            pair.views[1].view.flip = pair.views[0].view.flip;
        }
        let mut sample = PretrainSample::from(pair);
        match &self.beside {
            Beside::Nothing => {}
            Beside::Patches(_) => {
                let patches = |view: u32| {
                    let key = Key { purpose: Purpose::Patches, ..key.view(view) };
                    draw_patches(&self.random, size, &mut key.rng())
                };
                sample.others = [patches(0), patches(1)].concat();
            }
            Beside::Regions(file) => {
                let seen = pair.geometry();
                match file.read(key.sample as usize, size.into())? {
                    Regions::Segments(segments) => {
                        let labels = segments.wrapped();
                        sample.labels =
                            seen.iter().map(|view| labels.nearest_in(view, self.random.size)).collect();
                    }
                    Regions::Saliency(saliency) => {
                        let scratch = &mut ResizeScratch::default();
                        let seen =
                            seen.iter().map(|view| saliency.bilinear_in(view, self.random.size, scratch));
                        sample.saliency = seen.collect::<Result<_, _>>().map_err(RegionError::View)?;
                    }
                    Regions::Boxes(proposals) => {
                        let drawn = ProposalViews::draw(&self.random, size, &proposals, key);
                        let [one, two, three] = drawn.views;
                        sample.pair.views = [one, two];
                        sample.pair.overlap = one.view.overlap(&two.view);
                        sample.others = vec![three];
                        sample.boxes = drawn.boxes.into();
                    }
                }
            }
        }
        Ok(sample)
    }

    fn apply(
        &self,
        sample: &PretrainSample,
        view: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        if view < 2 {
            return self.random.apply(&sample.pair, view, image, maker, out);
        }
        maker.set_interpolation(self.random.interpolation);
        maker.apply(image, &sample.others[view - 2], out)
    }
}

/// The jigsaw of PIRL: a crop of at least 0.6 of the picture is cut into three rows of three cells, each patch is drawn within its
/// cell, with a side of 64 of the cell's 85 pixels, and the patches are shuffled. Each has its own colours, and no blur.
fn draw_patches(settings: &RandomViews, size: (u32, u32), rng: &mut ChaCha8Rng) -> Vec<ViewParameters> {
    const CELL: f64 = 85.0 / 255.0;
    const SIDE: f64 = 64.0 / 255.0;
    const SHIFTS: u32 = 85 - 64;
    let crop = crop_of([0.6, 1.0], settings.ratio, size, rng);
    let mut patches: Vec<_> = (0..PATCHES)
        .map(|cell| {
            let mut low = |cell: usize| cell as f64 * CELL + f64::from(rng.random_range(0..=SHIFTS)) / 255.0;
            let [x0, y0] = [low(cell % 3), low(cell / 3)];
            let [low, high] = [crop.at(x0, y0), crop.at(x0 + SIDE, y0 + SIDE)];
            let region = Region { x0: low.x, y0: low.y, x1: high.x, y1: high.y };
            let colours = Photometric { blur_sigma: None, ..photometric_of(settings, 0, rng) };
            ViewParameters { view: View { crop: region, flip: false }, photometric: colours }
        })
        .collect();
    for last in (1..patches.len()).rev() {
        patches.swap(last, rng.random_range(0..=last as u32) as usize);
    }
    patches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(beside: Beside) -> PretrainViews {
        let random = RandomViews { size: 64, ..RandomViews::default() };
        PretrainViews { random, shared_flip: true, beside }
    }

    #[test]
    fn patches_lie_in_different_cells_of_one_crop() {
        let views = views(Beside::Patches(32));
        assert_eq!(views.sizes(), [vec![64; 2], vec![32; 18]].concat());
        let mut first = Vec::new();
        for sample in 0..100 {
            let key = Key::new(3, Purpose::Geometry).sample(sample);
            let drawn = views.draw((500, 375), key).unwrap();
            assert_eq!(drawn.pair.views[0].view.flip, drawn.pair.views[1].view.flip);
            assert_eq!(drawn.others.len(), 2 * PATCHES);
            let crops: Vec<Region> = drawn.others[..PATCHES].iter().map(|patch| patch.view.crop).collect();
            for (index, one) in crops.iter().enumerate() {
                assert!(one.x0 >= 0.0 && one.y0 >= 0.0 && one.x1 <= 500.0 && one.y1 <= 375.0, "{one:?}");
                assert!(crops[..index].iter().all(|other| one.intersection(other).is_none()), "{crops:?}");
            }
            let leftmost = crops.iter().map(|crop| crop.x0).fold(f64::INFINITY, f64::min);
            first.push(crops[0].x0 == leftmost);
        }
        assert!(first.contains(&true) && first.contains(&false), "the patches are shuffled");
    }
}
