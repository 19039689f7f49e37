//! Exports trained models, with the names and file formats that other tools read directly.

mod detector;
mod notes;

use std::fs;
use std::path::{Path, PathBuf};

use densesiam_engine::checkpoint::tensors_to_safetensors;
use densesiam_nn::{Architecture, segment};
use densesiam_weights::onnx::{self, Categories, ClassOfCategory, NoTensor, Normalisation};
use densesiam_weights::{
    DType, StateDict, WriteError, write_detectron2, write_detectron2_model, write_torch,
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use detector::Detector;

use crate::error::Error;
use crate::file::{write_bytes, write_whole};
use crate::recipe::find;
use crate::recipe::segment::SegmentRecipe;
use crate::run::{Contents, locate};
use crate::segmentation::matched_classes;
use densesiam_nn::input::{DEVIATION, MEAN};

/// The tool that weights are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The encoder under torchvision's names, as safetensors.
    Safetensors,
    /// The encoder under torchvision's names, for torch.load: a .pth file.
    Torchvision,
    /// The encoder under detectron2's names: a .pkl file.
    Detectron2,
    /// A whole detector under detectron2's names: a .pkl file.
    Detectron2Detector,
    /// A detector's encoder and feature pyramid under torchvision's names: a .pth file.
    TorchvisionPyramid,
    /// The encoder for mmpretrain, mmdetection and mmsegmentation: a .pth file.
    Openmmlab,
    /// The encoder for timm and the Hugging Face hub: a folder.
    Timm,
    /// The encoder as a network, ONNX: pictures to C2, C3, C4 and C5.
    Onnx,
    /// The segmentation as a network, ONNX: pictures to the logits of their pixels.
    OnnxSegmentation,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 9] = [
        Self::Safetensors,
        Self::Torchvision,
        Self::Detectron2,
        Self::Detectron2Detector,
        Self::TorchvisionPyramid,
        Self::Openmmlab,
        Self::Timm,
        Self::Onnx,
        Self::OnnxSegmentation,
    ];

    /// The format's name on the command line, and one sentence about what is written.
    pub fn name_and_meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Safetensors => ("safetensors", "The encoder under torchvision's names, as safetensors"),
            Self::Torchvision => {
                ("torchvision", "The encoder under torchvision's names, for torch.load: a .pth file")
            }
            Self::Detectron2 => ("detectron2", "The encoder under detectron2's names: a .pkl file"),
            Self::Detectron2Detector => {
                ("detectron2-detector", "A whole detector under detectron2's names: a .pkl file")
            }
            Self::TorchvisionPyramid => (
                "torchvision-pyramid",
                "A detector's encoder and feature pyramid under torchvision's names: a .pth file",
            ),
            Self::Openmmlab => {
                ("openmmlab", "The encoder for mmpretrain, mmdetection and mmsegmentation: a .pth file")
            }
            Self::Timm => ("timm", "The encoder for timm and the Hugging Face hub: a folder"),
            Self::Onnx => ("onnx", "The encoder as a network, ONNX: pictures to C2, C3, C4 and C5"),
            Self::OnnxSegmentation => (
                "onnx-segmentation",
                "The segmentation as a network, ONNX: pictures to the logits of their pixels",
            ),
        }
    }

    /// The default path of the file that is written, or of the folder for timm.
    pub fn default_path(self) -> PathBuf {
        let name = match self {
            Self::Safetensors => "encoder.safetensors",
            Self::Torchvision | Self::Openmmlab => "encoder.pth",
            Self::Detectron2 => "encoder.pkl",
            Self::Detectron2Detector => "detector.pkl",
            Self::TorchvisionPyramid => "pyramid.pth",
            Self::Timm => "encoder",
            Self::Onnx => "encoder.onnx",
            Self::OnnxSegmentation => "segmentation.onnx",
        };
        name.into()
    }
}

