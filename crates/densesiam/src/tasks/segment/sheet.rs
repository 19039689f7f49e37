//! The contact sheet of a segmentation: pictures, their pseudo-categories, and their labels where there are any.

use densesiam_data::evaluation::{EvaluationScratch, evaluation_sample};
use densesiam_data::labelled::LabelledSet;
use densesiam_data::taxonomy::VOID;
use densesiam_nn::segment::Segmenter;
use image::RgbImage;

use super::evaluation::pixel_categories;
use super::plan::Plan;
use super::trained::MatchedClasses;
use crate::input::Input;
use crate::pictures;

/// Pictures of the validation set that are drawn at every interval, with their labels.
pub(super) struct ContactSheet {
    samples: Vec<(RgbImage, Vec<u32>)>,
}

impl ContactSheet {
    /// Takes pictures evenly from the set; unreadable ones are left out.
    pub(super) fn new(plan: &Plan, set: &LabelledSet) -> Self {
        let settings = plan.evaluation();
        let count = plan.recipe.train.pictures.min(set.len());
        let mut scratch = EvaluationScratch::default();
        let sample = |place: usize| {
            let sample = evaluation_sample(set, place * set.len() / count, &settings, &mut scratch).ok()?;
            let picture = RgbImage::from_raw(sample.image.width, sample.image.height, sample.image.pixels)?;
            let class = |&class: &u8| if class == VOID { pictures::VOID } else { u32::from(class) };
            Some((picture, sample.labels.classes.iter().map(class).collect()))
        };
        Self { samples: (0..count).filter_map(sample).collect() }
    }

    /// Three columns: the picture, what was found, what it is. Clusters have the colour of the class they are matched
    /// to, so that equal colours mean a right answer.
    pub(super) fn draw(&self, model: &Segmenter, input: &Input, classes: &MatchedClasses) -> RgbImage {
        let rows = self.samples.iter().map(|(picture, labels)| {
            let (width, height) = picture.dimensions();
            let clusters =
                pixel_categories(model, input, picture.as_raw(), [width, height]).unwrap_or_default();
            let found: Vec<u32> =
                clusters.iter().map(|&cluster| classes.label_of(cluster as usize) as u32).collect();
            let overlay =
                |map: &[u32]| pictures::mask_overlay(picture, map, width as usize, height as usize, 0.6);
            vec![picture.clone(), overlay(&found), overlay(labels)]
        });
        pictures::contact_sheet(&rows.collect::<Vec<_>>(), 4)
    }
}
