//! A feature pyramid with norms (Lin et al. 2017), and the heads on it: of boxes, and of masks (He et al. 2017).

use densesiam_geometry::Region;
use densesiam_geometry::boxes::pyramid_level;
use densesiam_torch_ext::{roi_align, upload};
use tch::Tensor;

use super::mask_head::MaskHead;
use super::{Settings, numbers_of};
use crate::encoder::Features;
use crate::layers::{Linear, Mode};
use crate::normed_convolution::{NormedConvolution, all_relu};
use crate::store::{Initial, Scope, Store};

/// Channels of the box head's values.
const VALUES: i64 = 1024;

/// From C2..C5 to P2..P5: 1x1 convolutions, sums from the top down, and a 3x3 convolution at each level, each with a norm.
#[derive(Debug)]
pub(crate) struct NormedPyramid {
    /// From C2.
    laterals: [NormedConvolution; 4],
    /// From P2.
    outputs: [NormedConvolution; 4],
}

impl NormedPyramid {
    /// With these convolutions of each level, from C2 and P2.
    pub(crate) fn new(
        lateral: impl Fn(usize) -> NormedConvolution,
        output: impl Fn(usize) -> NormedConvolution,
    ) -> Self {
        Self { laterals: std::array::from_fn(lateral), outputs: std::array::from_fn(output) }
    }

    /// P2 to P5, `[B, width, h, w]` each.
    pub(crate) fn forward(&self, features: &Features, mode: Mode) -> [Tensor; 4] {
        let mut levels: [Tensor; 4] =
            std::array::from_fn(|level| self.laterals[level].forward(&features.maps[level], mode));
        for level in (0..3).rev() {
            let above = levels[level + 1].upsample_nearest2d(&levels[level].size()[2..], None, None);
            levels[level] = &levels[level] + above;
        }
        std::array::from_fn(|level| self.outputs[level].forward(&levels[level], mode))
    }
}

/// Four 3x3 convolutions with norms and ReLU, and a linear layer with ReLU, on the values of boxes.
#[derive(Debug)]
pub(crate) struct BoxHead {
    convolutions: [NormedConvolution; 4],
    linear: Linear,
}

impl BoxHead {
    /// With these convolutions, and a linear layer on all their outputs of a box.
    pub(crate) fn new(
        convolution: impl Fn(usize) -> NormedConvolution,
        linear: impl FnOnce() -> Linear,
    ) -> Self {
        Self { convolutions: std::array::from_fn(convolution), linear: linear() }
    }

    /// `[boxes, width, bins, bins]` to `[boxes, out]`.
    pub(crate) fn forward(&self, boxes: &Tensor, mode: Mode) -> Tensor {
        let map = all_relu(&self.convolutions, boxes, mode);
        self.linear.forward(&map.flatten(1, -1)).relu()
    }
}

/// The values of boxes, each with its picture, from the level of its size: `[boxes, width, bins, bins]`.
pub(super) fn pool(pyramid: &Features, boxes: &[(usize, Region)], bins: i64) -> Tensor {
    let levels: Vec<usize> = boxes.iter().map(|(_, region)| pyramid_level(region) - 2).collect();
    let mut order = Vec::new();
    let of_levels = (0..4).map(|level| {
        let of_level: Vec<usize> = (0..boxes.len()).filter(|&index| levels[index] == level).collect();
        let chosen: Vec<_> = of_level.iter().map(|&index| numbers_of(&boxes[index])).collect();
        order.extend(of_level);
        roi_align(&pyramid.maps[level], &chosen, 1.0 / f64::from(pyramid.strides[level]), bins)
    });
    let values = Tensor::cat(&of_levels.collect::<Vec<_>>(), 0);
    let mut places = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(place, index)| places[index] = place as i64);
    values.index_select(0, &upload(&places, &[places.len() as i64], values.device()))
}

/// The pyramid and its heads.
#[derive(Debug)]
pub(super) struct PyramidHeads {
    pyramid: NormedPyramid,
    box_head: BoxHead,
    pub(super) masks: Option<MaskHead>,
}

impl PyramidHeads {
    /// Channels of the values of a box.
    pub(super) const VALUES: i64 = VALUES;

    /// Below `backbone`, `roi_heads.box_head` and `roi_heads.mask_head`.
    pub(super) fn new(store: &Store, settings: &Settings, classes: i64) -> Self {
        let (root, width) = (store.root(), settings.detector.width as i64);
        let channels = settings.encoder.architecture.channels();
        let [backbone, box_head, mask_head] =
            ["backbone", "roi_heads.box_head", "roi_heads.mask_head"].map(|name| &root / name);
        let of_pyramid = |name: &str, level: usize, channels: i64, kernel: i64| {
            let scope = &backbone / format!("{name}{}", level + 2).as_str();
            let initial = Initial::XavierFanIn(channels * kernel * kernel);
            NormedConvolution::new([&scope, &(&scope / "norm")], [channels, width], kernel, initial)
        };
        let bins = settings.roi.bins_of(settings.detector.design);
        let inputs = width * bins * bins;
        let linear = || {
            let none = Some(Initial::Constant(0.0));
            Linear::with(&(&box_head / "fc1"), [inputs, VALUES], Initial::XavierFanIn(inputs), none)
        };
        Self {
            pyramid: NormedPyramid::new(
                |level| of_pyramid("fpn_lateral", level, channels[level], 1),
                |level| of_pyramid("fpn_output", level, width, 3),
            ),
            box_head: BoxHead::new(|index| head_convolution(&box_head, "conv", (index, width)), linear),
            masks: settings.detector.masks.then(|| MaskHead::new(&mask_head, width, classes)),
        }
    }

    /// P2 to P6, `[B, width, h, w]` each; the sides of the pictures are multiples of 32. P6 is every second cell of P5.
    pub(super) fn maps(&self, features: &Features, mode: Mode) -> Features {
        let mut maps = Vec::from(self.pyramid.forward(features, mode));
        maps.push(maps[3].slice(2, 0, None, 2).slice(3, 0, None, 2));
        let mut strides = features.strides.clone();
        strides.push(2 * strides[3]);
        Features { maps, strides }
    }

    /// The values of boxes, `[boxes, 1024]`.
    pub(super) fn values(
        &self,
        pyramid: &Features,
        boxes: &[(usize, Region)],
        bins: i64,
        mode: Mode,
    ) -> Tensor {
        self.box_head.forward(&pool(pyramid, boxes, bins), mode)
    }
}

/// One of a head's 3x3 convolutions: `conv1`, or `mask_fcn1`, and so on.
pub(super) fn head_convolution(scope: &Scope, name: &str, (index, width): (usize, i64)) -> NormedConvolution {
    let scope = scope / format!("{name}{}", index + 1).as_str();
    let initial = Initial::KaimingNormalFanOut;
    NormedConvolution::new([&scope, &(&scope / "norm")], [width, width], 3, initial)
}
