//! The recipes of transfer, by which the paper evaluates pre-training (section 5.1): an encoder is trained further with
//! labels, as a part of a network of segmentation ([`segmentation`]) or of detection ([`detection`]).

pub mod detection;
pub mod segmentation;

use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::written;
use densesiam_settings::{SettingError, require};

use super::{Beginning, contents};
use crate::error::Error;

/// The network that an encoder becomes a part of: the key `model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A fully convolutional network of stride 8, for segmentation.
    Fcn,
    /// A Faster R-CNN, for detection.
    Detector,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Fcn, Self::Detector];

    /// The value of the key `model`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fcn => "fcn",
            Self::Detector => "detector",
        }
    }

    /// The model that a recipe names, or the settings over it.
    ///
    /// # Errors
    /// When there is no such recipe, or it names no model.
    pub fn of(recipe: &str, settings: &[String]) -> Result<Self, Error> {
        let (text, origin) = contents(recipe, "transfer")?;
        let name = written("model", &text, &origin, settings)?;
        let found = Self::ALL.into_iter().find(|model| name.as_deref() == Some(model.name()));
        let names = || Self::ALL.map(Self::name).join(" or ");
        found.ok_or_else(|| match name {
            Some(name) => Error::Usage(format!("model = {name:?} is not known; there are {}", names())),
            None => {
                Error::Usage(format!("{origin} is no recipe of transfer: it names no model, {}", names()))
            }
        })
    }
}

/// Refuses a recipe of another model.
fn require_model(model: Model, text: &str, origin: &str, settings: &[String]) -> Result<(), RecipeError> {
    match written("model", text, origin, settings)? {
        Some(name) if name != model.name() => Err(RecipeError::Value {
            key: "model".into(),
            place: origin.into(),
            message: format!("{name} has another recipe than {}", model.name()),
        }),
        _ => Ok(()),
    }
}

/// Refuses a recipe that does not say what is transferred, because random weights would pass for an encoder.
fn require_beginning(beginning: &Beginning) -> Result<(), SettingError> {
    let weights = &beginning.weights;
    require(!weights.is_empty(), "encoder.weights", weights, "a run, a weights file, or random")
}
