//! ResNet-18, 34, 50 and 101 without global pooling and classifier, named as torchvision names them.
//!
//! Stride on the 3x3 convolution of a bottleneck (v1.5). All four stages are returned: pre-training uses C5, the
//! feature pyramid of segmentation all of them.

use densesiam_torch_ext::max_pool;
use tch::Tensor;

use super::{Architecture, Features};
use crate::layers::{BatchNorm, Convolution, Mode};
use crate::store::Scope;

/// A ResNet.
#[derive(Debug)]
pub struct ResNet {
    stem: (Convolution, BatchNorm),
    stages: [Vec<Block>; 4],
    strides: [u32; 4],
}

impl ResNet {
    /// Builds the encoder below `scope`. With `zero_residual` the last batch norm of each residual block starts at
    /// weight 0, so that every block starts as the identity (the paper, section 5.1; Goyal et al. 2017).
    pub fn new(scope: &Scope, architecture: Architecture, zero_residual: bool) -> Self {
        Self::with_output_stride(scope, architecture, zero_residual, architecture.stride())
    }

    /// The same encoder with maps no coarser than `output_stride`, a power of two from 8. Beyond it a stage is dilated
    /// instead of having a stride (Yu and Koltun 2016): its map has the cells of the undilated map, and others between
    /// them. The weights fit both.
    pub fn with_output_stride(
        scope: &Scope,
        architecture: Architecture,
        zero_residual: bool,
        output_stride: u32,
    ) -> Self {
        Self::dilated(scope, architecture, zero_residual, output_stride, Dilated::Every)
    }

    /// The same encoder with a choice of the convolutions that are dilated.
    pub fn dilated(
        scope: &Scope,
        architecture: Architecture,
        zero_residual: bool,
        output_stride: u32,
        dilated: Dilated,
    ) -> Self {
        let strides = architecture.strides().map(|stride| stride.min(output_stride));
        let dilation = |stage: usize| i64::from(architecture.strides()[stage] / strides[stage]);
        let stem = (
            Convolution::of_encoder(&(scope / "conv1"), [3, 64], 7, [2, 1]),
            BatchNorm::affine(&(scope / "bn1"), 64, 1.0),
        );
        let mut from = 64;
        let stages = std::array::from_fn(|stage| {
            let scope = scope / format!("layer{}", stage + 1).as_str();
            let to = architecture.channels()[stage];
            let blocks = (0..architecture.blocks()[stage]).map(|index| {
                let before = if index == 0 { stage.saturating_sub(1) } else { stage };
                let spacing = Spacing {
                    stride: i64::from(strides[stage] / strides[before]),
                    before: dilation(before),
                    after: if dilated == Dilated::Every { dilation(stage) } else { 1 },
                };
                let scope = &scope / index.to_string().as_str();
                let bottleneck = architecture.has_bottlenecks();
                Block::new(&scope, [std::mem::replace(&mut from, to), to], spacing, bottleneck, zero_residual)
            });
            blocks.collect()
        });
        Self { stem, stages, strides }
    }

    /// `[B, 3, H, W]` to the maps of the four stages.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Features {
        self.first_stages(x, self.stages.len(), mode)
    }

    /// `[B, 3, H, W]` to the maps of the first stages.
    pub fn first_stages(&self, x: &Tensor, stages: usize, mode: Mode) -> Features {
        let (convolution, norm) = &self.stem;
        let stem = norm.forward_relu(&convolution.forward(x), mode);
        let stem = max_pool(&stem);
        let mut map = [stem.shallow_clone(), stem];
        let maps = self.stages.iter().take(stages).map(|blocks| {
            map = blocks
                .iter()
                .fold(map.each_ref().map(Tensor::shallow_clone), |x, block| block.forward(&x, mode));
            map[0].shallow_clone()
        });
        Features { maps: maps.collect(), strides: self.strides.iter().copied().take(stages).collect() }
    }

    /// The last stage alone, which detectors apply to the values of boxes: `[B, C4, h, w]` to `[B, C5, h', w']`.
    pub fn last_stage(&self, x: &Tensor, mode: Mode) -> Tensor {
        let [.., last] = &self.stages;
        let x = [x.shallow_clone(), x.shallow_clone()];
        let [map, _] = last.iter().fold(x, |x, block| block.forward(&x, mode));
        map
    }
}

/// Which 3x3 convolutions of the basic blocks of a dilated stage are dilated. Bottlenecks have only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dilated {
    /// All, so that the map has the cells of the undilated map, and others between them.
    Every,
    /// The first of each block, as in the published segmenters of this depth.
    First,
}

/// How far apart the cells are that a block reads and writes.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    /// Of its first 3x3 convolution and of its shortcut.
    stride: i64,
    /// The dilation of its first 3x3 convolution.
    before: i64,
    /// The dilation of the 3x3 convolutions after that.
    after: i64,
}

/// A residual block: two 3x3 convolutions (basic), or 1x1, 3x3, 1x1 (bottleneck), and a projection where the shape
/// changes.
#[derive(Debug)]
struct Block {
    layers: Vec<(Convolution, BatchNorm)>,
    downsample: Option<(Convolution, BatchNorm)>,
}

impl Block {
    fn new(
        scope: &Scope,
        [from, to]: [i64; 2],
        spacing: Spacing,
        bottleneck: bool,
        zero_residual: bool,
    ) -> Self {
        let Spacing { stride, before, after } = spacing;
        // (channels in, channels out, kernel, [stride, dilation]) of each convolution.
        let table = if bottleneck {
            let width = to / 4;
            vec![(from, width, 1, [1, 1]), (width, width, 3, [stride, before]), (width, to, 1, [1, 1])]
        } else {
            vec![(from, to, 3, [stride, before]), (to, to, 3, [1, after])]
        };
        let last = table.len();
        let layer = |(index, &(from, to, kernel, spacing)): (usize, &(i64, i64, i64, [i64; 2]))| {
            let number = index + 1;
            let weight = if zero_residual && number == last { 0.0 } else { 1.0 };
            let convolution = scope / format!("conv{number}").as_str();
            let norm = scope / format!("bn{number}").as_str();
            (
                Convolution::of_encoder(&convolution, [from, to], kernel, spacing),
                BatchNorm::affine(&norm, to, weight),
            )
        };
        let layers = table.iter().enumerate().map(layer).collect();
        let downsample = (stride != 1 || from != to).then(|| {
            let scope = scope / "downsample";
            (
                Convolution::of_encoder(&(&scope / "0"), [from, to], 1, [stride, 1]),
                BatchNorm::affine(&(&scope / "1"), to, 1.0),
            )
        });
        Self { layers, downsample }
    }

    /// Takes its input twice, for the convolutions and for the shortcut, and returns its output twice as well.
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
