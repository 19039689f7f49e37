//! Boxes of pictures: drawn into each, and listed for other programs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use densesiam::detection::ObjectDetection;
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::image::RgbImage;
use densesiam_data::index::Place;
use densesiam_engine::log::{Progress, Voice};
use densesiam_nn::detect::Detected;
use densesiam_report::pictures::{NamedBox, Palette, draw_boxes, png};
use densesiam_text::shown;
use serde_json::{Value, json};

use super::{pictures_of, refused, with_suffix};
use crate::answer::answer_line;
use crate::commands::{PredictArguments, interrupt, refuse_existing};

/// The score from which a box is drawn; all are listed.
const DRAWN: f64 = 0.5;

/// Detects objects in all pictures, draws them, and writes `results.json`.
pub(super) fn run(arguments: &PredictArguments, trained: &ObjectDetection) -> Result<(), Error> {
    let (root, out) = (&arguments.pictures, &arguments.out);
    let (index, stems) = pictures_of(root)?;
    let list = out.join("results.json");
    refuse_existing(&list, arguments.overwrite)?;
    std::fs::create_dir_all(out).map_err(|source| Error::file(out, source))?;
    let progress = Progress::new(&Voice::Terminal, "predict", 0, index.len() as u64, 1);
    let limits = DecodeLimits { max_pixels: trained.recipe.common.data.max_pixels };
    let (interrupt, start) = (interrupt()?, Instant::now());
    let (mut results, mut unreadable) = (Vec::new(), 0);
    for (sample, stem) in stems.iter().enumerate() {
        if let Some(signal) = interrupt.requested() {
            return Err(Error::Stopped { signal, out: out.clone() });
        }
        let place = index.place(sample);
        match read(&place, &limits) {
            Ok(picture) => {
                let found = trained.detect(&picture)?;
                results.extend(found.iter().map(|found| result(found, sample, &place, &trained.classes)));
                if !arguments.no_overlays {
                    write_drawing(&out.join(stem), picture, &found, &trained.classes)?;
                }
            }
            Err(error) => {
                unreadable += 1;
                progress.println(format!("skipped: {error}"));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    progress.finish();
    let text = serde_json::to_vec(&results).map_err(|error| Error::Internal(error.to_string()))?;
    write_bytes(&list, &text)?;
    let predicted = index.len() - unreadable;
    if predicted == 0 {
        return Err(Error::Picture { path: root.clone(), reason: "no picture could be read".into() });
    }
    let rate = predicted as f64 / start.elapsed().as_secs_f64();
    answer_line(format_args!(
        "{}: {} boxes in {predicted} pictures, {unreadable} pictures skipped, {rate:.1} pictures a second",
        shown(&list),
        results.len()
    ))
}

fn read(place: &Place<'_>, limits: &DecodeLimits) -> Result<RgbImage, Error> {
    let mut bytes = Vec::new();
    place.read_into(&mut bytes).map_err(|source| refused(place, source.into()))?;
    decode(&bytes, limits).map_err(|error| refused(place, error.into()))
}

/// An entry of COCO's list of results, with names beside its numbers: of pictures in the order of their paths from 0, and of
/// categories from 1.
fn result(found: &Detected, sample: usize, place: &Place<'_>, classes: &[String]) -> Value {
    let region = found.region;
    json!({
        "image_id": sample,
        "file_name": place.to_string(),
        "category_id": found.class + 1,
        "category": classes.get(found.class),
        "bbox": [region.x0, region.y0, region.width(), region.height()],
        "score": found.score,
    })
}

fn write_drawing(
    stem: &Path,
    picture: RgbImage,
    found: &[Detected],
    classes: &[String],
) -> Result<(), Error> {
    let path: PathBuf = with_suffix(stem, ".boxes.png");
    let RgbImage { width, height, pixels } = picture;
    let Some(mut drawing) = image::RgbImage::from_raw(width, height, pixels) else { return Ok(()) };
    let drawn: Vec<&Detected> = found.iter().filter(|found| found.score >= DRAWN).collect();
    let name = |class: usize| classes.get(class).map_or("", String::as_str);
    let words: Vec<String> =
        drawn.iter().map(|found| format!("{} {:.2}", name(found.class), found.score)).collect();
    let named = drawn.iter().zip(&words);
    let named =
        named.map(|(found, words)| NamedBox { region: found.region, class: found.class, words, mask: None });
    draw_boxes(&mut drawing, &named.collect::<Vec<_>>(), &Palette::default());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
    }
    write_bytes(&path, &png(&drawing).map_err(|error| Error::Internal(error.to_string()))?)
}
