//! `densesiam predict`: label maps and overlays of pictures of any size.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::frame::Frame;
use densesiam_data::index::ImageIndex;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::log::Progress;
use image::RgbImage;
use tch::{Kind, Tensor};

use crate::error::Error;
use crate::pictures;
use crate::tasks::segment::Trained;

/// Predicts all pictures, and says how many there were.
pub(super) fn run(checkpoint: &Path, root: &Path, out: &Path, settings: &[String]) -> Result<(), Error> {
    let trained = Trained::open(checkpoint, settings)?;
    let index = if root.is_dir() { ImageIndex::scan(root)? } else { ImageIndex::single(root)? };
    let same =
        |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if same(out, index.root()) {
        return Err(Error::Usage(
            "--out is the folder of the pictures, which would be replaced; name another".into(),
        ));
    }
    let progress = Progress::new("predict", 0, index.len() as u64, 1);
    let mut unreadable = 0;
    for sample in 0..index.len() {
        let target = out.join(index.relative_path(sample));
        match picture(&index.path(sample), &trained) {
            Ok(picture) => predict(&picture, &target, &trained)?,
            Err(error) => {
                unreadable += 1;
                progress.println(format!("skipped: {error}"));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    progress.finish();
    let predicted = index.len() - unreadable;
    println!("{}: {predicted} label maps and overlays, {unreadable} pictures skipped", out.display());
    let read_any = predicted > 0;
    let nothing = || Error::Picture { path: root.to_owned(), reason: "no picture could be read".into() };
    read_any.then_some(()).ok_or_else(nothing)
}

fn picture(path: &Path, trained: &Trained) -> Result<densesiam_data::image::RgbImage, Error> {
    let bytes = fs::read(path).map_err(|source| Error::file(path, source))?;
    let limits = DecodeLimits { max_pixels: trained.recipe.data.max_pixels };
    decode(&bytes, &limits)
        .map_err(|error| Error::Picture { path: path.to_owned(), reason: error.to_string() })
}

/// Writes `NAME.png`, the label map, and `NAME.overlay.png`.
fn predict(picture: &densesiam_data::image::RgbImage, target: &Path, trained: &Trained) -> Result<(), Error> {
    let (width, height) = (picture.width, picture.height);
    let (scaled_width, scaled_height) = Frame::scaled((width, height), trained.recipe.evaluate.size).size();
    let scaled = resize_to(picture, scaled_width, scaled_height, &mut ResizeScratch::default())
        .map_err(|error| Error::Internal(error.to_string()))?;
    let clusters = tch::no_grad(|| {
        let logits =
            trained.model.logits(&trained.input.views(&scaled.pixels, [scaled_width, scaled_height]));
        logits.upsample_bilinear2d([i64::from(height), i64::from(width)], false, None, None).argmax(1, false)
    });
    let labels = labels(&clusters, trained)?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
    }
    write_labels(&target.with_extension("png"), &labels, [width, height])?;
    let view = RgbImage::from_raw(width, height, picture.pixels.clone()).unwrap_or_default();
    let map: Vec<u32> = labels.iter().map(|&label| u32::from(label)).collect();
    let overlay = pictures::mask_overlay(&view, &map, width as usize, height as usize, 0.6);
    let bytes = pictures::png(&overlay).map_err(|error| Error::Internal(error.to_string()))?;
    let path = target.with_extension("overlay.png");
    fs::write(&path, bytes).map_err(|source| Error::file(&path, source))
}

/// The class of each pixel where the run was evaluated, else its pseudo-category.
fn labels(clusters: &Tensor, trained: &Trained) -> Result<Vec<u8>, Error> {
    let clusters = Vec::<i64>::try_from(clusters.flatten(0, -1).to_kind(Kind::Int64));
    let clusters = clusters.map_err(|error| Error::Internal(error.to_string()))?;
    let label = |&cluster: &i64| match &trained.classes {
        Some(classes) => {
            let class = classes.of_category.get(cluster as usize).copied().flatten();
            class.unwrap_or(classes.names.len() + cluster as usize).min(255) as u8
        }
        None => cluster.min(255) as u8,
    };
    Ok(clusters.iter().map(label).collect())
}

/// An 8-bit PNG of label values, with the palette of the overlays.
fn write_labels(path: &Path, labels: &[u8], [width, height]: [u32; 2]) -> Result<(), Error> {
    let file = File::create(path).map_err(|source| Error::file(path, source))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..256).flat_map(pictures::colour_of).collect::<Vec<u8>>());
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(labels));
    written.map_err(|error| Error::file(path, std::io::Error::other(error)))
}
