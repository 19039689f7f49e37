//! Label maps of a segmentation that was trained with labels: the values are its classes.

use densesiam::error::Error;
use densesiam::labelled_segmentation::LabelledSegmentation;
use densesiam_text::shown;

use super::label_map::ValueDepth;
use super::legend::Legend;
use super::one_by_one::{Read, each};
use super::page::{Page, Values};
use super::{LABELS, bar, pictures_of, refuse_replacing, say_about};
use crate::answer::answer_line;
use crate::commands::PredictArguments;

/// Writes the label map and the overlay of each picture, and `legend.json`.
pub(super) fn run(arguments: &PredictArguments, trained: &LabelledSegmentation) -> Result<(), Error> {
    let (index, stems) = pictures_of(&arguments.pictures)?;
    refuse_replacing(&index, (&stems, LABELS), arguments)?;
    Legend::of_classes(trained).write(&arguments.out)?;
    let values = Values {
        of_category: (0..trained.classes.len() as u16).collect(),
        depth: ValueDepth::of(trained.classes.len()),
        palette: trained.palette.clone(),
    };
    let progress = bar(&index);
    say_about(&index, &stems, &progress);
    let max_pixels = trained.recipe.common.data.max_pixels;
    let predict = |Read { stem, picture, .. }: Read<'_>| {
        let (size, categories) = ([picture.width, picture.height], trained.predict(&picture)?);
        let picture = (!arguments.no_overlays).then_some(picture);
        Page { stem, size, categories, picture }.write(&values)
    };
    let done = each(arguments, (&index, &stems), (progress, max_pixels), predict)?;
    answer_line(format_args!("{}: label maps of {done}", shown(&arguments.out)))
}