/// Exports a checkpoint to `out` in `format`, and returns what the user must know about it. `checkpoint` is a
/// checkpoint's folder, or a run directory, whose newest checkpoint is taken.
///
/// # Errors
/// When the checkpoint cannot be read, does not hold what the format needs, or the file cannot be written.
pub fn export(checkpoint: &Path, format: Format, out: &Path) -> Result<String, Error> {
    let (run, checkpoint) = locate(checkpoint)?;
    let contents = Contents::read(&checkpoint)?;
    let architecture = contents.architecture;
    let name = architecture.key();
    let step = checkpoint.manifest.step.to_string();
    let encoder = contents.encoder_tensors(&checkpoint.model);
    let safetensors = |path: &Path| {
        let metadata = [("architecture".to_owned(), name.clone()), ("step".to_owned(), step.clone())];
        tensors_to_safetensors(path, &encoder, &metadata.into())
    };
    let for_torch = |tensors: &[densesiam_weights::Tensor], under| {
        let meta = [("architecture", name.as_str()), ("step", &step), ("author", "densesiam")];
        let state = StateDict { tensors, under, meta: &meta };
        write_whole(out, |file| write_torch(file, &state).map_err(|error| unwritten(out, error)))
    };
    let of_encoder = notes::Encoder { architecture, tensors: encoder.len() };
    let note = match format {
        Format::Safetensors => {
            safetensors(out)?;
            of_encoder.for_anyone()
        }
        Format::Torchvision => {
            for_torch(&as_bytes(&encoder)?, None)?;
            of_encoder.for_torchvision(out)
        }
        Format::Openmmlab => {
            for_torch(&as_bytes(&encoder)?, Some("state_dict"))?;
            of_encoder.for_openmmlab(out)
        }
        Format::TorchvisionPyramid => {
            let detector = Detector::of(&run, &contents)?;
            let tensors = detector.for_torchvision(&checkpoint.model)?;
            for_torch(&as_bytes(&tensors)?, None)?;
            notes::of_pyramid(&detector, tensors.len(), out)
        }
        Format::Detectron2Detector => {
            let detector = Detector::of(&run, &contents)?;
            let tensors = as_bytes(&detector.for_detectron2(&checkpoint.model)?)?;
            let written = |file: &mut _| write_detectron2_model(file, &tensors, "densesiam");
            write_whole(out, |file| written(file).map_err(|error| unwritten(out, error)))?;
            notes::of_detector(&detector, tensors.len(), out)
        }
        Format::Detectron2 => {
            let tensors = as_bytes(&encoder)?;
            let written = |file: &mut _| write_detectron2(file, &tensors, "densesiam");
            write_whole(out, |file| written(file).map_err(|error| unwritten(out, error)))?;
            of_encoder.for_detectron2(out)
        }
        Format::Timm => {
            fs::create_dir_all(out).map_err(|source| Error::file(out, source))?;
            safetensors(&out.join("model.safetensors"))?;
            let config = format!("{:#}\n", timm_config(architecture, &name));
            write_bytes(&out.join("config.json"), config.as_bytes())?;
            of_encoder.for_timm(out)
        }
        Format::Onnx => {
            write_bytes(out, &onnx::encoder(&as_bytes(&encoder)?, NORMALISATION)?)?;
            notes::ONNX.to_owned()
        }
        Format::OnnxSegmentation => {
            if contents.task != "segment" {
                let message =
                    format!("{} is no segmentation; --format onnx writes its encoder", run.display());
                return Err(Error::Usage(message));
            }
            let classes = matched_classes(&run, checkpoint.manifest.step)?;
            let classes = classes.as_ref().map(|classes| ClassOfCategory {
                step: classes.step,
                names: &classes.names,
                of_category: &classes.of_category,
            });
            let (categories, own) = categories(&run, &checkpoint.model)?;
            let tensors = [as_bytes(&checkpoint.model)?, as_bytes(&own)?].concat();
            let encoder = (&*contents.encoder, NORMALISATION);
            let network = onnx::segmentation(&tensors, encoder, categories, classes)?;
            write_bytes(out, &network)?;
            notes::ONNX_SEGMENTATION.to_owned()
        }
    };
    Ok(format!("{}: {note}", out.display()))
}

/// What gives the scores of a segmentation's categories in a graph, and the tensors of a convolution that does, under the names that it
/// has there.
///
/// # Errors
/// When the recipe of the run cannot be read, or the checkpoint lacks a tensor.
fn categories(run: &Path, model: &[(String, Tensor)]) -> Result<(Categories, Vec<(String, Tensor)>), Error> {
    const NAME: &str = "categories";
    let recipe: SegmentRecipe = find(&run.display().to_string(), &[])?;
    let tensor = |name: &str| {
        let found = model.iter().find(|(other, _)| other == name);
        let missing = || Error::Usage(format!("the checkpoint has no {name}, which its method segments by"));
        found.map(|(_, tensor)| tensor.shallow_clone()).ok_or_else(missing)
    };
    Ok(match recipe.method().categories() {
        segment::Categories::Projector => (Categories::Projector, vec![]),
        segment::Categories::Convolution { kernel, bias, unit } => {
            let kernel = tensor(kernel)?;
            let [categories, width] = [0, 1].map(|axis| kernel.size()[axis]);
            let mut own = vec![(format!("{NAME}.weight"), kernel.view([categories, width, 1, 1]))];
            if let Some(bias) = bias {
                own.push((format!("{NAME}.bias"), tensor(bias)?));
            }
            (Categories::Convolution { name: NAME, unit }, own)
        }
    })
}

const NORMALISATION: Normalisation = Normalisation { mean: MEAN, deviation: DEVIATION };

impl From<NoTensor> for Error {
    fn from(missing: NoTensor) -> Self {
        Error::Usage(missing.to_string())
    }
}

/// Converts tensors on any device to bytes.
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

/// The configuration that timm and the hub keep beside the weights of a model without a classifier.
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
