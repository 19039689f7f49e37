//! What users of other tools must know about exported files.

use std::path::Path;

use densesiam_nn::Architecture;
use densesiam_nn::detect::{Design, Settings};

use super::Format;
use super::detector::Detector;
use densesiam_nn::input::{DEVIATION, MEAN};

/// What was written, and what a user must set so that the weights are not silently ignored, nor the pictures prepared
/// differently.
pub(super) fn what_to_know(
    format: Format,
    architecture: Architecture,
    name: &str,
    tensors: usize,
    out: &Path,
) -> String {
    let file = out.display();
    let [mean, deviation] = [MEAN, DEVIATION].map(of_255);
    match format {
        Format::Detectron2Detector | Format::TorchvisionPyramid => format!("{tensors} tensors of {name}"),
        Format::Safetensors => format!("{tensors} tensors of {name} under torchvision's names"),
        Format::Torchvision => format!(
            "{tensors} tensors of {name}
  model = torchvision.models.{name}()
  missing = model.load_state_dict(torch.load({:?}, weights_only=True), strict=False)
  assert all(name.startswith(\"fc.\") for name in missing.missing_keys) and not missing.unexpected_keys",
            file.to_string()
        ),
        Format::Detectron2 => format!(
            "{tensors} tensors of {name} under detectron2's names; its defaults are for another network, so set\n{}",
            of_detectron2(architecture, out)
        ),
        Format::Openmmlab => {
            let depth = name.trim_start_matches("resnet");
            format!(
                "{tensors} tensors of {name}
  backbone=dict(type=\"ResNet\", depth={depth}, style=\"pytorch\",
                init_cfg=dict(type=\"Pretrained\", checkpoint={:?}))
  data_preprocessor=dict(mean=[{mean}], std=[{deviation}], bgr_to_rgb=True)
  Not type=\"ResNetV1c\", which many of mmsegmentation's configurations have: its stem is another one, and the weights of
  this one would be left out with no more than a line in the log.",
                file.to_string()
            )
        }
        Format::Timm => format!(
            "{tensors} tensors of {name}
  model = timm.create_model(\"local-dir:{file}\", pretrained=True)
  The folder can be uploaded to the Hugging Face hub as it is."
        ),
        Format::Onnx => "images [batch, 3, height, width] to c2, c3, c4, c5 at strides 4, 8, 16, 32; RGB in 0..1, \
             normalised by the mean and std of the metadata"
            .into(),
        Format::OnnxSegmentation => "images [batch, 3, height, width] to logits [batch, categories, height, width]; RGB in \
             0..1, normalised by the mean and std of the metadata; where this checkpoint was evaluated, class_of_category \
             in the metadata is the class that each category was matched to"
            .into(),
    }
}

/// What a user of detectron2 must set for an encoder.
fn of_detectron2(architecture: Architecture, out: &Path) -> String {
    let (file, name) = (out.display(), architecture.key());
    let depth = name.trim_start_matches("resnet");
    let narrow = match architecture {
        Architecture::ResNet18 | Architecture::ResNet34 => "\n  MODEL.RESNETS.RES2_OUT_CHANNELS 64",
        Architecture::ResNet50 | Architecture::ResNet101 => "",
    };
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

/// What a user of detectron2 must know about a whole detector.
pub(super) fn of_detector(detector: &Detector, tensors: usize, out: &Path) -> String {
    let Settings { detector: settings, encoder, .. } = &detector.recipe.model;
    let (sizes, ratios) = (&settings.anchor_sizes, &settings.anchor_ratios);
    let levels = |sizes: Vec<String>| format!("[{}]", sizes.join(", "));
    let network = match settings.design {
        Design::C4 => "  MODEL.ROI_HEADS.NAME Res5ROIHeadsExtraNorm   (of MoCo's and DenseCL's code)
  MODEL.RPN.HEAD_NAME StandardRPNHead"
            .to_owned(),
        Design::Fpn => format!(
            "  MODEL.BACKBONE.NAME build_resnet_fpn_backbone
  MODEL.FPN.NORM SyncBN
  MODEL.FPN.OUT_CHANNELS {width}
  MODEL.ROI_HEADS.NAME StandardROIHeads
  MODEL.ROI_BOX_HEAD NAME FastRCNNConvFCHead, NUM_CONV 4, NUM_FC 1, CONV_DIM {width}, NORM SyncBN
  MODEL.ROI_MASK_HEAD NUM_CONV 4, CONV_DIM {width}, NORM SyncBN
  MODEL.MASK_ON {masks}",
            width = settings.width,
            masks = if settings.masks { "True" } else { "False" },
        ),
    };
    let sizes = match settings.design {
        Design::C4 => format!("[{}]", levels(sizes.iter().map(f64::to_string).collect())),
        Design::Fpn => levels(sizes.iter().map(|size| format!("[{size}]")).collect()),
    };
    format!(
        "{tensors} tensors of the detector under detectron2's names; its defaults are for another network, so set
{}
{network}
  MODEL.ANCHOR_GENERATOR.SIZES {sizes}
  MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS [{ratios:?}]
  MODEL.ROI_HEADS.NUM_CLASSES {}   ({})",
        of_detectron2(encoder.architecture, out),
        detector.classes.len(),
        detector.classes.join(", ")
    )
}

/// What a user of torchvision must know about a detector's encoder and pyramid.
pub(super) fn of_pyramid(detector: &Detector, tensors: usize, out: &Path) -> String {
    let Settings { detector: settings, encoder, .. } = &detector.recipe.model;
    let (name, channels) = (encoder.architecture.key(), encoder.architecture.channels());
    let pyramid = match settings.width {
        256 => String::new(),
        width => format!(
            "
  backbone.fpn = torchvision.ops.FeaturePyramidNetwork(
      {channels:?}, {width}, torchvision.ops.feature_pyramid_network.LastLevelMaxPool(), torch.nn.BatchNorm2d)"
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

/// Three numbers of pictures in 0..1 for those in 0..255.
fn of_255(values: [f32; 3]) -> String {
    values.map(|value| format!("{:.3}", value * 255.0)).join(", ")
}
