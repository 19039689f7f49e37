//! `densesiam predict`: label maps and overlays of pictures of any size.

mod label_map;
mod legend;
mod names;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::frame::Frame;
use densesiam_data::image::RgbImage;
use densesiam_data::index::{ImageIndex, Place, names_shards};
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::log::Progress;
use densesiam_text::shown;

use super::{PredictArguments, refuse_existing};
use crate::answer::answer_line;
use crate::error::Error;
use crate::file::write_bytes;
use crate::pictures;
use crate::tasks::segment::Trained;
use label_map::{ValueDepth, categories, write_labels};
use legend::Legend;
use names::{is_shortened, stems};

/// Predicts all pictures, and says how many there were, and how fast.
pub(super) fn run(arguments: &PredictArguments) -> Result<(), Error> {
    let trained = Trained::open(&arguments.checkpoint, &arguments.settings)?;
    let root = &arguments.pictures;
    let many = root.is_dir() || names_shards(root);
    let index = if many { ImageIndex::scan(root)? } else { ImageIndex::single(root)? };
    let stems = stems(&(0..index.len()).map(|sample| index.relative_path(sample)).collect::<Vec<_>>());
    refuse_replacing(&index, &stems, arguments)?;
    let legend = Legend::new(&trained);
    let progress = Progress::new("predict", 0, index.len() as u64, 1);
    legend.write(&arguments.out)?;
    progress.println(legend.summary());
    say_about(&index, &stems, &progress);
    let (start, mut unreadable) = (Instant::now(), 0);
    for (sample, stem) in stems.iter().enumerate() {
        match read_picture(&index.place(sample), &trained) {
            Ok(picture) => predict(&picture, &arguments.out.join(stem), &trained, arguments.no_overlays)?,
            Err(error) => {
                unreadable += 1;
                progress.println(format!("skipped: {error}"));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    progress.finish();
    let predicted = index.len() - unreadable;
    if predicted == 0 {
        return Err(Error::Picture { path: root.clone(), reason: "no picture could be read".into() });
    }
    let rate = predicted as f64 / start.elapsed().as_secs_f64();
    let written = if arguments.no_overlays { "label maps" } else { "label maps and overlays" };
    let out = shown(&arguments.out);
    answer_line(format_args!(
        "{out}: {predicted} {written}, {unreadable} pictures skipped, {rate:.1} pictures a second"
    ))
}

/// Says what is left out, and which names are too long for what is written.
fn say_about(index: &ImageIndex, stems: &[PathBuf], progress: &Progress) {
    if !index.skipped().is_empty() {
        progress.println(format!("skipped: {}", index.skipped()));
    }
    for (sample, stem) in stems.iter().enumerate() {
        if is_shortened(stem, &index.relative_path(sample)) {
            let (place, labels) = (index.place(sample), labels_path(stem));
            progress.println(format!("the name {place} is too long: its label map is {}", shown(&labels)));
        }
    }
}

/// Errs where pictures would be replaced, or, unless asked for, label maps.
fn refuse_replacing(
    index: &ImageIndex,
    stems: &[PathBuf],
    arguments: &PredictArguments,
) -> Result<(), Error> {
    let out = &arguments.out;
    let whole = |path: &Path| path.canonicalize().ok();
    if whole(out).is_some_and(|out| Some(out) == whole(index.root())) {
        let message =
            "--out is the folder of the pictures, among which the label maps would lie; name another";
        return Err(Error::Usage(message.into()));
    }
    let mut taken = HashSet::new();
    for stem in stems {
        let target = labels_path(&out.join(stem));
        refuse_existing(&target, arguments.overwrite)?;
        if !taken.insert(stem) {
            // Files have paths of their own; members of a shard may share a name.
            let target = shown(&target);
            return Err(Error::Usage(format!(
                "two pictures have the same name and would both become {target}"
            )));
        }
    }
    Ok(())
}

fn read_picture(place: &Place<'_>, trained: &Trained) -> Result<RgbImage, Error> {
    let mut bytes = Vec::new();
    place.read_into(&mut bytes).map_err(|source| Error::file(place.to_string(), source))?;
    let limits = DecodeLimits { max_pixels: trained.recipe.data.max_pixels };
    decode(&bytes, &limits)
        .map_err(|error| Error::Picture { path: place.to_string().into(), reason: error.to_string() })
}

/// Writes `STEM.png`, the label map, and `STEM.overlay.png`.
fn predict(picture: &RgbImage, stem: &Path, trained: &Trained, no_overlay: bool) -> Result<(), Error> {
    let size = [picture.width, picture.height];
    let [scaled_width, scaled_height] = size_seen(size, trained.recipe.evaluate.size);
    let scaled = resize_to(picture, scaled_width, scaled_height, &mut ResizeScratch::default())
        .map_err(|error| Error::Internal(error.to_string()))?;
    let logits = tch::no_grad(|| {
        trained.model.logits(&trained.input.views(&scaled.pixels, [scaled_width, scaled_height]))
    });
    let mut labels = categories(&logits, size, label_map::STRIP_VALUES)?;
    if let Some(classes) = &trained.classes {
        labels.iter_mut().for_each(|label| *label = classes.label_of(usize::from(*label)) as u16);
    }
    if let Some(folder) = stem.parent() {
        fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
    }
    write_labels(&labels_path(stem), &labels, size, ValueDepth::of(trained))?;
    if no_overlay {
        return Ok(());
    }
    let view = image::RgbImage::from_raw(size[0], size[1], picture.pixels.clone()).unwrap_or_default();
    let map: Vec<u32> = labels.iter().map(|&label| u32::from(label)).collect();
    let overlay = pictures::mask_overlay(&view, &map, size[0] as usize, size[1] as usize, 0.6);
    let bytes = pictures::png(&overlay).map_err(|error| Error::Internal(error.to_string()))?;
    write_bytes(&with_suffix(stem, ".overlay.png"), &bytes)
}

/// The size at which the model sees a picture: its shorter side as in evaluation, but the longer side at most
/// [`LONGEST`] times that, so that a strip of few pixels' height is not blown up without bound.
fn size_seen([width, height]: [u32; 2], shorter: u32) -> [u32; 2] {
    let (scaled_width, scaled_height) = Frame::scaled((width, height), shorter).size();
    [scaled_width, scaled_height].map(|side| side.min(LONGEST * shorter))
}

const LONGEST: u32 = 16;

fn labels_path(stem: &Path) -> PathBuf {
    with_suffix(stem, ".png")
}

fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_seen_at_the_size_of_evaluation_unless_it_is_a_thread() {
        assert_eq!(size_seen([640, 480], 320), [426, 320]);
        assert_eq!(size_seen([3, 30_000], 320), [320, 5120]);
    }
}
