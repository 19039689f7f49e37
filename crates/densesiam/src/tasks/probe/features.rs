//! Frozen features, kept in memory: computed once, standardised, then read in every epoch.

use std::sync::Arc;

use densesiam_data::labelled::{LabelledBatch, LabelledLoader};
use densesiam_engine::log::Progress;
use densesiam_nn::EncoderSettings;
use densesiam_nn::{Architecture, Features, Mode, ResNet};
use densesiam_torch_ext::upload;
use tch::{Device, Kind, Tensor};

use super::plan::Plan;
use crate::error::Error;
use crate::recipe::probe::ProbeFeatures;
use densesiam_nn::input::Input;

/// Computes feature maps of pictures.
pub(super) struct Extractor {
    pub(super) encoder: ResNet,
    pub(super) input: Input,
    pub(super) features: ProbeFeatures,
}

impl Extractor {
    /// The maps of these pictures that the probe reads, each `[B, C, h, w]` with its own stride, in float32.
    pub(super) fn maps(&self, batch: &LabelledBatch) -> Vec<Tensor> {
        tch::no_grad(|| {
            let pictures = self.input.normalised(&batch.images, [batch.width, batch.height]);
            let Features { maps, .. } = self.encoder.forward(&pictures, Mode::Evaluate);
            self.features.stages().iter().map(|&stage| maps[stage].to_kind(Kind::Float)).collect()
        })
    }
}

/// How many labels across `length` pixels the layer is trained on: one for 4 pixels, whatever the encoder's strides.
pub(super) fn labels_across(length: u32) -> i64 {
    i64::from(length.div_ceil(4))
}

/// The features and labels of all training pictures.
pub(super) struct Examples {
    /// A map `[N, C, h, w]` for each stage that is read.
    pub(super) maps: Vec<Tensor>,
    /// The class of each cell at stride 4, `[N, side, side]` bytes; 255 is void.
    pub(super) labels: Tensor,
}

impl Examples {
    /// Reads the training pictures and computes their features.
    ///
    /// # Errors
    /// When a picture or label map cannot be read.
    pub(super) fn read(
        plan: &Plan,
        extractor: &Extractor,
        architecture: Architecture,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let (size, pictures) = (plan.recipe.probe.size, plan.training.len() as i64);
        let encoder = EncoderSettings { architecture, ..plan.recipe.encoder };
        let shapes = extractor.features.shapes(&encoder, size);
        let kept = (Kind::Float, plan.device);
        let empty = |&[channels, side]: &[i64; 2]| Tensor::empty([pictures, channels, side, side], kept);
        let maps: Vec<Tensor> = shapes.iter().map(empty).collect();
        let cells = labels_across(size);
        let labels = Tensor::empty([pictures, cells, cells], (Kind::Uint8, plan.device));
        let mut done = 0;
        for batch in LabelledLoader::new(Arc::clone(&plan.training), plan.reading)? {
            let batch = batch?;
            let count = batch.samples.len() as i64;
            for (all, map) in maps.iter().zip(extractor.maps(&batch)) {
                all.narrow(0, done, count).copy_(&map);
            }
            labels.narrow(0, done, count).copy_(&labels_at_stride_4(&batch, plan.device));
            done += count;
            progress.advance(done as u64);
        }
        Ok(Self { maps, labels })
    }

    /// Number of pictures.
    pub(super) fn len(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// Channels of all maps together.
    pub(super) fn channels(&self) -> i64 {
        self.maps.iter().map(|map| map.size()[1]).sum()
    }

    /// The maps and labels of some pictures.
    pub(super) fn batch(&self, samples: &[u64]) -> (Vec<Tensor>, Tensor) {
        let samples: Vec<i64> = samples.iter().map(|&sample| sample as i64).collect();
        let samples = upload(&samples, &[samples.len() as i64], self.labels.device());
        let maps = self.maps.iter().map(|map| map.index_select(0, &samples)).collect();
        (maps, self.labels.index_select(0, &samples).to_kind(Kind::Int64))
    }
}

/// The labels nearest to the centres of the cells of stride 4.
fn labels_at_stride_4(batch: &LabelledBatch, device: Device) -> Tensor {
    let (height, width) = (i64::from(batch.height), i64::from(batch.width));
    let count = batch.samples.len() as i64;
    let labels = Tensor::from_data_size(&batch.labels, &[count, height, width], Kind::Uint8);
    let nearest = |length: u32| {
        let (cells, length) = (labels_across(length), i64::from(length));
        Tensor::from_slice(
            &(0..cells).map(|cell| (2 * cell + 1) * length / (2 * cells)).collect::<Vec<i64>>(),
        )
    };
    labels.index_select(1, &nearest(batch.height)).index_select(2, &nearest(batch.width)).to_device(device)
}

/// Mean and deviation of every channel over the training pictures.
///
/// Channels of an encoder differ in scale by orders of magnitude, and those of two encoders even more. Without
/// standardising, the same learning rate and weight decay would mean something different for each of them, and the
/// probe would measure scales instead of what can be read off linearly. A linear layer can undo the scaling, so it
/// gives no other advantage.
pub(super) struct Standard {
    /// Mean and inverse deviation for each stage that is read, `[1, C, 1, 1]`.
    stages: Vec<(Tensor, Tensor)>,
}

impl Standard {
    /// Measures the examples, and standardises them to mean 0 and deviation 1. `None` if a feature is not finite.
    pub(super) fn apply_to_its_own(examples: &mut Examples) -> Option<Self> {
        let measure = |map: &Tensor| {
            let (variance, mean) = map.var_mean_dim([0i64, 2, 3].as_slice(), false, true);
            let deviation = variance.sqrt();
            // A channel that is constant in training carries no information; it becomes 0 in training and in
            // validation.
            let says_something = deviation.gt_tensor(&(deviation.max() * 1e-6));
            (mean, says_something.to_kind(Kind::Float) / deviation.clamp_min(f64::from(f32::MIN_POSITIVE)))
        };
        let stages: Vec<_> = tch::no_grad(|| examples.maps.iter().map(measure).collect());
        let finite = |(mean, factor): &(Tensor, Tensor)| {
            (mean.sum(Kind::Float) + factor.sum(Kind::Float)).double_value(&[]).is_finite()
        };
        let standard = stages.iter().all(finite).then_some(Self { stages })?;
        standard.apply(&mut examples.maps);
        Some(standard)
    }

    /// Standardises maps in place, by the mean and deviation of the training pictures.
    pub(super) fn apply(&self, maps: &mut [Tensor]) {
        tch::no_grad(|| {
            for (map, (mean, factor)) in maps.iter_mut().zip(&self.stages) {
                let _ = map.g_sub_(mean).g_mul_(factor);
            }
        });
    }
}
