//! What all methods of segmentation share: the encoder with a pyramid on it, and two views whose maps correspond.

use densesiam_geometry::Fraction;
use densesiam_settings::{SettingError, within};
use densesiam_torch_ext::{sample, upload};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::encoder::{Architecture, Pyramid, ResNet};
use crate::layers::{Mode, both_views};
use crate::losses::loss_kind;
use crate::store::Scope;

/// What the names of the encoder's tensors begin with, as released.
pub const ENCODER: &str = "backbone.";

/// The encoder and the pyramid on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentEncoder {
    /// Which ResNet.
    pub architecture: Architecture,
    /// Start the last batch norm of each residual block at 0; not for segmentation (the paper, section 5.1).
    pub zero_residual: bool,
    /// Channels of the pyramid and of every head.
    pub width: i64,
}

impl Default for SegmentEncoder {
    fn default() -> Self {
        Self { architecture: Architecture::ResNet18, zero_residual: false, width: 128 }
    }
}

impl SegmentEncoder {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        within("encoder.width", self.width, 1..=2048, "channels")
    }
}

/// The two views of a batch.
#[derive(Debug)]
pub struct Views {
    /// View 1, which was cropped in pixels, and view 2, which is whole, unless the method takes one view: `[B, 3, size, size]`,
    /// normalised.
    pub pixels: Vec<Tensor>,
    /// Brings the features of view 2 to the crop and flip of view 1 ([`alignment`]), `[B, h, w, 2]`; `None` if both are aligned already.
    pub align: Option<Tensor>,
    /// The share of the batch's pictures that these are: 1 unless other processes have the others.
    pub share: f64,
}

impl Views {
    fn pair(&self) -> [Tensor; 2] {
        let [one, two] = &self.pixels[..] else {
            panic!("the method compares two views, not {}", self.pixels.len())
        };
        [one, two].map(Tensor::shallow_clone)
    }
}

/// Encoder and pyramid.
#[derive(Debug)]
pub struct Trunk {
    encoder: ResNet,
    pyramid: Pyramid,
}

impl Trunk {
    /// Builds both under the names of the released code, `backbone` and `decoder`.
    pub fn new(scope: &Scope, settings: &SegmentEncoder) -> Self {
        let architecture = settings.architecture;
        Self {
            encoder: ResNet::new(
                &(scope / ENCODER.trim_end_matches('.')),
                architecture,
                settings.zero_residual,
            ),
            pyramid: Pyramid::new(&(scope / "decoder"), architecture, settings.width),
        }
    }

    /// The pyramid's map: `[B, 3, H, W]` to `[B, width, H/4, W/4]`.
    pub fn forward(&self, pictures: &Tensor, mode: Mode) -> Tensor {
        self.pyramid.forward(&self.encoder.forward(pictures, mode))
    }

    /// The maps of both views in training mode, that of view 2 brought to the crop and flip of view 1. Each view has its own batch
    /// statistics.
    pub fn both(&self, views: &Views) -> [Tensor; 2] {
        let [maps] = both_views(views.pair(), |view, mode| [self.forward(view, mode)]);
        aligned(maps, views.align.as_ref())
    }

    /// The maps of both views with the running statistics.
    pub fn both_evaluated(&self, views: &Views) -> [Tensor; 2] {
        let maps = views.pair().map(|view| self.forward(&view, Mode::Evaluate));
        aligned(maps, views.align.as_ref())
    }
}

fn aligned([one, two]: [Tensor; 2], align: Option<&Tensor>) -> [Tensor; 2] {
    let two = align.map_or(two.shallow_clone(), |align| sample(&two, align));
    [one, two]
}

/// How the part of a map that a crop shows is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// From the whole map: a position at the border of the crop also sees the cells beside it.
    Whole,
    /// As if the crop had been cut out before, as the released code does: no cell beside it is seen.
    CutOut,
}

/// The grid that brings a whole view's features to the crop and flip of the other view: `[B, cells, cells, 2]`.
/// `boxes` are crop boxes within the whole view.
pub fn alignment(
    boxes: &[Fraction],
    flips: &[bool],
    (cells, reading): (usize, Reading),
    kind: Kind,
    device: Device,
) -> Tensor {
    let mut coordinates = Vec::with_capacity(boxes.len() * cells * cells * 2);
    let half = 0.5 / cells as f64;
    // The centres of the outermost cells of a crop are the last that need no cell beside it.
    let kept = |value: f64, low: f64, high: f64| match reading {
        Reading::Whole => value,
        Reading::CutOut => value.max(low + half).min((high - half).max(low + half)),
    };
    for (crop, &flip) in boxes.iter().zip(flips) {
        for row in 0..cells {
            for column in 0..cells {
                let column = if flip { cells - 1 - column } else { column };
                let centre = |index: usize| (index as f64 + 0.5) / cells as f64;
                let point = crop.at(centre(column), centre(row));
                let (x, y) = (kept(point.x, crop.x0, crop.x1), kept(point.y, crop.y0, crop.y1));
                coordinates.extend([2.0 * x - 1.0, 2.0 * y - 1.0]);
            }
        }
    }
    let side = cells as i64;
    upload(&coordinates, &[boxes.len() as i64, side, side, 2], device).to_kind(loss_kind(kind))
}
