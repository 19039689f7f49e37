//! The contact sheet of a segmentation: pictures, their pseudo-categories, and their labels.

use std::collections::BTreeSet;

use densesiam_data::labelled::{LabelledSet, ReadingScratch, VOID, read_sample};
use densesiam_nn::segment::Segmenting;
use image::RgbImage;

use super::evaluation::pixel_categories;
use super::plan::Plan;
use crate::error::Error;
use crate::segmentation::MatchedClasses;
use densesiam_nn::input::Input;
use densesiam_report::pictures::{self, INK};

/// Pictures of the validation set that are drawn at every interval, with their labels.
pub(super) struct ContactSheet {
    samples: Vec<(RgbImage, Vec<u32>)>,
}

impl ContactSheet {
    /// Takes pictures evenly from the set; unreadable ones are left out.
    pub(super) fn new(plan: &Plan, set: &LabelledSet) -> Self {
        let settings = plan.evaluation();
        let count = plan.recipe.common.train.pictures.min(set.len());
        let mut scratch = ReadingScratch::default();
        let sample = |place: usize| {
            let sample = read_sample(set, place * set.len() / count, &settings, &mut scratch).ok()?;
            let picture = RgbImage::from_raw(sample.image.width, sample.image.height, sample.image.pixels)?;
            let class = |&class: &u8| if class == VOID { pictures::VOID } else { u32::from(class) };
            Some((picture, sample.labels.classes.iter().map(class).collect()))
        };
        Self { samples: (0..count).filter_map(sample).collect() }
    }

    /// Three columns: the picture, the prediction, the label. Categories have the colour of the class they are matched
    /// to, so equal colours mean a correct prediction; the key names every colour on the sheet. `None` if there is no
    /// picture.
    ///
    /// # Errors
    /// When the categories cannot be read from the device.
    pub(super) fn draw(
        &self,
        model: &dyn Segmenting,
        input: &Input,
        classes: &MatchedClasses,
    ) -> Result<Option<RgbImage>, Error> {
        if self.samples.is_empty() {
            return Ok(None);
        }
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        for (picture, labels) in &self.samples {
            let (width, height) = picture.dimensions();
            let categories = pixel_categories(model, input, picture.as_raw(), [width, height])?;
            let found: Vec<u32> =
                categories.iter().map(|&category| classes.label_of(category as usize) as u32).collect();
            let size = [width as usize, height as usize];
            let overlay = |map: &[u32]| pictures::mask_overlay(picture, map, size, &classes.palette, 0.6);
            rows.push(vec![picture.clone(), overlay(&found), overlay(labels)]);
            seen.extend(found.iter().chain(labels).filter(|&&label| label != pictures::VOID).copied());
        }
        let named = |label: u32| {
            let label = label as usize;
            let category = || format!("category {}, of no class", label - classes.names.len());
            let name = classes.names.get(label).cloned().unwrap_or_else(category);
            (classes.palette.colour_of(label), name)
        };
        let key: Vec<_> = seen.into_iter().map(named).collect();
        let titles = [("picture", INK), ("found", INK), ("labels", INK)];
        Ok(Some(pictures::titled_sheet(&titles, rows, &key)))
    }
}
