//! The contact sheet: a few fixed pictures, their dense features as colours, and both of their views under the argmax
//! over PixSim's channels (the paper's appendix B).

use densesiam_data::decode::DecodeLimits;
use densesiam_data::loader::{SampleScratch, SampleSource, load_sample};
use densesiam_data::views::Augmentation;
use densesiam_data::views::beside::{Beside, PretrainSample, PretrainViews};
use densesiam_nn::pretrain::Method;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use tch::{Kind, Tensor};

use super::components::{as_colours, principal_components};
use super::plan::Plan;
use densesiam_nn::input::Input;
use densesiam_report::pictures::{self, INK, Palette, VIEW_COLOURS, fitted, fitted_size};

/// The most categories that the key names.
const CATEGORIES_NAMED: usize = 12;

/// The pictures that are drawn at every interval.
pub(super) struct ContactSheet {
    rows: Vec<Row>,
    /// All first and all second views, `[B, 3, size, size]`; `None` if there is no picture.
    views: Option<[Tensor; 2]>,
    /// Side of the maps of categories.
    cells: i64,
    /// The components that the previous sheet showed as colours, `[P, 3]`.
    before: Option<Tensor>,
}

struct Row {
    /// The picture with the frames of both views.
    picture: RgbImage,
    /// The whole picture, `[1, 3, H, W]`.
    input: Tensor,
    views: [RgbImage; 2],
}

impl ContactSheet {
    /// Takes pictures evenly from the data set, with the views they have in epoch 0; unreadable ones are left out.
    pub(super) fn new(plan: &Plan, input: &Input) -> Self {
        let recipe = &plan.recipe;
        // Of what stands beside the views nothing is drawn.
        let augmentation = PretrainViews { beside: Beside::Nothing, ..plan.augmentation() };
        let source = SampleSource {
            index: &plan.run.index,
            augmentation: &augmentation,
            seed: recipe.common.run.seed,
            limits: DecodeLimits { max_pixels: recipe.common.data.max_pixels },
            min_side: recipe.common.data.min_side,
        };
        let size = recipe.augment.size;
        let mut scratch = SampleScratch::new(&augmentation.sizes());
        let count = recipe.common.train.pictures.min(plan.run.index.len());
        let mut bytes = [const { Vec::new() }; 2];
        let mut rows = Vec::new();
        for place in 0..count {
            let sample = (place * plan.run.index.len() / count) as u64;
            let Ok(PretrainSample { pair, .. }) = load_sample(&source, sample, 0, &mut scratch) else {
                continue;
            };
            let pixels = scratch.views();
            bytes.iter_mut().zip(pixels).for_each(|(bytes, view)| bytes.extend_from_slice(view));
            let view = |view: usize| RgbImage::from_raw(size, size, pixels[view].clone()).unwrap_or_default();
            let decoded = scratch.image();
            let [width, height] = [decoded.width, decoded.height];
            let whole = RgbImage::from_raw(width, height, decoded.pixels.clone()).unwrap_or_default();
            let mut picture = fitted(&whole, size);
            pictures::frame_views(&mut picture, [width, height], &pair.geometry());
            rows.push(Row {
                picture,
                input: whole_input(&whole, size, plan.run.architecture.stride(), input),
                views: [view(0), view(1)],
            });
        }
        let to_input = |bytes: &Vec<u8>| input.normalised(bytes, [size; 2]);
        let views = (!rows.is_empty()).then(|| bytes.each_ref().map(to_input));
        Self { rows, views, cells: i64::from(plan.run.architecture.sides(size)[0]), before: None }
    }

    /// The picture, its features, view 1 and view 2, and the pseudo-categories of each view if the model has any.
    /// `None` if there is no picture.
    pub(super) fn draw(&mut self, model: &dyn Method) -> Option<RgbImage> {
        let views = self.views.as_ref()?;
        let categories = views.each_ref().map(|views| self.categories(model, views));
        let features = self.features(model);
        let mut rows = Vec::new();
        for (index, (row, features)) in self.rows.iter().zip(features).enumerate() {
            let mut drawn = vec![row.picture.clone(), features];
            for (view, categories) in row.views.iter().zip(&categories) {
                drawn.push(view.clone());
                if let Some(maps) = categories {
                    let size = [self.cells as usize; 2];
                    drawn.push(pictures::mask_overlay(view, &maps[index], size, &Palette::default(), 0.6));
                }
            }
            rows.push(drawn);
        }
        let [one, two] = VIEW_COLOURS;
        let titles: &[(&str, Rgb<u8>)] = match categories {
            [Some(_), Some(_)] => &[
                ("picture", INK),
                ("features", INK),
                ("view 1", one),
                ("categories", one),
                ("view 2", two),
                ("categories", two),
            ],
            _ => &[("picture", INK), ("features", INK), ("view 1", one), ("view 2", two)],
        };
        let labels = categories.iter().flatten().flatten().flatten();
        Some(pictures::titled_sheet(titles, rows, &key(labels)))
    }

