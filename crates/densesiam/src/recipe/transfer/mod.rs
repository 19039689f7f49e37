//! The recipes of transfer, by which the paper evaluates pre-training (section 5.1): an encoder is trained further with
//! labels, as a part of a network of segmentation ([`segmentation`]) or of detection ([`detection`]).

pub mod detection;
pub mod segmentation;

use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::written;
use densesiam_settings::{SettingError, require};

use super::{Beginning, TRANSFER, contents};
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
        let (text, origin) = contents(recipe, TRANSFER)?;
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

#[cfg(test)]
mod tests {
    use densesiam_settings::duration::{Horizon, Length};
    use densesiam_settings::schedule::LearningRate;
    use safetensors::SafeTensors;

    use super::detection::DetectionRecipe;
    use super::segmentation::FcnRecipe;
    use crate::recipe::{Training, find};

    /// The learning rates of a protocol at some steps, in a training of its own batch.
    fn rates<R: Training>(recipe: &str, steps: &[u64]) -> Vec<f64> {
        let mut recipe: R = find(recipe, &["encoder.weights=random".to_owned()]).unwrap();
        let common = recipe.common();
        let (batch_size, optimizer) = (common.train.batch_size as u64, &common.optimizer);
        let Length::Counted(duration) = common.train.duration else { panic!("a time") };
        let horizon = Horizon::new(duration, 1000, batch_size).unwrap();
        let share = LearningRate::new(&optimizer.schedule, &horizon).unwrap();
        let peak = optimizer.base_learning_rate * batch_size as f64 / 256.0;
        steps.iter().map(|&step| peak * share.at(step)).collect()
    }

    #[test]
    fn parity_transfer_learning_rates_are_those_of_the_protocols() {
        for path in densesiam_fixtures::family("transfer-data") {
            let bytes = std::fs::read(&path).unwrap();
            let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
            let steps = &header.metadata().as_ref().unwrap()["lr.steps"];
            let steps: serde_json::Map<String, serde_json::Value> = serde_json::from_str(steps).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(steps.len(), 3, "every protocol");
            for (protocol, steps) in steps {
                let steps: Vec<u64> = serde_json::from_value(steps).unwrap();
                // mmengine's decay ends a step earlier, which is a share of 8e-7.
                let (found, tolerance) = match protocol.as_str() {
                    "voc" => (rates::<DetectionRecipe>("voc_faster_rcnn_c4_24k", &steps), 1e-12),
                    "coco" => (rates::<DetectionRecipe>("coco_mask_rcnn_fpn_1x", &steps), 1e-12),
                    "cityscapes" => (rates::<FcnRecipe>("cityscapes_fcn_d8_40k", &steps), 8e-7),
                    other => panic!("{other}"),
                };
                let expected = tensors.tensor(&format!("lr.{protocol}")).unwrap();
                let expected = expected.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
                for ((step, found), expected) in steps.iter().zip(found).zip(expected) {
                    assert!((found - expected).abs() <= tolerance, "{protocol} {step}: {found} {expected}");
                }
            }
        }
    }
}
