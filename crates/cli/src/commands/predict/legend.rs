//! `legend.json`: what the values of label maps mean.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::label_map::ValueDepth;
use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::labelled_segmentation::LabelledSegmentation;
use densesiam::segmentation::Segmentation;
use densesiam_report::pictures::Palette;

/// What the values of label maps mean.
#[derive(Debug, Serialize)]
pub(super) struct Legend {
    /// Steps that the model was trained for.
    step: u64,
    /// Steps after which it was evaluated, so that its categories have classes; null if it was not evaluated, or has learnt its
    /// classes by labels.
    matched_at_step: Option<u64>,
    /// Bits of a value.
    bits: u8,
    /// The values by number.
    labels: Vec<Label>,
}

#[derive(Debug, Serialize)]
struct Label {
    value: usize,
    name: String,
    /// The colour on the overlays and, in maps of 8 bits, in the palette.
    colour: String,
    /// The pseudo-categories that become this value.
    categories: Vec<usize>,
}

impl Legend {
    /// The classes with their pseudo-categories, then the categories without a class; if there are no classes, only the
    /// categories.
    pub(super) fn new(trained: &Segmentation) -> Self {
        let value_of = |category: usize| match &trained.classes {
            Some(classes) => classes.label_of(category),
            None => category,
        };
        let names = trained.classes.as_ref().map(|classes| classes.names.as_slice()).unwrap_or_default();
        let palette = trained.palette();
        let mut labels: Vec<Label> =
            names.iter().enumerate().map(|(value, name)| Label::new(value, name, &palette)).collect();
        for category in 0..trained.categories {
            let value = value_of(category);
            if value >= names.len() {
                labels.push(Label::new(value, &format!("pseudo-category {category}"), &palette));
            }
            if let Some(label) = labels.iter_mut().find(|label| label.value == value) {
                label.categories.push(category);
            }
        }
        let bits = ValueDepth::of(trained.values()).bits();
        let matched_at_step = trained.classes.as_ref().map(|classes| classes.step);
        Self { step: trained.step, matched_at_step, bits, labels }
    }

    /// The classes that a network has learnt by labels.
    pub(super) fn of_classes(trained: &LabelledSegmentation) -> Self {
        let label = |(value, name): (usize, &String)| Label::new(value, name, &trained.palette);
        Self {
            step: trained.step,
            matched_at_step: None,
            bits: ValueDepth::of(trained.classes.len()).bits(),
            labels: trained.classes.iter().enumerate().map(label).collect(),
        }
    }

    /// One line about it.
    pub(super) fn summary(&self) -> String {
        let (count, step) = (self.labels.len(), self.step);
        match self.matched_at_step {
            Some(matched) if matched == step => {
                format!("label values are classes, as matched at step {step}: see legend.json")
            }
            Some(matched) => format!(
                "label values are classes, as matched at step {matched}: step {step} itself was not evaluated; see \
                 legend.json"
            ),
            None => format!(
                "label values are the {count} pseudo-categories: this run was not evaluated after training until step \
                 {step}, so that none has a class"
            ),
        }
    }

    /// Writes `legend.json` into the folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        let path = folder.join("legend.json");
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        write_bytes(&path, text.as_bytes())
    }
}

impl Label {
    fn new(value: usize, name: &str, palette: &Palette) -> Self {
        let [red, green, blue] = palette.colour_of(value);
        let colour = format!("#{red:02x}{green:02x}{blue:02x}");
        Self { value, name: name.to_owned(), colour, categories: vec![] }
    }
}
