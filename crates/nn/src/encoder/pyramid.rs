//! The simplified feature pyramid of the segmentation recipe: lateral 1x1 convolutions and top-down sums, no norm and
//! no 3x3 convolution, output at stride 4 (section 4 of the paper, after PiCIE).

use tch::Tensor;

use super::{Architecture, Features};
use crate::layers::Convolution;
use crate::store::Scope;

/// From C2..C5 to one map at stride 4.
#[derive(Debug)]
pub struct Pyramid {
    /// Of C5, C4, C3, C2: the order of the top-down pass, and of the released names.
    laterals: [Convolution; 4],
}

impl Pyramid {
    /// Builds `layer1` (for C5) to `layer4` (for C2) below `scope`, all with `width` output channels and a bias.
    pub fn new(scope: &Scope, architecture: Architecture, width: i64) -> Self {
        let channels = architecture.channels();
        let lateral = |index: usize| {
            let scope = scope / format!("layer{}", index + 1).as_str();
            Convolution::of_head(&scope, [channels[3 - index], width], true)
        };
        Self { laterals: std::array::from_fn(lateral) }
    }

    /// Combines the maps of the four stages to `[B, width, H/4, W/4]`.
    pub fn forward(&self, features: &Features) -> Tensor {
        let [top, rest @ ..] = &self.laterals;
        let below = rest.iter().zip(features.maps.iter().rev().skip(1));
        below.fold(top.forward(&features.last()), |above, (lateral, map)| {
            let size = map.size();
            lateral.forward(map) + above.upsample_bilinear2d(&size[2..], false, None, None)
        })
    }
}
