//! What users of other tools must know about exported files.

use std::path::Path;

use densesiam_nn::Architecture;

use super::Format;
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
    let of_255 = |values: [f32; 3]| values.map(|value| format!("{:.3}", value * 255.0)).join(", ");
    let (mean, deviation) = (of_255(MEAN), of_255(DEVIATION));
    match format {
        Format::Safetensors => format!("{tensors} tensors of {name} under torchvision's names"),
        Format::Torchvision => format!(
            "{tensors} tensors of {name}
  model = torchvision.models.{name}()
  missing = model.load_state_dict(torch.load({:?}, weights_only=True), strict=False)
  assert all(name.startswith(\"fc.\") for name in missing.missing_keys) and not missing.unexpected_keys",
            file.to_string()
        ),
        Format::Detectron2 => {
            let depth = name.trim_start_matches("resnet");
            let narrow = match architecture {
                Architecture::ResNet18 | Architecture::ResNet34 => "\n  MODEL.RESNETS.RES2_OUT_CHANNELS 64",
                Architecture::ResNet50 | Architecture::ResNet101 => "",
            };
            format!(
                "{tensors} tensors of {name} under detectron2's names; its defaults are for another network, so set
  MODEL.WEIGHTS {file}
  MODEL.RESNETS.DEPTH {depth}{narrow}
  MODEL.RESNETS.STRIDE_IN_1X1 False
  MODEL.RESNETS.NORM SyncBN   (FrozenBN would keep statistics that were never made for the new pictures)
  MODEL.BACKBONE.FREEZE_AT 0
  MODEL.PIXEL_MEAN [{mean}]
  MODEL.PIXEL_STD [{deviation}]
  INPUT.FORMAT RGB"
            )
        }
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
