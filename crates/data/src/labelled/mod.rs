//! Labelled data sets in the layouts that they are published in: which pictures a split has, where their labels are, what
//! those mean, and how both are read.
//!
//! Training needs no label: [`training_pictures`] takes any folder of pictures. Evaluation opens a [`LabelledSet`], and reads
//! it by a [`LabelledLoader`]; the probe trains on one besides.

mod error;
mod label_map;
mod layout;
mod loader;
mod reading;
mod set;
mod spelling;
mod survey;
mod taxonomy;

pub use error::DataSetError;
pub use label_map::{LabelError, LabelMap};
pub use layout::{CLASS_FILE, Layout};
pub use loader::{LabelledBatch, LabelledLoader};
pub use reading::{LabelledSample, ReadingError, ReadingScratch, ReadingSettings, read_sample};
pub use set::{LabelledSet, training_pictures};
pub use survey::{LabelFinding, LabelProblem, LabelSurvey, names_listed};
pub use taxonomy::{Class, ClassFileError, Meaning, Taxonomy, TaxonomyError, VOID};
