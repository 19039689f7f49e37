//! The settings of an encoder, which all methods share.

use densesiam_settings::{SettingError, require};
use serde::{Deserialize, Serialize};

use super::{Architecture, ResNet};
use crate::store::Scope;

/// What the names of the encoder's tensors begin with, in every method of pre-training.
pub const ENCODER: &str = "encoder.";

/// The encoder `F`: the table `encoder` of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncoderSettings {
    /// Which ResNet.
    pub architecture: Architecture,
    /// Start the last batch norm of each residual block at 0 (the paper, section 5.1).
    pub zero_residual: bool,
    /// Pixels along a picture's side for one cell of the last map: 32, 16 or 8. Below 32 the last stages are dilated
    /// instead of having a stride; the same weights fit every value (ours).
    pub output_stride: u32,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self { architecture: Architecture::ResNet50, zero_residual: true, output_stride: 32 }
    }
}

impl EncoderSettings {
    /// The encoder below `scope`.
    pub fn build(&self, scope: &Scope) -> ResNet {
        ResNet::with_output_stride(scope, self.architecture, self.zero_residual, self.output_stride)
    }

    /// Channels of the last map.
    pub fn width(&self) -> i64 {
        let [.., last] = self.architecture.channels();
        last
    }

    /// The pixels along a picture's side for one cell of each map.
    pub fn strides(&self) -> [u32; 4] {
        self.architecture.strides().map(|stride| stride.min(self.output_stride))
    }

    /// Sides of the maps of a square picture of `size` pixels a side.
    pub fn sides(&self, size: u32) -> [u32; 4] {
        self.strides().map(|stride| size.div_ceil(stride))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A stride that is not allowed.
    pub fn validate(&self) -> Result<(), SettingError> {
        require(
            [8, 16, 32].contains(&self.output_stride),
            "encoder.output_stride",
            &self.output_stride,
            "8, 16 or 32",
        )
    }
}
