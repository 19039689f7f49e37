//! `[labels]`: how the labelled pictures are laid out, and what each split is used for.

use std::path::Path;

use densesiam_data::labelled::{DataSetError, LabelledSet, Layout, Taxonomy};
use densesiam_settings::{SettingError, require};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// `[labels]`: a segmentation reads labels only to score itself, and never trains on them; a probe is trained on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSettings {
    /// `auto`, `camvid`, `coco27`, `cityscapes`, `voc2012` or `folder`.
    pub layout: String,
    /// Split that is trained on; segmentation takes it without its labels.
    pub train: String,
    /// Split that is evaluated on; empty for none.
    pub val: String,
    /// A taxonomy in place of the layout's own: `cityscapes27`; empty for the layout's.
    pub taxonomy: String,
    /// Pseudo-categories of a segmentation, `N`; 0 for the classes of the taxonomy.
    pub categories: i64,
}

impl Default for LabelSettings {
    fn default() -> Self {
        let (layout, train, val) = ("auto".into(), "train".into(), "val".into());
        Self { layout, train, val, taxonomy: String::new(), categories: 0 }
    }
}

impl LabelSettings {
    /// Checks the number of pseudo-categories.
    ///
    /// # Errors
    /// [`SettingError`] if it is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let categories = self.categories;
        let possible = categories == 0 || (2..=4096).contains(&categories);
        require(possible, "labels.categories", &categories, "0 for the classes there are, or 2 to 4096")
    }

    /// The layout that the recipe names, or `None` if the layout is to be recognised from the files.
    ///
    /// # Errors
    /// When no layout has this name.
    pub fn layout(&self) -> Result<Option<Layout>, Error> {
        if self.layout == "auto" {
            return Ok(None);
        }
        let named = serde_json::from_value(self.layout.as_str().into());
        named.map(Some).map_err(|_| {
            Error::Usage(format!(
                "labels.layout = {} is not known: auto, camvid, coco27, cityscapes, voc2012 or folder",
                self.layout
            ))
        })
    }

    /// The labelled pictures of a split.
    ///
    /// # Errors
    /// When the split is missing or incomplete.
    pub fn open(&self, root: &Path, split: &str) -> Result<LabelledSet, Error> {
        let taxonomy = (!self.taxonomy.is_empty()).then(|| Taxonomy::named(&self.taxonomy)).transpose();
        let taxonomy = taxonomy.map_err(DataSetError::from)?;
        Ok(LabelledSet::open(root, self.layout()?, split, taxonomy)?)
    }
}
