//! A fully convolutional network on a dilated ResNet (Long et al. 2015; FCN-D8 of the published evaluations): the semantic segmenter
//! whose scores say how well an encoder transfers to labels of pixels.
//!
//! ```text
//! C5 - 3x3 - 3x3 - (C5, .) - 3x3 - dropout - 1x1 - logits            C4 - 3x3 - dropout - 1x1 - auxiliary logits
//! ```
//!
//! Heads have mmsegmentation's names. All convolutions but the last have a batch norm and ReLU.

use densesiam_geometry::slide_windows;
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::{SettingError, require};
use densesiam_torch_ext::upload;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::encoder::{Dilated, ENCODER, EncoderSettings, ResNet};
use crate::layers::{Convolution, Mode};
use crate::losses::{loss_kind, weighed};
use crate::normed_convolution::{NormedConvolution, all_relu};
use crate::step::Step;
use crate::store::{Initial, Scope, Store};

/// Channels of the head's convolutions.
const WIDTH: i64 = 512;
/// Channels of the auxiliary head's convolution.
const AUXILIARY_WIDTH: i64 = 256;

/// The label of pixels that are not learned and not scored.
pub const IGNORED: i64 = 255;

/// The tables of a recipe that this network reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[encoder]`
    pub encoder: EncoderSettings,
    /// `[fcn]`
    pub fcn: FcnSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let encoder = EncoderSettings { output_stride: 8, ..EncoderSettings::default() };
        Self { encoder, fcn: FcnSettings::default() }
    }
}

impl Settings {
    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.encoder.validate()?;
        self.fcn.validate()
    }
}

/// The table `fcn`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FcnSettings {
    /// Whether maps are enlarged so that the centres of their corner cells, instead of their edges, stay in place: on in the
    /// published runs with crops of 769.
    pub align_corners: bool,
    /// Share of the channels before each last layer that are 0 in training.
    pub dropout: f64,
    /// Weight of the auxiliary head's loss; 0 turns the head off.
    pub auxiliary_weight: f64,
}

impl Default for FcnSettings {
    fn default() -> Self {
        Self { align_corners: true, dropout: 0.1, auxiliary_weight: 0.4 }
    }
}

impl FcnSettings {
    fn validate(&self) -> Result<(), SettingError> {
        require(
            (0.0..1.0).contains(&self.dropout),
            "fcn.dropout",
            &self.dropout,
            "a number from 0 to below 1",
        )?;
        let weight = self.auxiliary_weight;
        let possible = weight >= 0.0 && weight.is_finite();
        require(possible, "fcn.auxiliary_weight", &weight, "a finite number from 0")
    }
}

/// How a picture passes through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// As a whole.
    Whole,
    /// In overlapping windows, whose logits are averaged.
    Slide {
        /// Side of the windows, in pixels.
        crop: i64,
        /// Pixels from a window to the next.
        stride: i64,
    },
}

/// The network.
#[derive(Debug)]
pub struct Fcn {
    encoder: ResNet,
    head: MainHead,
    auxiliary: Option<(NormedConvolution, Convolution)>,
    settings: FcnSettings,
}

#[derive(Debug)]
struct MainHead {
    convolutions: [NormedConvolution; 2],
    joined: NormedConvolution,
    classifier: Convolution,
}

impl Fcn {
    /// Builds the network in `store` for `classes` classes: `encoder`, `decode_head` and `auxiliary_head`.
    pub fn new(store: &Store, settings: &Settings, classes: i64) -> Self {
        let root = store.root();
        let EncoderSettings { architecture, zero_residual, output_stride } = settings.encoder;
        let place = &root / ENCODER.trim_end_matches('.');
        let [.., c4, c5] = architecture.channels();
        let auxiliary = |scope: Scope| {
            let hidden = convolution(&(&scope / "convs.0"), [c4, AUXILIARY_WIDTH]);
            (hidden, classifier(&scope, [AUXILIARY_WIDTH, classes]))
        };
        Self {
            encoder: ResNet::dilated(&place, architecture, zero_residual, output_stride, Dilated::First),
            head: MainHead::new(&(&root / "decode_head"), c5, classes),
            auxiliary: (settings.fcn.auxiliary_weight > 0.0).then(|| auxiliary(&root / "auxiliary_head")),
            settings: settings.fcn,
        }
    }

    /// One step in training mode, up to the loss, for pictures `[B, 3, H, W]` and the classes of their pixels `[B, H, W]`, uint8 with
    /// [`IGNORED`]. `keys` `[B]` decide which channels drop out. `share` is the share of the batch that these pictures are.
    pub fn step(&self, pictures: &Tensor, labels: &Tensor, keys: &[Key], share: f64) -> Step {
        let labels = labels.to_kind(Kind::Int64);
        let [main, auxiliary] = self.logits_of_heads(pictures, Some(keys), Mode::Train { views: 1 });
        let main = main.map(|logits| self.loss(&logits, &labels));
        let auxiliary = auxiliary.map(|logits| self.loss(&logits, &labels) * self.settings.auxiliary_weight);
        let named = [("loss_main", main), ("loss_auxiliary", auxiliary)];
        let parts: Vec<_> =
            named.into_iter().filter_map(|(name, loss)| Some((name, weighed(loss?, share)))).collect();
        let loss = parts.iter().skip(1).fold(parts[0].1.shallow_clone(), |sum, (_, loss)| sum + loss);
        Step { loss, parts, counts: Vec::new(), watched: Vec::new() }
    }

    /// Passes pictures `[B, 3, H, W]` through the network so that a [`Population`](crate::Population) can measure them.
    pub fn measure(&self, pictures: &Tensor) {
        let _ = self.logits_of_heads(pictures, None, Mode::Measure);
    }

