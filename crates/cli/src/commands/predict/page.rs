//! The files that are written for one picture: a label map, and an overlay to look at.

use std::fs;
use std::path::PathBuf;

use densesiam_data::image::RgbImage;

use super::label_map::{ValueDepth, write_labels};
use super::{labels_path, with_suffix};
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::segmentation::Segmentation;
use densesiam_report::pictures::{self, Palette};

/// The prediction of one picture.
pub(super) struct Page {
    /// Path of its files, without their endings.
    pub(super) stem: PathBuf,
    /// Width and height in pixels.
    pub(super) size: [u32; 2],
    /// The pseudo-category of each pixel; the class, of a network that has learnt by labels.
    pub(super) categories: Vec<u16>,
    /// The picture, if an overlay is wanted.
    pub(super) picture: Option<RgbImage>,
}

/// How label values are written.
pub(super) struct Values {
    /// The value of each of these.
    pub(super) of_category: Vec<u16>,
    /// How they are stored.
    pub(super) depth: ValueDepth,
    /// Their colours.
    pub(super) palette: Palette,
}

impl Values {
    /// The values in the label maps of this model.
    pub(super) fn of(trained: &Segmentation) -> Self {
        let value =
            |category| trained.classes.as_ref().map_or(category, |classes| classes.label_of(category));
        let of_category = (0..trained.categories).map(|category| value(category) as u16).collect();
        Self { of_category, depth: ValueDepth::of(trained.values()), palette: trained.palette() }
    }
}

impl Page {
    /// Bytes of memory that the page holds.
    pub(super) fn bytes(&self) -> usize {
        2 * self.categories.len() + self.picture.as_ref().map_or(0, |picture| picture.pixels.len())
    }

    /// Writes `STEM.png`, the label map, and `STEM.overlay.png`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn write(self, values: &Values) -> Result<(), Error> {
        let Self { stem, size, categories: mut labels, picture } = self;
        labels.iter_mut().for_each(|label| *label = values.of_category[usize::from(*label)]);
        if let Some(folder) = stem.parent() {
            fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        }
        write_labels(&labels_path(&stem), &labels, size, (values.depth, &values.palette))?;
        let Some(picture) = picture else {
            return Ok(());
        };
        let mut overlay = image::RgbImage::from_raw(size[0], size[1], picture.pixels).unwrap_or_default();
        pictures::lay_mask_over(&mut overlay, &labels, size.map(|side| side as usize), &values.palette, 0.6);
        let bytes = pictures::png(&overlay).map_err(|error| Error::Internal(error.to_string()))?;
        write_bytes(&with_suffix(&stem, ".overlay.png"), &bytes)
    }
}
