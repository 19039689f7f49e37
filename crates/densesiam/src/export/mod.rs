//! Taking what was trained elsewhere, under the names and in the files that other tools read themselves.

mod onnx;

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use densesiam_engine::checkpoint::{Checkpoint, tensors_to_safetensors};
use densesiam_nn::Architecture;
use densesiam_weights::{DType, StateDict, WriteError, write_detectron2, write_torch};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::file::{write_bytes, write_whole};
use crate::input::{DEVIATION, MEAN};
use crate::run::locate;
use crate::tasks::segment::matched_classes;

/// For whom weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The encoder under torchvision's names, as safetensors
    Safetensors,
    /// The encoder under torchvision's names, for torch.load: a .pth file
    Torchvision,
    /// The encoder under detectron2's names: a .pkl file
    Detectron2,
    /// The encoder for mmpretrain, mmdetection and mmsegmentation: a .pth file
    Openmmlab,
    /// The encoder for timm and the Hugging Face hub: a folder
    Timm,
    /// The encoder as a network, ONNX: pictures to C2, C3, C4 and C5
    Onnx,
    /// The segmentation as a network, ONNX: pictures to the logits of their pixels
    OnnxSegmentation,
}

impl Format {
    /// The file, or for timm the folder, that is written where nothing else is asked for.
    pub fn default_path(self) -> PathBuf {
        let name = match self {
            Self::Safetensors => "encoder.safetensors",
            Self::Torchvision | Self::Openmmlab => "encoder.pth",
            Self::Detectron2 => "encoder.pkl",
            Self::Timm => "encoder",
            Self::Onnx => "encoder.onnx",
            Self::OnnxSegmentation => "segmentation.onnx",
        };
        name.into()
    }
}

/// The encoder's tensors of a model's state, under torchvision's names (`conv1.weight`, `layer1.0.bn1.running_mean`,
/// ..., `num_batches_tracked` included, without `fc`).
pub fn encoder_tensors(state: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let of_encoder = |(name, tensor): &(String, Tensor)| {
        let encoder = name.strip_prefix("encoder.").or_else(|| name.strip_prefix("backbone."));
        encoder.map(|name| (name.to_owned(), tensor.shallow_clone()))
    };
    state.iter().filter_map(of_encoder).collect()
}

/// Writes what `format` says of a checkpoint to `out`, and returns what its user must know. `checkpoint` is a checkpoint's
/// folder, or a run directory, whose newest checkpoint is taken.
///
/// # Errors
/// When the checkpoint cannot be read, has not what the format needs, or the file cannot be written.
pub fn export(checkpoint: &Path, format: Format, out: &Path) -> Result<String, Error> {
    let (run, checkpoint) = locate(checkpoint)?;
    let architecture = architecture(&checkpoint)?;
    let name = format!("{architecture:?}").to_lowercase();
    let step = checkpoint.manifest.step.to_string();
    let encoder = encoder_tensors(&checkpoint.model);
    let safetensors = |path: &Path| {
        let metadata = [("architecture".to_owned(), name.clone()), ("step".to_owned(), step.clone())];
        tensors_to_safetensors(path, &encoder, &metadata.into())
    };
    match format {
        Format::Safetensors => safetensors(out).map(drop)?,
        Format::Torchvision | Format::Openmmlab => {
            let tensors = as_bytes(&encoder)?;
            let under = (format == Format::Openmmlab).then_some("state_dict");
            let meta = [("architecture", name.as_str()), ("step", &step), ("author", "densesiam")];
            let state = StateDict { tensors: &tensors, under, meta: &meta };
            write_whole(out, |file| write_torch(file, &state).map_err(|error| unwritten(out, error)))?;
        }
        Format::Detectron2 => {
            let tensors = as_bytes(&encoder)?;
            let written = |file: &mut _| write_detectron2(file, &tensors, "densesiam");
            write_whole(out, |file| written(file).map_err(|error| unwritten(out, error)))?;
        }
        Format::Timm => {
            fs::create_dir_all(out).map_err(|source| Error::file(out, source))?;
            safetensors(&out.join("model.safetensors"))?;
            let config = format!("{:#}\n", timm_config(architecture, &name));
            write_bytes(&out.join("config.json"), config.as_bytes())?;
        }
        Format::Onnx => write_bytes(out, &onnx::encoder(&as_bytes(&encoder)?)?)?,
        Format::OnnxSegmentation => {
            if checkpoint.manifest.run["task"] != "segment" {
                let message =
                    format!("{} is no segmentation; --format onnx writes its encoder", run.display());
                return Err(Error::Usage(message));
            }
            let classes = matched_classes(&run, checkpoint.manifest.step)?;
            write_bytes(out, &onnx::segmentation(&as_bytes(&checkpoint.model)?, classes.as_ref())?)?;
        }
    }
    let tensors = encoder.len();
    Ok(format!("{}: {}", out.display(), what_to_know(format, architecture, &name, tensors, out)))
}

fn architecture(checkpoint: &Checkpoint) -> Result<Architecture, Error> {
    let said = checkpoint.manifest.run["architecture"].clone();
    let unsaid = |_| Error::Usage(format!("{} does not say its architecture", checkpoint.path.display()));
    serde_json::from_value(said).map_err(unsaid)
}

/// Tensors on any device as bytes.
fn as_bytes(tensors: &[(String, Tensor)]) -> Result<Vec<densesiam_weights::Tensor>, Error> {
    let mut all = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (tensor, dtype) = match tensor.kind() {
            Kind::Int64 => (tensor.shallow_clone(), DType::I64),
            _ => (tensor.to_kind(Kind::Float), DType::F32),
        };
        let tensor = tensor.to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; tensor.numel() * dtype.size()];
        let copied = tensor.f_copy_data_u8(&mut bytes, tensor.numel());
        copied.map_err(|error| Error::Internal(error.to_string()))?;
        let (name, shape) = (name.clone(), tensor.size());
        all.push(densesiam_weights::Tensor { name, dtype, shape, bytes });
    }
    Ok(all)
}

fn unwritten(path: &Path, error: WriteError) -> Error {
    match error {
        WriteError::Io(source) => Error::file(path, source),
        other => Error::Weights { path: path.to_owned(), reason: other.to_string() },
    }
}

/// What timm and the hub keep beside the weights of a model without classifier.
fn timm_config(architecture: Architecture, name: &str) -> Value {
    let [.., channels] = architecture.channels();
    json!({
        "architecture": name,
        "num_classes": 0,
        "num_features": channels,
        "pretrained_cfg": {
            "tag": "densesiam",
            "custom_load": false,
            "input_size": [3, 224, 224],
            "fixed_input_size": false,
            "pool_size": [7, 7],
            "interpolation": "bilinear",
            "crop_pct": 0.875,
            "mean": MEAN,
            "std": DEVIATION,
            "num_classes": 0,
            "first_conv": "conv1",
            "classifier": "fc",
        },
    })
}

/// What was written, and what a user must set so that it is not silently ignored or fed other pictures.
fn what_to_know(
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
             0..1, normalised by the mean and std of the metadata; class_of_category in the metadata is the class that \
             each category was matched to at the last evaluation"
            .into(),
    }
}
