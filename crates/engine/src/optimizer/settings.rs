//! The settings of the optimizer in a recipe, and their checks.

use densesiam_settings::{SettingError, require};
use serde::{Deserialize, Serialize};

use densesiam_settings::schedule::ScheduleSettings;

/// The rule by which parameters are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, as `torch.optim.SGD`.
    #[default]
    Sgd,
    /// Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017) for large batches.
    Lars,
    /// Adam (Kingma and Ba 2015), as `torch.optim.Adam`: rates of its means 0.9 and 0.999, floor 1e-8. It has no momentum factor.
    Adam,
}

/// Which predictors keep the peak learning rate while the schedule lowers all other rates (SimSiam, section 4.2 and its
/// code's `fix_pred_lr`). The code that knows the parameters' names turns this into group rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FixedPredictor {
    /// No predictor.
    None,
    /// The predictor of the global branch.
    #[default]
    Global,
    /// The predictors of all branches.
    All,
}

/// How parameters are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerSettings {
    /// SGD, LARS or Adam.
    pub kind: OptimizerKind,
    /// Peak learning rate for a batch of 256 pictures; scaled linearly with the batch. Above 0.
    pub base_learning_rate: f64,
    /// Momentum factor, from 0 (none) to below 1.
    pub momentum: f64,
    /// Weight decay, added to the gradient (not decoupled). Not below 0.
    pub weight_decay: f64,
    /// Whether one-dimensional parameters (norms and biases) are decayed too, as in SimSiam's code.
    pub decay_norms_and_biases: bool,
    /// Whether the weights and biases of norms are decayed, if biases are. Detectron2 decays the biases of other layers alone.
    pub decay_norms: bool,
    /// Which predictors keep the peak learning rate.
    pub fixed_predictor_learning_rate: FixedPredictor,
    /// LARS: the ratio of an update's norm to its parameter's, at a learning rate of 1. Above 0.
    pub trust_coefficient: f64,
    /// Gradients are scaled down to this norm, all taken as one vector; 0 for no limit.
    pub clip_gradient_norm: f64,
    /// How the learning rate changes over the training.
    pub schedule: ScheduleSettings,
}

impl Default for OptimizerSettings {
    /// DenseSiam's pre-training (section 4.1 of the paper), which is SimSiam's.
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            base_learning_rate: 0.05,
            momentum: 0.9,
            weight_decay: 1e-4,
            decay_norms_and_biases: true,
            decay_norms: true,
            fixed_predictor_learning_rate: FixedPredictor::Global,
            trust_coefficient: 0.001,
            clip_gradient_norm: 0.0,
            schedule: ScheduleSettings::default(),
        }
    }
}

impl OptimizerSettings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`SettingError`] with the first key that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let rate = self.base_learning_rate;
        require(positive(rate), "optimizer.base_learning_rate", &rate, "above 0")?;
        require(
            (0.0..1.0).contains(&self.momentum),
            "optimizer.momentum",
            &self.momentum,
            "from 0 to below 1",
        )?;
        require(not_negative(self.weight_decay), "optimizer.weight_decay", &self.weight_decay, "0 or above")?;
        let trust = self.trust_coefficient;
        require(positive(trust), "optimizer.trust_coefficient", &trust, "above 0")?;
        let clip = self.clip_gradient_norm;
        require(not_negative(clip), "optimizer.clip_gradient_norm", &clip, "0 (off) or above")?;
        self.schedule.validate()
    }

    /// The learning rate at the schedule's peak for `batch_size` pictures a step, all processes together: linear
    /// scaling (Goyal et al. 2017).
    pub fn peak_learning_rate(&self, batch_size: u64) -> f64 {
        self.base_learning_rate * batch_size as f64 / 256.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_simsiams_and_valid() {
        let settings: OptimizerSettings = serde_json::from_str("{}").unwrap();
        settings.validate().unwrap();
        assert!((settings.peak_learning_rate(512) - 0.1).abs() < 1e-15);
        assert_eq!(settings.fixed_predictor_learning_rate, FixedPredictor::Global);
    }

    #[test]
    fn out_of_range_values_are_named() {
        for (text, message) in [
            (r#"{"momentum": 1.5}"#, "optimizer.momentum = 1.5 is not possible; allowed: from 0 to below 1"),
            (
                r#"{"base_learning_rate": 0.0}"#,
                "optimizer.base_learning_rate = 0 is not possible; allowed: above 0",
            ),
            (r#"{"weight_decay": -1.0}"#, "optimizer.weight_decay = -1 is not possible; allowed: 0 or above"),
            (
                r#"{"trust_coefficient": 0.0}"#,
                "optimizer.trust_coefficient = 0 is not possible; allowed: above 0",
            ),
            (
                r#"{"clip_gradient_norm": -1.0}"#,
                "optimizer.clip_gradient_norm = -1 is not possible; allowed: 0 (off) or above",
            ),
        ] {
            let settings: OptimizerSettings = serde_json::from_str(text).unwrap();
            assert_eq!(settings.validate().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<OptimizerSettings>(r#"{"learning_rate": 0.1}"#).is_err());
        assert!(serde_json::from_str::<OptimizerSettings>(r#"{"schedule": {"typo": 1}}"#).is_err());
    }
}
