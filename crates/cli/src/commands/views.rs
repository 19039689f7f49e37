//! `densesiam views`: both views of a picture, with the corresponding points of the regular grid, for checking by eye.

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{SampleScratch, SampleSource, load_sample};
use densesiam_data::views::Augmentation;
use densesiam_geometry::{Point, View};
use densesiam_text::shown;
use image::RgbImage;

use super::{ViewsArguments, refuse_existing};
use crate::answer::answer_line;
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::recipe::load;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam_report::pictures::{self, Source};

/// Draws the views that the picture would have with these settings.
pub(super) fn run(arguments: &ViewsArguments) -> Result<(), Error> {
    let mut recipe: PretrainRecipe = load("", "the defaults", &arguments.settings)?;
    // Other methods compare no points; their views are shown without.
    let grid = recipe.densesiam().map_or(0, |settings| settings.pixsim.grid);
    let ViewsArguments { image, out, .. } = arguments;
    let index = ImageIndex::single(image)?;
    refuse_existing(out, arguments.overwrite)?;
    let source = SampleSource {
        index: &index,
        augmentation: &recipe.augment,
        seed: recipe.common.run.seed,
        limits: DecodeLimits { max_pixels: recipe.common.data.max_pixels },
        min_side: 1,
    };
    let mut scratch = SampleScratch::new(&recipe.augment.sizes());
    let pair = load_sample(&source, 0, 0, &mut scratch)
        .map_err(|error| Error::Picture { path: image.clone(), reason: error.to_string() })?;
    let views = pair.geometry();
    let points = pair.overlap.map_or(vec![], |overlap| overlap.cell_centres(grid));
    let in_view =
        |view: &View| points.iter().map(|&point| view.view_from_image(point)).collect::<Vec<Point>>();
    let (points1, points2) = (in_view(&views[0]), in_view(&views[1]));
    let picture = to_image(scratch.image().width, scratch.image().height, &scratch.image().pixels);
    let size = recipe.augment.size;
    let [view1, view2] = [0, 1].map(|view: usize| to_image(size, size, &scratch.views()[view]));
    let origin = Source { picture: &picture, views };
    let sheet = pictures::correspondence([&view1, &view2], [&points1, &points2], Some(&origin));
    let bytes = pictures::png(&sheet).map_err(|error| Error::Internal(error.to_string()))?;
    write_bytes(out, &bytes)?;
    match pair.overlap {
        Some(_) => answer_line(format_args!("{}: {} corresponding points", shown(out), points.len())),
        None => {
            let tries = pair.redraws + 1;
            answer_line(format_args!("{}: the views do not overlap, after {tries} tries", shown(out)))
        }
    }
}

fn to_image(width: u32, height: u32, pixels: &[u8]) -> RgbImage {
    RgbImage::from_raw(width, height, pixels.to_vec()).unwrap_or_default()
}
