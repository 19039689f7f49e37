//! The pseudo-categories of a picture, for runs that have any: those of PixSim's channels, or of a segmentation.

use densesiam_data::image::RgbImage;
use densesiam_data::reader::size_seen;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_nn::input::Input;
use densesiam_nn::pretrain::Method;
use densesiam_report::pictures::colour_of;
use serde::Serialize;
use tch::Kind;

use crate::error::Error;
use crate::recipe::embed::EmbedRecipe;
use crate::recipe::pretrain::PretrainRecipe;
use crate::run::{Contents, locate, opened};
use crate::segmentation::Segmentation;
use crate::tasks::probe::Source;

/// The most cells along a side.
const CELLS: usize = 128;

/// What gives pictures their pseudo-categories.
pub(super) enum Categories {
    Pretrained { method: Box<dyn Method>, input: Input, stride: u32 },
    Segmented(Box<Segmentation>),
}

/// A picture's pseudo-categories.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Rows and columns.
    pub cells: [usize; 2],
    /// The category of each cell, row by row.
    pub categories: Vec<u32>,
    /// The categories that occur, with a colour and a name, the most frequent one first.
    pub key: Vec<Entry>,
}

/// A category of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The category.
    pub category: u32,
    /// Red, green and blue.
    pub colour: [u8; 3],
    /// What it is called.
    pub name: String,
    /// Its share of the picture.
    pub share: f64,
}

impl Categories {
    /// Those of an encoder; `None` if it has none.
    pub(super) fn of(source: &Source, recipe: &EmbedRecipe) -> Result<Option<Self>, Error> {
        let Source::Checkpoint(path) = source else { return Ok(None) };
        let located = locate(path)?;
        let contents = Contents::read(&located.1)?;
        let settings =
            [format!("run.device={}", recipe.run.device), format!("run.threads={}", recipe.run.threads)];
        match contents.task.as_str() {
            "segment" => Ok(Some(Self::Segmented(Box::new(Segmentation::of(located, &settings)?)))),
            "pretrain" => {
                let (run, checkpoint) = (&located.0, &located.1);
                let build = |recipe: &PretrainRecipe, store: &_| recipe.method().build(store);
                let (trained, method, input) = opened((run, checkpoint), &settings, build)?;
                let stride = trained.method().encoder().output_stride;
                // A run without dense losses has none, which the model knows.
                let black = input.normalised(&[0; 3 * 32 * 32], [32; 2]);
                let has_any = method.categories(&black, 1).is_some();
                Ok(has_any.then_some(Self::Pretrained { method, input, stride }))
            }
            _ => Ok(None),
        }
    }

    /// Those of a picture, which a pre-trained model sees with a shorter side of `size` pixels; `None` if the model has none.
    pub(super) fn of_picture(&self, picture: &RgbImage, size: u32) -> Result<Option<Layer>, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        Ok(Some(match self {
            Self::Segmented(segmentation) => {
                let labels = segmentation.predict(picture)?;
                let (cells, labels) =
                    thinned(&labels, [picture.width, picture.height].map(|side| side as usize));
                let palette = segmentation.palette();
                layer(cells, labels, |label| (palette.colour_of(label), segmentation.name_of(label)))
            }
            Self::Pretrained { method, input, stride } => {
                let size = size_seen([picture.width, picture.height], size);
                let seen = resize_to(picture, size[0], size[1], &mut ResizeScratch::default())
                    .map_err(|error| internal(&error))?;
                // A method gives a square of cells, whatever the picture.
                let cells = i64::from(size[0].max(size[1]).div_ceil(*stride));
                let pixels = input.normalised(&seen.pixels, size);
                let Some(categories) = method.categories(&pixels, cells) else { return Ok(None) };
                let categories = categories.to_kind(Kind::Int64).contiguous().view([-1]);
                let categories = Vec::<i64>::try_from(categories).map_err(|error| internal(&error))?;
                let categories = categories.into_iter().map(|category| category as u32).collect();
                layer([cells as usize; 2], categories, |category| {
                    (colour_of(category), format!("category {category}"))
                })
            }
        }))
    }
}

/// The labels of a picture at so many cells, each that of the pixel in its middle.
fn thinned(labels: &[usize], [width, height]: [usize; 2]) -> ([usize; 2], Vec<u32>) {
    let step = width.max(height).div_ceil(CELLS);
    let middles =
        |side: usize| (0..side.div_ceil(step)).map(move |cell| (cell * step + step / 2).min(side - 1));
    let rows = middles(height).flat_map(|y| middles(width).map(move |x| labels[y * width + x] as u32));
    ([height.div_ceil(step), width.div_ceil(step)], rows.collect())
}

fn layer(cells: [usize; 2], categories: Vec<u32>, of: impl Fn(usize) -> ([u8; 3], String)) -> Layer {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    let mut sorted = categories.clone();
    sorted.sort_unstable();
    for run in sorted.chunk_by(|one, other| one == other) {
        counts.push((run[0], run.len()));
    }
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let entry = |(category, count): (u32, usize)| {
        let (colour, name) = of(category as usize);
        Entry { category, colour, name, share: count as f64 / categories.len() as f64 }
    };
    let key = counts.into_iter().map(entry).collect();
    Layer { cells, categories, key }
}
