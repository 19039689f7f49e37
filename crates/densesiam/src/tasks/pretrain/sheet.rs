//! The contact sheet of pseudo-categories: both views of a few fixed pictures under the argmax over PixSim's channels
//! (the paper's appendix B).

use densesiam_data::decode::DecodeLimits;
use densesiam_data::loader::{SampleScratch, SampleSource, load_sample};
use densesiam_nn::densesiam::DenseSiam;
use image::RgbImage;
use tch::{Kind, Tensor};

use super::plan::Plan;
use crate::input::Input;
use crate::pictures;

/// Both views of the pictures that are drawn at every interval.
pub(super) struct ContactSheet {
    views: Vec<[RgbImage; 2]>,
    inputs: Option<[Tensor; 2]>,
    cells: i64,
}

impl ContactSheet {
    /// Takes pictures evenly from the data set, with the views they have in epoch 0; unreadable ones are left out.
    pub(super) fn new(plan: &Plan, model: &DenseSiam, input: &Input) -> Self {
        let recipe = &plan.recipe;
        let source = SampleSource {
            index: &plan.setup.index,
            augmentation: &recipe.augment,
            seed: recipe.run.seed,
            limits: DecodeLimits { max_pixels: recipe.data.max_pixels },
            min_side: recipe.data.min_side,
        };
        let size = recipe.augment.size;
        let mut scratch = SampleScratch::new(size);
        let count = recipe.train.pictures.min(plan.setup.index.len());
        let mut bytes = [const { Vec::new() }; 2];
        let mut views = Vec::new();
        for place in 0..count {
            let sample = (place * plan.setup.index.len() / count) as u64;
            if !model.has_categories() || load_sample(&source, sample, 0, &mut scratch).is_err() {
                continue;
            }
            let pixels = scratch.views();
            bytes.iter_mut().zip(pixels).for_each(|(bytes, view)| bytes.extend_from_slice(view));
            let picture =
                |view: usize| RgbImage::from_raw(size, size, pixels[view].clone()).unwrap_or_default();
            views.push([picture(0), picture(1)]);
        }
        let to_input = |bytes: &Vec<u8>| input.views(bytes, [size; 2]);
        let inputs = (!views.is_empty()).then(|| bytes.each_ref().map(to_input));
        Self { views, inputs, cells: i64::from(size.div_ceil(4)) }
    }

    /// Four columns: view 1, its pseudo-categories, view 2, its pseudo-categories. `None` where the model has none.
    pub(super) fn draw(&self, model: &DenseSiam) -> Option<RgbImage> {
        let inputs = self.inputs.as_ref()?;
        let categories =
            [model.categories(&inputs[0], self.cells)?, model.categories(&inputs[1], self.cells)?];
        let side = self.cells as usize;
        let rows = self.views.iter().enumerate().map(|(index, views)| {
            let drawn = |view: usize| {
                let map = categories[view].get(index as i64).flatten(0, -1).to_kind(Kind::Int64);
                let map: Vec<u32> =
                    Vec::<i64>::try_from(map).unwrap_or_default().iter().map(|&c| c as u32).collect();
                pictures::mask_overlay(&views[view], &map, side, side, 0.6)
            };
            vec![views[0].clone(), drawn(0), views[1].clone(), drawn(1)]
        });
        Some(pictures::contact_sheet(&rows.collect::<Vec<_>>(), 4))
    }
}
