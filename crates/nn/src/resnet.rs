//! ResNet-18, 34, 50 and 101 without global pooling and classifier, named as torchvision names them.
//!
//! Stride on the 3x3 convolution of a bottleneck (v1.5). All four stages are returned: pre-training uses C5, the
//! feature pyramid of segmentation all of them.

use densesiam_torch_ext::max_pool;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::layers::{BatchNorm, Convolution, Mode};
use crate::store::Scope;

/// Which ResNet.
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
    /// Residual blocks of each stage.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => [3, 4, 6, 3],
            Self::ResNet101 => [3, 4, 23, 3],
        }
    }

    fn has_bottlenecks(self) -> bool {
        matches!(self, Self::ResNet50 | Self::ResNet101)
    }

    /// Channels of C2, C3, C4 and C5.
    pub fn channels(self) -> [i64; 4] {
        let expansion = if self.has_bottlenecks() { 4 } else { 1 };
        [64, 128, 256, 512].map(|width| width * expansion)
    }
}

/// The feature maps of the four stages.
#[derive(Debug)]
pub struct Features {
    /// `[B, C, H/4, W/4]`
    pub c2: Tensor,
    /// `[B, C, H/8, W/8]`
    pub c3: Tensor,
    /// `[B, C, H/16, W/16]`
    pub c4: Tensor,
    /// `[B, C, H/32, W/32]`
    pub c5: Tensor,
}

/// The encoder.
#[derive(Debug)]
pub struct ResNet {
    stem: (Convolution, BatchNorm),
    stages: [Vec<Block>; 4],
}

impl ResNet {
    /// Builds the encoder below `scope`. With `zero_residual` the last batch norm of each residual block starts at
    /// weight 0, so that every block starts as the identity (the paper, section 5.1; Goyal et al. 2017).
    pub fn new(scope: &Scope, architecture: Architecture, zero_residual: bool) -> Self {
        let stem = (
            Convolution::of_encoder(&(scope / "conv1"), [3, 64], 7, 2),
            BatchNorm::affine(&(scope / "bn1"), 64, 1.0),
        );
        let mut from = 64;
        let stages = std::array::from_fn(|stage| {
            let scope = scope / format!("layer{}", stage + 1).as_str();
            let to = architecture.channels()[stage];
            let blocks = (0..architecture.blocks()[stage]).map(|index| {
                let stride = if index == 0 && stage > 0 { 2 } else { 1 };
                let scope = &scope / index.to_string().as_str();
                let bottleneck = architecture.has_bottlenecks();
                Block::new(&scope, [std::mem::replace(&mut from, to), to], stride, bottleneck, zero_residual)
            });
            blocks.collect()
        });
        Self { stem, stages }
    }

    /// `[B, 3, H, W]` to the maps of the four stages.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Features {
        let (convolution, norm) = &self.stem;
        let stem = norm.forward_relu(&convolution.forward(x), mode);
        let stem = max_pool(&stem);
        let stage =
            |index: usize, x| self.stages[index].iter().fold(x, |x, block: &Block| block.forward(&x, mode));
        let c2 = stage(0, [stem.shallow_clone(), stem]);
        let c3 = stage(1, c2.each_ref().map(Tensor::shallow_clone));
        let c4 = stage(2, c3.each_ref().map(Tensor::shallow_clone));
        let c5 = stage(3, c4.each_ref().map(Tensor::shallow_clone));
        let [c2, c3, c4, c5] = [c2, c3, c4, c5].map(|[map, _]| map);
        Features { c2, c3, c4, c5 }
    }
}

/// A residual block: two 3x3 convolutions (basic), or 1x1, 3x3, 1x1 (bottleneck), and a projection where the shape
/// changes.
#[derive(Debug)]
struct Block {
    layers: Vec<(Convolution, BatchNorm)>,
    downsample: Option<(Convolution, BatchNorm)>,
}

impl Block {
    fn new(scope: &Scope, [from, to]: [i64; 2], stride: i64, bottleneck: bool, zero_residual: bool) -> Self {
        // (channels in, channels out, kernel, stride) of each convolution.
        let table = if bottleneck {
            let width = to / 4;
            vec![(from, width, 1, 1), (width, width, 3, stride), (width, to, 1, 1)]
        } else {
            vec![(from, to, 3, stride), (to, to, 3, 1)]
        };
        let last = table.len();
        let layer = |(index, &(from, to, kernel, stride)): (usize, &(i64, i64, i64, i64))| {
            let number = index + 1;
            let weight = if zero_residual && number == last { 0.0 } else { 1.0 };
            let convolution = scope / format!("conv{number}").as_str();
            let norm = scope / format!("bn{number}").as_str();
            (
                Convolution::of_encoder(&convolution, [from, to], kernel, stride),
                BatchNorm::affine(&norm, to, weight),
            )
        };
        let layers = table.iter().enumerate().map(layer).collect();
        let downsample = (stride != 1 || from != to).then(|| {
            let scope = scope / "downsample";
            (
                Convolution::of_encoder(&(&scope / "0"), [from, to], 1, stride),
                BatchNorm::affine(&(&scope / "1"), to, 1.0),
            )
        });
        Self { layers, downsample }
    }

    /// Takes its input twice, for the convolutions and for the shortcut, and gives its output so.
    fn forward(&self, [x, shortcut]: &[Tensor; 2], mode: Mode) -> [Tensor; 2] {
        let identity = match &self.downsample {
            Some((convolution, norm)) => norm.forward(&convolution.forward(shortcut), mode),
            None => shortcut.shallow_clone(),
        };
        let (mut map, mut norm) = (self.layers[0].0.forward(x), &self.layers[0].1);
        for (convolution, next_norm) in &self.layers[1..] {
            map = convolution.forward_after(norm, &map, mode);
            norm = next_norm;
        }
        norm.forward_add_relu(&map, &identity, mode)
    }
}
