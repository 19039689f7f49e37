//! What users of other tools must know about exported files: what was written, and what they must set so that the weights are not
//! silently ignored, nor the pictures prepared differently.

use std::path::Path;

use densesiam_nn::Architecture;
use densesiam_nn::detect::{Design, Settings};

use super::detector::Detector;
use densesiam_nn::input::{DEVIATION, MEAN};

/// `resnet18`, and how many of its tensors were written.
#[derive(Clone, Copy)]
pub(super) struct Encoder {
    pub(super) architecture: Architecture,
    pub(super) tensors: usize,
}

impl Encoder {
    pub(super) fn for_anyone(self) -> String {
        format!("{} under torchvision's names", self.written())
    }

    pub(super) fn for_torchvision(self, out: &Path) -> String {
        format!(
            "{}
  model = torchvision.models.{}()
  missing = model.load_state_dict(torch.load({:?}, weights_only=True), strict=False)
  assert all(name.startswith(\"fc.\") for name in missing.missing_keys) and not missing.unexpected_keys",
            self.written(),
            self.architecture.key(),
            out.display().to_string()
        )
    }

    pub(super) fn for_detectron2(self, out: &Path) -> String {
        let keys = detectron2_keys(self.architecture, out);
        format!(
            "{} under detectron2's names; its defaults are for another network, so set\n{keys}",
            self.written()
        )
    }

    pub(super) fn for_openmmlab(self, out: &Path) -> String {
        let name = self.architecture.key();
        let [mean, deviation] = [MEAN, DEVIATION].map(of_255);
        format!(
            "{}
  backbone=dict(type=\"ResNet\", depth={}, style=\"pytorch\",
                init_cfg=dict(type=\"Pretrained\", checkpoint={:?}))
  data_preprocessor=dict(mean=[{mean}], std=[{deviation}], bgr_to_rgb=True)
  Not type=\"ResNetV1c\", which many of mmsegmentation's configurations have: its stem is another one, and the weights of
  this one would be left out with no more than a line in the log.",
            self.written(),
            name.trim_start_matches("resnet"),
            out.display().to_string()
        )
    }

    pub(super) fn for_timm(self, out: &Path) -> String {
        format!(
            "{}
  model = timm.create_model(\"local-dir:{}\", pretrained=True)
  The folder can be uploaded to the Hugging Face hub as it is.",
            self.written(),
            out.display()
        )
    }

    fn written(self) -> String {
        format!("{} tensors of {}", self.tensors, self.architecture.key())
    }
}

/// The networks that are written as a graph.
pub(super) const ONNX: &str = "images [batch, 3, height, width] to c2, c3, c4, c5 at strides 4, 8, 16, 32; RGB in 0..1, \
     normalised by the mean and std of the metadata";
pub(super) const ONNX_SEGMENTATION: &str = "images [batch, 3, height, width] to logits [batch, categories, height, width]; \
     RGB in 0..1, normalised by the mean and std of the metadata; where this checkpoint was evaluated, class_of_category in the \
     metadata is the class that each category was matched to";

/// Of a whole detector, for detectron2.
pub(super) fn of_detector(detector: &Detector, tensors: usize, out: &Path) -> String {
    let Settings { detector: settings, encoder, rpn, roi } = &detector.recipe.model;
    let (design, sizes, ratios) = (settings.design, &settings.anchor_sizes, &settings.anchor_ratios);
    let network = match design {
        Design::C4 => {
            "  MODEL.ROI_HEADS.NAME Res5ROIHeadsExtraNorm   (of MoCo's and DenseCL's code)".to_owned()
        }
        Design::Fpn => format!(
            "  MODEL.BACKBONE.NAME build_resnet_fpn_backbone
  MODEL.RESNETS.OUT_FEATURES [res2, res3, res4, res5]
  MODEL.FPN.IN_FEATURES [res2, res3, res4, res5]
  MODEL.FPN.OUT_CHANNELS {width}
  MODEL.FPN.NORM SyncBN
  MODEL.RPN.IN_FEATURES [p2, p3, p4, p5, p6]
  MODEL.ROI_HEADS.NAME StandardROIHeads
  MODEL.ROI_HEADS.IN_FEATURES [p2, p3, p4, p5]
  MODEL.ROI_BOX_HEAD.NAME FastRCNNConvFCHead
  MODEL.ROI_BOX_HEAD.NUM_CONV 4
  MODEL.ROI_BOX_HEAD.NUM_FC 1
  MODEL.ROI_BOX_HEAD.CONV_DIM {width}
  MODEL.ROI_BOX_HEAD.NORM SyncBN
  MODEL.MASK_ON {masks}
  MODEL.ROI_MASK_HEAD.NAME MaskRCNNConvUpsampleHead
  MODEL.ROI_MASK_HEAD.NUM_CONV 4
  MODEL.ROI_MASK_HEAD.CONV_DIM {width}
  MODEL.ROI_MASK_HEAD.NORM SyncBN",
            width = settings.width,
            masks = if settings.masks { "True" } else { "False" },
        ),
    };
    let sizes = match design {
        Design::C4 => format!("[{sizes:?}]"),
        Design::Fpn => format!("{:?}", sizes.iter().map(|size| [size]).collect::<Vec<_>>()),
    };
    format!(
        "{tensors} tensors of the detector under detectron2's names; its defaults are for another network, so set
{}
{network}
  MODEL.ANCHOR_GENERATOR.SIZES {sizes}
  MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS [{ratios:?}]
  MODEL.RPN.BBOX_REG_WEIGHTS {:?}
  MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS {:?}
  MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION {}
  MODEL.ROI_HEADS.NUM_CLASSES {}   ({})",
        detectron2_keys(encoder.architecture, out),
        rpn.coding,
        roi.coding,
        roi.bins_of(design),
        detector.classes.len(),
        detector.classes.join(", ")
    )
}

/// Of a detector's encoder and pyramid, for torchvision.
pub(super) fn of_pyramid(detector: &Detector, tensors: usize, out: &Path) -> String {
    let Settings { detector: settings, encoder, .. } = &detector.recipe.model;
    let (name, channels) = (encoder.architecture.key(), encoder.architecture.channels());
    let pyramid = match settings.width {
        256 => String::new(),
        width => format!(
            "
  backbone.fpn = torchvision.ops.FeaturePyramidNetwork(
      {channels:?}, {width}, torchvision.ops.feature_pyramid_network.LastLevelMaxPool(), torch.nn.BatchNorm2d)
  backbone.out_channels = {width}"
        ),
    };
    format!(
        "{tensors} tensors of {name} and its feature pyramid
  backbone = torchvision.models.detection.backbone_utils._resnet_fpn_extractor(
      torchvision.models.{name}(), 5, norm_layer=torch.nn.BatchNorm2d){pyramid}
  backbone.load_state_dict(torch.load({:?}, weights_only=True))
  torchvision's detectors count the classes from 1 and have heads of another form; train these anew.",
        out.display().to_string()
    )
}

/// What must be set for an encoder in detectron2, a key a line.
fn detectron2_keys(architecture: Architecture, out: &Path) -> String {
    let (file, name) = (out.display(), architecture.key());
    let depth = name.trim_start_matches("resnet");
    let narrow = if architecture.has_bottlenecks() { "" } else { "\n  MODEL.RESNETS.RES2_OUT_CHANNELS 64" };
    let [mean, deviation] = [MEAN, DEVIATION].map(of_255);
    format!(
        "  MODEL.WEIGHTS {file}
  MODEL.RESNETS.DEPTH {depth}{narrow}
  MODEL.RESNETS.STRIDE_IN_1X1 False
  MODEL.RESNETS.NORM SyncBN   (FrozenBN would keep statistics that were never made for the new pictures)
  MODEL.BACKBONE.FREEZE_AT 0
  MODEL.PIXEL_MEAN [{mean}]
  MODEL.PIXEL_STD [{deviation}]
  INPUT.FORMAT RGB"
    )
}

/// Three numbers of pictures in 0..1 for those in 0..255.
fn of_255(values: [f32; 3]) -> String {
    values.map(|value| format!("{:.3}", value * 255.0)).join(", ")
}
