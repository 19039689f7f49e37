//! A decoder of a ResNet's four maps to one fine map of embeddings, with group norm (VADeR, after panoptic FPN's).

use tch::Tensor;

use crate::encoder::{Architecture, Features};
use crate::layers::{Convolution, GroupNorm};
use crate::store::Scope;

/// The numbers of channels of a [`Decoder`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// Of the pyramid.
    pub pyramid: i64,
    /// Of the blocks and of the output.
    pub dim: i64,
    /// Groups of the norms, a divisor of `dim`.
    pub norm_groups: i64,
}

/// A pyramid over C2..C5 whose maps are enlarged step by step to the size of C2, by blocks of 3x3 convolution, group norm, ReLU
/// and bilinear enlargement; the sum of the four is embedded.
#[derive(Debug)]
pub(super) struct Decoder {
    laterals: [Convolution; 4],
    outputs: [Convolution; 4],
    blocks: [Vec<(Convolution, GroupNorm)>; 4],
    embed: Convolution,
}

impl Decoder {
    /// Builds `lateral2` to `lateral5`, `output2` to `output5`, `blocks2` to `blocks5` and `embed` below `scope`.
    pub(super) fn new(scope: &Scope, architecture: Architecture, widths: Widths) -> Self {
        let Widths { pyramid, dim, norm_groups } = widths;
        let channels = architecture.channels();
        let at = |part: &str, level: usize| scope / format!("{part}{}", level + 2).as_str();
        let lateral = |level| Convolution::of_head(&at("lateral", level), [channels[level], pyramid], true);
        let output = |level| Convolution::of_decoder(&at("output", level), [pyramid; 2], 3, true);
        let block = |level: usize, index: usize| {
            let scope = &at("blocks", level) / index.to_string().as_str();
            let channels = if index == 0 { [pyramid, dim] } else { [dim; 2] };
            let convolution = Convolution::of_decoder(&(&scope / "0"), channels, 3, false);
            (convolution, GroupNorm::new(&(&scope / "1"), dim, norm_groups))
        };
        Self {
            laterals: std::array::from_fn(lateral),
            outputs: std::array::from_fn(output),
            // C2 has a block too, though nothing to enlarge.
            blocks: std::array::from_fn(|level| (0..level.max(1)).map(|index| block(level, index)).collect()),
            embed: Convolution::of_head(&(scope / "embed"), [dim; 2], true),
        }
    }

    /// The maps of the four stages to `[B, D, h, w]` of the size of C2.
    pub(super) fn forward(&self, features: &Features) -> Tensor {
        let [c2, c3, c4, c5] = &features.maps[..] else { panic!("a decoder reads four maps") };
        let maps = [c2, c3, c4, c5];
        let mut merged = self.laterals[3].forward(c5);
        let mut sum = self.enlarged(3, &merged, maps);
        for level in (0..3).rev() {
            let above = merged.upsample_nearest2d(&maps[level].size()[2..], None, None);
            merged = self.laterals[level].forward(maps[level]) + above;
            sum += self.enlarged(level, &merged, maps);
        }
        self.embed.forward(&sum)
    }

    /// The pyramid's map of this level at the size of C2, which it reaches through the sizes of the `maps` below.
    fn enlarged(&self, level: usize, merged: &Tensor, maps: [&Tensor; 4]) -> Tensor {
        let mut map = self.outputs[level].forward(merged);
        for (index, (convolution, norm)) in self.blocks[level].iter().enumerate() {
            map = norm.forward(&convolution.forward(&map)).relu();
            if let Some(below) = level.checked_sub(index + 1) {
                map = map.upsample_bilinear2d(&maps[below].size()[2..], false, None, None);
            }
        }
        map
    }
}
