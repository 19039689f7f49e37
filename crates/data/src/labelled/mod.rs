//! Labelled data sets in their published layouts: the pictures of a split, where their labels are, what the labels
//! mean, and how both are read.
//!
//! Unsupervised training needs no labels: [`training_pictures`] takes any folder of pictures. Evaluation opens a
//! [`LabelledSet`], and reads it with a [`LabelledLoader`]; the probe also trains on one. Training with labels reads the
//! pictures of [`LabelledSet::index`] as [`crate::views::labelled::LabelledCrops`].

mod check;
mod error;
mod label_map;
mod layout;
mod loader;
mod reading;
mod set;
pub(crate) mod spelling;
mod survey;
mod taxonomy;

pub use check::LabelCheck;
pub use error::DataSetError;
pub use label_map::{LabelError, LabelMap};
pub use layout::{CLASS_FILE, Layout};
pub use loader::{LabelledBatch, LabelledLoader};
pub use reading::{Extent, LabelledSample, ReadingError, ReadingScratch, ReadingSettings, read_sample};
pub use set::{LabelledSet, training_pictures};
pub use survey::{LabelFinding, LabelProblem, LabelSurvey, names_listed};
pub use taxonomy::{Class, ClassFileError, Meaning, Taxonomy, TaxonomyError, VOID};
