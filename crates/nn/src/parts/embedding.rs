//! An encoder and a projector of its pooled last map.

use tch::Tensor;

use crate::encoder::{ENCODER, EncoderSettings, ResNet};
use crate::heads::{Form, Head, Layers};
use crate::layers::Mode;
use crate::store::Scope;

/// An encoder `encoder` and a head `projector` on the mean of its last map.
#[derive(Debug)]
pub struct Embedding {
    /// The encoder.
    pub encoder: ResNet,
    /// The head.
    pub projector: Head,
}

impl Embedding {
    /// Below `scope`, with the hidden and output `channels` of the projector; 0 stands for the encoder's width.
    pub fn new(scope: &Scope, settings: &EncoderSettings, channels: &[i64], layers: Layers) -> Self {
        let width = settings.width();
        let channels: Vec<i64> =
            [0].iter().chain(channels).map(|&n| if n == 0 { width } else { n }).collect();
        Self {
            encoder: settings.build(&(scope / ENCODER.trim_end_matches('.'))),
            projector: Head::new(&(scope / "projector"), Form::Rows, &channels, layers),
        }
    }

    /// Pictures `[B, 3, H, W]` to embeddings `[B, D]`.
    pub fn forward(&self, pictures: &Tensor, mode: Mode) -> Tensor {
        self.projector.forward(&self.encoder.forward(pictures, mode).pooled(), mode)
    }
}
