//! Made-up pictures with their label maps, for trying the whole project out without any download.
//!
//! A picture is a landscape from above: one patch of every class, with wavy borders. Every class has a texture and a
//! family of colours of its own, which vary between pictures. The classes take the same area, and tell apart what the
//! augmentation of the demonstration's recipes leaves in place: with fewer patches of some classes, or where colour is
//! taken away by augmentation, a training of two minutes ends in other categories for every seed. All of it is a function
//! of the seed.

mod picture;
mod texture;

use std::io;
use std::path::{Path, PathBuf};

use densesiam_text::shown;

use crate::image::RgbImage;

pub use picture::{DemoPicture, draw_picture};

/// Names of the classes; a pixel of the label map holds the position of its class in this list.
pub const CLASSES: [&str; 4] = ["meadow", "sand", "roofs", "water"];

/// How many pictures to write and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoSettings {
    /// Pictures of the training split.
    pub train: u32,
    /// Pictures of the validation split.
    pub val: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Seed of everything in them.
    pub seed: u64,
}

impl Default for DemoSettings {
    fn default() -> Self {
        Self { train: 256, val: 64, width: 128, height: 96, seed: 0 }
    }
}

/// Why the made-up data set could not be written: the file system's fault.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A folder or file could not be written.
    #[error("cannot write {}: {source}; choose a folder that can be written to", shown(path))]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A picture could not be encoded or written.
    #[error("cannot write {}: {source}; choose a folder that can be written to", shown(path))]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
}

/// Writes a data set: `{train,val}/images/NNNN.jpg`, `{train,val}/labels/NNNN.png` (8 bits, the class of each pixel)
/// and `classes.txt` (one name a line). Files of the same name are replaced.
///
/// # Errors
/// A [`DemoError`] where the file system refuses.
pub fn write_demo(root: &Path, settings: &DemoSettings) -> Result<(), DemoError> {
    let DemoSettings { train, val, width, height, seed } = *settings;
    let splits = [("train", 0, train), ("val", train, val)];
    for (split, first, count) in splits {
        let folder = root.join(split);
        for kind in ["images", "labels"] {
            let path = folder.join(kind);
            std::fs::create_dir_all(&path).map_err(|source| DemoError::Write { path, source })?;
        }
        for number in 0..count {
            let picture = draw_picture((width, height), seed, u64::from(first + number));
            write_image(&folder.join(format!("images/{number:04}.jpg")), &picture.image)?;
            write_label(&folder.join(format!("labels/{number:04}.png")), &picture)?;
        }
    }
    let path = root.join("classes.txt");
    std::fs::write(&path, CLASSES.join("\n") + "\n").map_err(|source| DemoError::Write { path, source })
}

fn write_image(path: &Path, picture: &RgbImage) -> Result<(), DemoError> {
    const QUALITY: u8 = 92;
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    image::ImageEncoder::write_image(
        encoder,
        &picture.pixels,
        picture.width,
        picture.height,
        image::ExtendedColorType::Rgb8,
    )
    .map_err(|source| DemoError::Encode { path: path.into(), source })?;
    std::fs::write(path, bytes).map_err(|source| DemoError::Write { path: path.into(), source })
}

fn write_label(path: &Path, picture: &DemoPicture) -> Result<(), DemoError> {
    let RgbImage { width, height, .. } = picture.image;
    image::save_buffer(path, &picture.labels, width, height, image::ExtendedColorType::L8)
        .map_err(|source| DemoError::Encode { path: path.into(), source })
}
