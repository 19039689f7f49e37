//! The encoders that are probed: their names on the command line, and where their weights are.

use std::fmt;
use std::path::{Path, PathBuf};

use densesiam_nn::{Architecture, ResNet, Store};
use densesiam_nn::{ENCODER, EncoderSettings};
use tch::{Device, Kind};

use crate::encoder::of_checkpoint;
use crate::error::Error;
use crate::home;
use crate::import::import_encoder;

/// Where an encoder's weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Drawn from the seed, as pre-training draws them.
    Random,
    /// A run directory of a pre-training or segmentation, or one of its checkpoints.
    Checkpoint(PathBuf),
    /// A file of tensors under torchvision's names.
    Weights(PathBuf),
}

/// An encoder under the name of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedEncoder {
    /// The name of the group that the encoder belongs to.
    pub name: String,
    /// Where its weights come from.
    pub source: Source,
}

/// Divides the arguments of the command into encoders and settings: an argument with a dot before its `=` is a setting
/// (`data.root=DIR`), an argument without one is `NAME=ENCODER`.
///
/// # Errors
/// When an argument is neither, or when there is no encoder.
pub fn encoders_and_settings(arguments: &[String]) -> Result<(Vec<NamedEncoder>, Vec<String>), Error> {
    let (mut encoders, mut settings) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            // A path may hold both: `./run=1`.
            Some((key, _)) if key.contains(['/', '\\']) || key.is_empty() => {
                encoders.push(NamedEncoder::new(argument, argument)?);
            }
            Some((key, _)) if key.contains('.') => settings.push(argument.clone()),
            Some((name, encoder)) => encoders.push(NamedEncoder::new(name, encoder)?),
            None => encoders.push(NamedEncoder::new(argument, argument)?),
        }
    }
    if encoders.is_empty() {
        return Err(Error::Usage("no encoder is named; probe `random`, a run directory or a file".into()));
    }
    Ok((encoders, settings))
}

impl NamedEncoder {
    /// The encoder that `encoder` names, under this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(name: &str, encoder: &str) -> Result<Self, Error> {
        let path = &home::expand(Path::new(encoder))?;
        let source = match encoder {
            "random" => Source::Random,
            _ if path.is_dir() => Source::Checkpoint(path.to_owned()),
            _ if path.is_file() => Source::Weights(path.to_owned()),
            _ => {
                return Err(Error::Usage(format!(
                    "{encoder:?} is no encoder: give `random`, a run directory, a checkpoint's folder or a \
                     safetensors file, perhaps as NAME={encoder}; a setting has a dot in its key (probe.epochs=10)"
                )));
            }
        };
        Ok(Self { name: name.trim_end_matches('/').to_owned(), source })
    }

    /// Whether the encoder's weights depend on the seed.
    pub fn depends_on_seed(&self) -> bool {
        self.source == Source::Random
    }

    /// The encoder with its weights, and its architecture. A checkpoint states its architecture itself; for other
    /// sources `settings` state it.
    ///
    /// # Errors
    /// When the weights cannot be read, or are of another architecture.
    pub fn open(
        &self,
        settings: &EncoderSettings,
        device: Device,
        seed: u64,
    ) -> Result<(ResNet, Architecture), Error> {
        // The weights of a random encoder depend only on the seed and this name; they are those that a pre-training
        // starts from.
        let store = Store::new(Kind::Float, device, seed);
        let scope = &store.root() / ENCODER.trim_end_matches('.');
        Ok(match &self.source {
            Source::Random => (settings.build(&scope), settings.architecture),
            Source::Weights(path) => {
                let encoder = settings.build(&scope);
                import_encoder(&store, ENCODER, path)?;
                (encoder, settings.architecture)
            }
            Source::Checkpoint(path) => of_checkpoint(path, device, settings.output_stride)?,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => formatter.write_str("random"),
            Self::Checkpoint(path) | Self::Weights(path) => write!(formatter, "{}", path.display()),
        }
    }
}