    /// The pseudo-category of each cell of each view; `None` if the model has none.
    fn categories(&self, model: &dyn Method, views: &Tensor) -> Option<Vec<Vec<u32>>> {
        let maps = model.categories(views, self.cells)?.flatten(1, -1).to_kind(Kind::Int64);
        let maps = Vec::<Vec<i64>>::try_from(maps).ok()?;
        let number = |&category: &i64| category as u32;
        Some(maps.iter().map(|map| map.iter().map(number).collect()).collect())
    }

    /// The features of each picture as colours, at the picture's size: their first three principal components over all
    /// pictures are red, green and blue. Their order and signs follow the previous sheet; on the first sheet they
    /// follow the pictures' own colours.
    fn features(&mut self, model: &dyn Method) -> Vec<RgbImage> {
        let maps: Vec<Tensor> = self.rows.iter().map(|row| model.features(&row.input)).collect();
        let by_position = |map: &Tensor| map.flatten(2, -1).squeeze_dim(0).tr();
        let features = Tensor::cat(&maps.iter().map(by_position).collect::<Vec<_>>(), 0);
        let before = self.before.take().unwrap_or_else(|| {
            let colours = |(row, map): (&Row, &Tensor)| {
                let colours = row.input.to_kind(Kind::Float).adaptive_avg_pool2d(&map.size()[2..]);
                by_position(&colours)
            };
            Tensor::cat(&self.rows.iter().zip(&maps).map(colours).collect::<Vec<_>>(), 0)
        });
        let components = principal_components(&features, &before);
        let bytes = as_colours(&components);
        self.before = Some(components);
        let mut bytes = Vec::<u8>::try_from(bytes.contiguous().view([-1])).unwrap_or_default();
        let mut drawn = Vec::new();
        for (row, map) in self.rows.iter().zip(&maps) {
            let [height, width] = [2, 3].map(|dimension: usize| map.size()[dimension] as u32);
            let rest = bytes.split_off((3 * width * height) as usize);
            let small = RgbImage::from_raw(width, height, std::mem::replace(&mut bytes, rest));
            let (width, height) = row.picture.dimensions();
            drawn.push(resize(&small.unwrap_or_default(), width, height, FilterType::Triangle));
        }
        drawn
    }
}

/// The whole picture for the encoder: as high as two views, so that objects are about as large as in the views, and
/// with sides that are multiples of the stride of the encoder's last map.
fn whole_input(picture: &RgbImage, size: u32, stride: u32, input: &Input) -> Tensor {
    let [width, height] = fitted_size(picture, 2 * size).map(|side| side.next_multiple_of(stride));
    let scaled = resize(picture, width, height, FilterType::CatmullRom);
    input.normalised(scaled.as_raw(), [width, height])
}

/// The categories that cover most of the sheet, with their shares.
fn key<'c>(labels: impl Iterator<Item = &'c u32>) -> Vec<([u8; 3], String)> {
    let mut cells: Vec<(usize, usize)> = Vec::new();
    for &label in labels {
        let category = label as usize;
        if cells.len() <= category {
            cells.extend((cells.len()..=category).map(|category| (category, 0)));
        }
        cells[category].1 += 1;
    }
    let all = cells.iter().map(|(_, count)| count).sum::<usize>() as f64;
    cells.retain(|&(_, count)| count > 0);
    cells.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let named = cells.iter().take(CATEGORIES_NAMED).map(|&(category, count)| {
        let percent = 100.0 * count as f64 / all;
        let share = if percent < 1.0 { "below 1 %".to_owned() } else { format!("{percent:.0} %") };
        (pictures::colour_of(category), format!("category {category}: {share}"))
    });
    named.collect()
}
