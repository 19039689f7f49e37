//! The encoders, and the facts that other code needs about an encoder: its architecture, and the channels and strides
//! of its maps.

mod pyramid;
mod resnet;
mod scale;
mod settings;

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use pyramid::Pyramid;
pub use resnet::{Dilated, ResNet};
pub use scale::rescale;
pub use settings::{ENCODER, EncoderSettings};

/// The architecture of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 11.2 M parameters, C5 of 512 channels.
    ResNet18,
    /// 21.3 M parameters, C5 of 512 channels.
    ResNet34,
    /// 23.5 M parameters, C5 of 2048 channels; the paper's.
    ResNet50,
    /// 42.5 M parameters, C5 of 2048 channels.
    ResNet101,
}

impl Architecture {
    /// All architectures, from the smallest.
    pub const ALL: [Self; 4] = [Self::ResNet18, Self::ResNet34, Self::ResNet50, Self::ResNet101];

    /// Its name in prose. Recipes and files have the same in lower case ([`Architecture::key`]).
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet18 => "ResNet18",
            Self::ResNet34 => "ResNet34",
            Self::ResNet50 => "ResNet50",
            Self::ResNet101 => "ResNet101",
        }
    }

    /// What recipes and other tools call it: `resnet18`.
    pub fn key(self) -> String {
        self.name().to_lowercase()
    }

    /// Channels of its maps, from the finest: C2, C3, C4 and C5.
    pub fn channels(self) -> [i64; 4] {
        let expansion = if self.has_bottlenecks() { 4 } else { 1 };
        [64, 128, 256, 512].map(|width| width * expansion)
    }

    /// The pixels along a picture's side for one cell of each map.
    pub fn strides(self) -> [u32; 4] {
        [4, 8, 16, 32]
    }

    /// Stride of the last map.
    pub fn stride(self) -> u32 {
        let [.., last] = self.strides();
        last
    }

    /// Sides of the maps of a square picture of `size` pixels a side.
    pub fn sides(self, size: u32) -> [u32; 4] {
        self.strides().map(|stride| size.div_ceil(stride))
    }

    /// Residual blocks of each stage.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => [3, 4, 6, 3],
            Self::ResNet101 => [3, 4, 23, 3],
        }
    }

    /// Whether a block has a 1x1, a 3x3 and a 1x1 convolution, in place of two of 3x3.
    pub fn has_bottlenecks(self) -> bool {
        matches!(self, Self::ResNet50 | Self::ResNet101)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The maps of an encoder.
#[derive(Debug)]
pub struct Features {
    /// From the finest: `[B, C, H / stride, W / stride]`.
    pub maps: Vec<Tensor>,
    /// The stride of each.
    pub strides: Vec<u32>,
}

impl Features {
    /// The last map, which pre-training uses.
    ///
    /// # Panics
    /// Never: every encoder has a map.
    pub fn last(&self) -> Tensor {
        self.maps[self.maps.len() - 1].shallow_clone()
    }

    /// The mean of the last map over its cells, `[B, C]`.
    pub fn pooled(&self) -> Tensor {
        let last = self.last();
        last.mean_dim([2i64, 3].as_slice(), false, last.kind())
    }
}