    /// The logits of pictures `[B, 3, H, W]` in evaluation mode, `[B, classes, H, W]` in the kind of the losses.
    pub fn logits(&self, pictures: &Tensor, inference: Inference) -> Tensor {
        let [height, width] = sides(pictures);
        match inference {
            Inference::Whole => self.logits_of_whole(pictures),
            Inference::Slide { crop, stride } => {
                let mut sum: Option<[Tensor; 2]> = None;
                for [top, left, bottom, right] in windows([height, width], crop, stride) {
                    let cut = |map: &Tensor| map.narrow(2, top, bottom - top).narrow(3, left, right - left);
                    let logits = self.logits_of_whole(&cut(pictures));
                    let [sum, count] = sum.get_or_insert_with(|| {
                        let size = [logits.size()[0], logits.size()[1], height, width];
                        [size, [1, 1, height, width]]
                            .map(|size| Tensor::zeros(size, (logits.kind(), logits.device())))
                    });
                    let _ = (cut(sum).g_add_(&logits), cut(count).g_add_scalar_(1.0));
                }
                // There is always a window.
                sum.map_or_else(|| self.logits_of_whole(pictures), |[sum, count]| sum / count)
            }
        }
    }

    /// The most likely class of each pixel of pictures `[B, 3, H, W]` at another size, `[B, height, width]`, int64.
    pub fn predict(&self, pictures: &Tensor, inference: Inference, size: [i64; 2]) -> Tensor {
        tch::no_grad(|| self.enlarged(&self.logits(pictures, inference), size).argmax(1, false))
    }

    fn logits_of_whole(&self, pictures: &Tensor) -> Tensor {
        let c5 = self.encoder.forward(pictures, Mode::Evaluate).last();
        let logits = self.head.forward(&c5, Mode::Evaluate, |map| map);
        self.enlarged(&logits.to_kind(loss_kind(logits.kind())), sides(pictures))
    }

    fn logits_of_heads(&self, pictures: &Tensor, keys: Option<&[Key]>, mode: Mode) -> [Option<Tensor>; 2] {
        let features = self.encoder.forward(pictures, mode);
        let drop =
            |head| move |map: Tensor| drop_channels(map, self.settings.dropout, keys.unwrap_or(&[]), head);
        let main = self.head.forward(&features.last(), mode, drop(0));
        let auxiliary = self.auxiliary.as_ref().map(|(hidden, classifier)| {
            let c4 = &features.maps[features.maps.len() - 2];
            classifier.forward(&drop(1)(hidden.forward_relu(c4, mode)))
        });
        [Some(main), auxiliary]
    }

    /// Cross-entropy, as a mean over **all** pixels: ignored ones count as 0, as in the published runs.
    fn loss(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let logits = logits.to_kind(loss_kind(logits.kind()));
        let size = labels.size();
        let enlarged = self.enlarged(&logits, [size[1], size[2]]);
        let sum = enlarged.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Sum, IGNORED, 0.0);
        sum / labels.numel().max(1) as f64
    }

    fn enlarged(&self, logits: &Tensor, size: [i64; 2]) -> Tensor {
        logits.upsample_bilinear2d(size, self.settings.align_corners, None, None)
    }
}

impl MainHead {
    fn new(scope: &Scope, channels: i64, classes: i64) -> Self {
        Self {
            convolutions: [
                convolution(&(scope / "convs.0"), [channels, WIDTH]),
                convolution(&(scope / "convs.1"), [WIDTH, WIDTH]),
            ],
            joined: convolution(&(scope / "conv_cat"), [channels + WIDTH, WIDTH]),
            classifier: classifier(scope, [WIDTH, classes]),
        }
    }

    fn forward(&self, c5: &Tensor, mode: Mode, drop: impl Fn(Tensor) -> Tensor) -> Tensor {
        let map = all_relu(&self.convolutions, c5, mode);
        let joined = self.joined.forward_relu(&Tensor::cat(&[c5, &map], 1), mode);
        self.classifier.forward(&drop(joined))
    }
}

fn convolution(scope: &Scope, channels: [i64; 2]) -> NormedConvolution {
    NormedConvolution::new([&(scope / "conv"), &(scope / "bn")], channels, 3, Initial::KaimingNormalFanOut)
}

fn classifier(scope: &Scope, channels: [i64; 2]) -> Convolution {
    let bias = Some(Initial::Constant(0.0));
    Convolution::of_kernel(&(scope / "conv_seg"), channels, 1, Initial::Normal(0.01), bias)
}

/// Sets a share of the channels of each sample of `[B, C, h, w]` to 0, and scales the others so that the mean stays. Without keys
/// nothing drops out.
fn drop_channels(map: Tensor, share: f64, keys: &[Key], head: u32) -> Tensor {
    if share == 0.0 || keys.is_empty() {
        return map;
    }
    let size = map.size();
    let factors = keys.iter().flat_map(|key| {
        let mut stream = Key { purpose: Purpose::Dropout, view: head, ..*key }.rng();
        let factor = move |_| if stream.random_bool(share) { 0.0 } else { (1.0 / (1.0 - share)) as f32 };
        (0..size[1]).map(factor)
    });
    let factors: Vec<f32> = factors.collect();
    let factors = upload(&factors, &[size[0], size[1], 1, 1], map.device()).to_kind(map.kind());
    map * factors
}

/// [`slide_windows`] with libtorch's whole numbers.
fn windows(size: [i64; 2], crop: i64, stride: i64) -> impl Iterator<Item = [i64; 4]> {
    let windows = slide_windows(size.map(|side| side as usize), crop as usize, stride as usize);
    windows.into_iter().map(|window| window.map(|edge| edge as i64))
}

fn sides(pictures: &Tensor) -> [i64; 2] {
    let size = pictures.size();
    [size[2], size[3]]
}
