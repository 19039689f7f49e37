//! A trained encoder, opened for use.

use std::path::Path;

use densesiam_data::image::RgbImage;
use densesiam_nn::EncoderSettings;
use densesiam_nn::input::Input;
use densesiam_nn::{Architecture, Features, Mode, ResNet, Store};
use tch::{Device, Kind};

use crate::error::Error;
use crate::import::{fill_encoder, matchings, read_weights};
use crate::run::{Contents, locate};

/// A trained encoder.
///
/// ```no_run
/// use densesiam::encoder::Encoder;
/// use densesiam_data::decode::{DecodeLimits, decode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let encoder = Encoder::open("runs/mine".as_ref(), tch::Device::Cpu)?;
/// let picture = decode(&std::fs::read("picture.jpg")?, &DecodeLimits::default())?;
/// let features = encoder.features(&[&picture])?;
/// for (map, stride) in features.maps.iter().zip(&features.strides) {
///     println!("{:?} at stride {stride}", map.size());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Encoder {
    resnet: ResNet,
    architecture: Architecture,
    input: Input,
}

impl Encoder {
    /// The encoder of a run directory (its newest checkpoint), of a checkpoint's folder within one, or of a weights file of
    /// any tool that [`densesiam_weights`] reads.
    ///
    /// # Errors
    /// When there is none, or it is not of a supported architecture.
    pub fn open(path: &Path, device: Device) -> Result<Self, Error> {
        let (resnet, architecture) = if path.is_dir() {
            of_checkpoint(path, device, EncoderSettings::default().output_stride)?
        } else {
            of_file(path, device)?
        };
        Ok(Self { resnet, architecture, input: Input::new(Kind::Float, device) })
    }

    /// Which encoder it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The maps of pictures of one size, from the finest: `[B, C, height / stride, width / stride]`, float32, in evaluation
    /// mode and without gradient. Pictures are not resized.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no picture, or if the sizes differ.
    pub fn features(&self, pictures: &[&RgbImage]) -> Result<Features, Error> {
        let sizes: Vec<_> = pictures.iter().map(|picture| [picture.width, picture.height]).collect();
        let Some(&size) = sizes.first().filter(|first| sizes.iter().all(|size| size == *first)) else {
            return Err(Error::Usage(format!("all pictures must have one size, but these have {sizes:?}")));
        };
        let pixels = pictures.iter().map(|picture| picture.pixels.as_slice()).collect::<Vec<_>>().concat();
        Ok(tch::no_grad(|| self.resnet.forward(&self.input.normalised(&pixels, size), Mode::Evaluate)))
    }
}

/// The encoder of a run directory or checkpoint, with maps no coarser than `output_stride`. It keeps the element type of its weights.
///
/// # Errors
/// When there is no checkpoint, or it does not hold a whole encoder.
pub(crate) fn of_checkpoint(
    path: &Path,
    device: Device,
    output_stride: u32,
) -> Result<(ResNet, Architecture), Error> {
    let (_, checkpoint) = locate(path)?;
    let contents = Contents::read(&checkpoint)?;
    let store = Store::new(Kind::Float, device, 0);
    let resnet = ResNet::with_output_stride(&store.root(), contents.architecture, false, output_stride);
    store
        .load(&contents.encoder_tensors(&checkpoint.model))
        .map_err(|error| Error::Weights { path: checkpoint.path.clone(), reason: error.to_string() })?;
    Ok((resnet, contents.architecture))
}

fn of_file(path: &Path, device: Device) -> Result<(ResNet, Architecture), Error> {
    let refused = |reason: String| Error::Weights { path: path.to_owned(), reason };
    let file = read_weights(path)?;
    let fitting = matchings(&file).flatten().find(|(_, matching)| matching.fits());
    let none = || refused("it does not hold a supported encoder; `densesiam inspect` says what it is".into());
    let (architecture, _) = fitting.ok_or_else(none)?;
    let store = Store::new(Kind::Float, device, 0);
    let resnet = ResNet::new(&store.root(), architecture, false);
    fill_encoder(&store, "", path, &file)?;
    Ok((resnet, architecture))
}
