//! Converts the loader's bytes to the encoder's input.

use densesiam_torch_ext::upload;
use tch::{Device, Kind, Tensor};

use crate::losses::loss_kind;

/// Mean of ImageNet's pictures, in 0..1; the usual normalisation with torchvision.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's pictures, in 0..1.
pub const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Normalises pictures on the device; its constants are copied there once.
#[derive(Debug)]
pub struct Input {
    mean: Tensor,
    deviation: Tensor,
    kind: Kind,
    device: Device,
}

impl Input {
    /// Makes the input of an encoder that takes pictures in `kind`, on `device`.
    pub fn new(kind: Kind, device: Device) -> Self {
        let row = |values: [f32; 3]| Tensor::from_slice(&values.map(|value| value * 255.0)).to_device(device);
        Self { mean: row(MEAN), deviation: row(DEVIATION), kind, device }
    }

    /// Interleaved RGB bytes `[B, height, width, 3]` to normalised `[B, 3, height, width]`, channels next to each other
    /// in memory. Bytes travel to the device; all else happens there.
    pub fn normalised(&self, bytes: &[u8], [width, height]: [u32; 2]) -> Tensor {
        let (width, height) = (i64::from(width), i64::from(height));
        let samples = bytes.len() as i64 / (width * height * 3);
        let rows = upload(bytes, &[samples * height, width * 3], self.device);
        // Computes a row of pixels at a time, because libtorch's loops cannot use vector instructions over three
        // numbers.
        let [mean, deviation] = [&self.mean, &self.deviation].map(|colour| colour.repeat([width]));
        let normalised = rows.to_kind(Kind::Float).g_sub_(&mean).g_div_(&deviation);
        normalised.view([samples, height, width, 3]).permute([0, 3, 1, 2]).to_kind(self.kind)
    }

    /// One byte for each pixel to `[B, height, width]` on the device, as they are.
    pub fn levels(&self, bytes: &[u8], [width, height]: [u32; 2]) -> Tensor {
        let (width, height) = (i64::from(width), i64::from(height));
        upload(bytes, &[bytes.len() as i64 / (width * height), height, width], self.device)
    }

    /// Where pictures travel.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The kind in which losses of such pictures are computed.
    pub fn kind_of_losses(&self) -> Kind {
        loss_kind(self.kind)
    }
}
