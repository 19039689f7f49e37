//! Boxes of pictures: drawn into each, and listed for other programs.

use std::path::{Path, PathBuf};

use densesiam::detection::ObjectDetection;
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam_data::image::RgbImage;
use densesiam_data::index::Place;
use densesiam_geometry::mask::RunLengths;
use densesiam_nn::detect::Detected;
use densesiam_report::pictures::{NamedBox, Palette, draw_boxes, png};
use densesiam_text::shown;
use serde_json::{Value, json};

use super::one_by_one::{Read, each};
use super::{bar, pictures_of, refuse_replacing, with_suffix};
use crate::answer::answer_line;
use crate::commands::{PredictArguments, refuse_existing};

/// The suffix of a picture with its boxes.
const DRAWING: &str = ".boxes.png";
/// The score from which a box is drawn; all are listed.
const DRAWN: f64 = 0.5;

/// Detects objects in all pictures, draws them, and writes `results.json`.
pub(super) fn run(arguments: &PredictArguments, trained: &ObjectDetection) -> Result<(), Error> {
    let (root, out) = (&arguments.pictures, &arguments.out);
    let (index, stems) = pictures_of(root)?;
    let list = out.join("results.json");
    refuse_existing(&list, arguments.overwrite)?;
    if !arguments.no_overlays {
        refuse_replacing(&index, (&stems, DRAWING), arguments)?;
    }
    std::fs::create_dir_all(out).map_err(|source| Error::file(out, source))?;
    let mut results = Vec::new();
    let predict = |Read { sample, place, stem, picture }: Read<'_>| {
        let (found, size) = (trained.detect(&picture)?, [picture.width, picture.height]);
        let masks: Vec<_> = found.iter().map(|found| found.pixels(size)).collect();
        let both = found.iter().zip(&masks);
        results.extend(both.map(|both| result(both, sample, place, &trained.classes)));
        if arguments.no_overlays {
            return Ok(());
        }
        write_drawing(&stem, picture, (&found, &masks), &trained.classes)
    };
    let max_pixels = trained.recipe.common.data.max_pixels;
    let done = each(arguments, (&index, &stems), (bar(&index), max_pixels), predict)?;
    let text = serde_json::to_vec(&results).map_err(|error| Error::Internal(error.to_string()))?;
    write_bytes(&list, &text)?;
    answer_line(format_args!("{}: {} boxes in {done}", shown(&list), results.len()))
}

/// An entry of COCO's list of results, with names beside its numbers: of pictures in the order of their paths from 0, and of
/// categories from 1.
fn result(
    (found, mask): (&Detected, &Option<RunLengths>),
    sample: usize,
    place: &Place<'_>,
    classes: &[String],
) -> Value {
    let region = found.region;
    let mut value = json!({
        "image_id": sample,
        "file_name": place.to_string(),
        "category_id": found.class + 1,
        "category": classes.get(found.class),
        "bbox": [region.x0, region.y0, region.width(), region.height()],
        "score": found.score,
    });
    if let Some(mask) = mask {
        value["segmentation"] = json!({ "size": mask.size(), "counts": mask.to_coco() });
    }
    value
}

fn write_drawing(
    stem: &Path,
    picture: RgbImage,
    (found, masks): (&[Detected], &[Option<RunLengths>]),
    classes: &[String],
) -> Result<(), Error> {
    let path: PathBuf = with_suffix(stem, DRAWING);
    let RgbImage { width, height, pixels } = picture;
    let Some(mut drawing) = image::RgbImage::from_raw(width, height, pixels) else { return Ok(()) };
    let name = |class: usize| classes.get(class).map_or("", String::as_str);
    let palette = Palette::default();
    let drawn = found.iter().zip(masks).filter(|(found, _)| found.score >= DRAWN);
    // The first on top; one mask at a time, because each is as large as the picture.
    for (found, mask) in drawn.rev() {
        let words = format!("{} {:.2}", name(found.class), found.score);
        let bits = mask.as_ref().map(RunLengths::bits);
        let (region, class) = (found.region, found.class);
        draw_boxes(
            &mut drawing,
            &[NamedBox { region, class, words: &words, mask: bits.as_deref() }],
            &palette,
        );
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
    }
    write_bytes(&path, &png(&drawing).map_err(|error| Error::Internal(error.to_string()))?)
}
