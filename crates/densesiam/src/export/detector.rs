//! The tensors of a trained detector under the names of other tools.

use std::path::Path;

use densesiam_nn::detect::{Design, detectron2_name, torchvision_name};
use tch::Tensor;

use crate::error::Error;
use crate::recipe::find;
use crate::recipe::transfer::Model;
use crate::recipe::transfer::detection::DetectionRecipe;
use crate::run::Contents;

/// A detector that is exported.
pub(super) struct Detector {
    /// The recipe that it was trained with.
    pub(super) recipe: DetectionRecipe,
    /// The names of its classes, by number.
    pub(super) classes: Vec<String>,
}

impl Detector {
    /// The detector of a run.
    ///
    /// # Errors
    /// When the run has trained none, or its recipe cannot be read.
    pub(super) fn of(run: &Path, contents: &Contents) -> Result<Self, Error> {
        if contents.model() != Some(Model::Detector) {
            let message = format!("{} is no detector; the other formats write its encoder", run.display());
            return Err(Error::Usage(message));
        }
        let recipe = find(&run.display().to_string(), &[])?;
        Ok(Self { recipe, classes: contents.classes.clone() })
    }

    fn design(&self) -> Design {
        self.recipe.model.detector.design
    }

    /// All its tensors under detectron2's names. Counters of batches, which detectron2 does not keep, are left out.
    ///
    /// # Errors
    /// When detectron2 has no such network.
    pub(super) fn for_detectron2(&self, model: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        let architecture = self.recipe.model.encoder.architecture;
        if !architecture.has_bottlenecks() && self.design() == Design::C4 {
            let message = format!(
                "detectron2's C4 heads are made of bottlenecks, and the last stage of {} is not; --format detectron2 \
                 writes its encoder",
                architecture.key()
            );
            return Err(Error::Usage(message));
        }
        let kept = model.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
        Ok(kept
            .map(|(name, tensor)| (detectron2_name(name, self.design()), tensor.shallow_clone()))
            .collect())
    }

    /// Its encoder and pyramid under torchvision's names.
    ///
    /// # Errors
    /// When it has no pyramid.
    pub(super) fn for_torchvision(&self, model: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        if self.design() != Design::Fpn {
            let message = "this detector has no pyramid; --format torchvision writes its encoder".into();
            return Err(Error::Usage(message));
        }
        let named =
            |(name, tensor): &(String, Tensor)| Some((torchvision_name(name)?, tensor.shallow_clone()));
        Ok(model.iter().filter_map(named).collect())
    }
}
