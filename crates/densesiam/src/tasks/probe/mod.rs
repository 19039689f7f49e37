//! A dense linear probe from start to end, with its whole loop. One linear layer is trained on the frozen features of a
//! labelled set, and scored by mIoU. In minutes this measures how well the classes can be read off an encoder.

mod encoder;
mod features;
mod plan;
mod summary;

use std::sync::Arc;

use densesiam_data::labelled::{LabelledLoader, VOID};
use densesiam_data::order::{Order, steps_per_epoch};
use densesiam_engine::device::set_threads;
use densesiam_engine::log::{Progress, Voice};
use densesiam_engine::optimizer::{GroupRule, Optimizer, OptimizerSettings};
use densesiam_metrics::{ConfusionMatrix, Matching, SegmentationScores};
use densesiam_nn::{Architecture, Convolution, Store};
use densesiam_settings::duration::Horizon;
use densesiam_settings::schedule::{LearningRate, ScheduleSettings};
use tch::{Kind, Reduction, Tensor};

pub use encoder::{NamedEncoder, Source, encoders_and_settings};
pub use plan::Plan;
pub use summary::{Group, summarise};

use crate::error::Error;
use crate::recipe::probe::ProbeFeatures;
use crate::tasks::segment::Absent;
use densesiam_nn::input::Input;
use features::{Examples, Extractor, Standard, labels_across};

/// The result of one layer on one encoder.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The group of the encoder.
    pub name: String,
    /// Where its weights come from.
    pub source: Source,
    /// Which ResNet.
    pub architecture: Architecture,
    /// The seed of the layer, and of the encoder if that is random.
    pub seed: u64,
    /// The mean loss over the last epoch.
    pub loss: f64,
    /// mIoU and related scores on the validation pictures.
    pub scores: SegmentationScores,
    /// The classes that the scores say nothing about.
    pub absent: Absent,
}

/// Probes every encoder with every seed, as planned, and prints each result. Nothing is written to disk.
///
/// # Errors
/// When pictures or weights cannot be read, or an encoder has no finite features.
pub fn probe(plan: &Plan, voice: &Voice) -> Result<Vec<Figure>, Error> {
    set_threads(plan.threads);
    let mut figures = Vec::new();
    for encoder in &plan.encoders {
        // A random encoder differs for each seed; the features of all other encoders are the same for every seed.
        let at_once = if encoder.depends_on_seed() { 1 } else { plan.seeds.len() };
        for seeds in plan.seeds.chunks(at_once) {
            figures.extend(probe_encoder(plan, encoder, seeds, voice)?);
        }
    }
    Ok(figures)
}

/// Probes one encoder, with a layer for each of the seeds.
fn probe_encoder(
    plan: &Plan,
    encoder: &NamedEncoder,
    seeds: &[u64],
    voice: &Voice,
) -> Result<Vec<Figure>, Error> {
    let (probe, classes) = (&plan.recipe.probe, plan.training.taxonomy.classes.len());

    // ---- frozen features of the training pictures, once
    let (resnet, architecture) = encoder.open(&plan.recipe.encoder, plan.device, seeds[0])?;
    let input = Input::new(plan.precision.kind(), plan.device);
    let extractor = Extractor { encoder: resnet, input, features: probe.features };
    let reading =
        Progress::new(voice, &format!("{} features", encoder.name), 0, plan.training.len() as u64, 1);
    let mut examples = Examples::read(plan, &extractor, architecture, &reading)?;
    reading.finish();
    let spoilt = || {
        let (name, source) = (&encoder.name, &encoder.source);
        Error::Usage(format!("the features of {name} ({source}) are not finite; probe other weights"))
    };
    let standard = Standard::apply_to_its_own(&mut examples).ok_or_else(spoilt)?;

    // ---- a layer for each seed
    let layers: Result<Vec<_>, Error> = seeds
        .iter()
        .map(|&seed| {
            let store = Store::new(Kind::Float, plan.device, seed);
            let layer = Layer::new(&store, architecture, probe.features, classes as i64);
            let loss = train(plan, &examples, (&layer, &store), seed, (&encoder.name, voice))?;
            Ok((layer, loss))
        })
        .collect();
    let layers = layers?;

    // ---- all of them scored in one pass over the validation pictures, at the size of their labels
    let empty = || ConfusionMatrix::new(classes, classes, i64::from(VOID));
    let mut confusions: Vec<_> = layers.iter().map(|_| empty()).collect();
    for batch in LabelledLoader::new(Arc::clone(&plan.validation), plan.reading)? {
        let batch = batch?;
        let mut maps = extractor.maps(&batch);
        standard.apply(&mut maps);
        for ((layer, _), confusion) in layers.iter().zip(&mut confusions) {
            let size = [i64::from(batch.height), i64::from(batch.width)];
            let predicted = tch::no_grad(|| layer.logits(&maps, size).argmax(1, false));
            let predicted = Vec::<i64>::try_from(predicted.flatten(0, -1)).map_err(internal)?;
            confusion.update(&batch.labels, &predicted).map_err(internal)?;
        }
    }
    let things = plan.validation.taxonomy.things();
    let split = things.contains(&true).then_some(things.as_slice());
    let figures = seeds.iter().zip(layers).zip(confusions).map(|((&seed, (_, loss)), confusion)| {
        let scores = SegmentationScores::new(&confusion, &Matching::identity(classes), split);
        let (name, source, scores) =
            (encoder.name.clone(), encoder.source.clone(), scores.map_err(internal)?);
        let absent = Absent::of(&scores, &plan.validation.taxonomy);
        let figure = Figure { name, source, architecture, seed, loss, scores, absent };
        voice.say(&figure);
        Ok(figure)
    });
    figures.collect()
}

/// Trains a layer, and returns the mean loss over the last epoch.
fn train(
    plan: &Plan,
    examples: &Examples,
    (layer, store): (&Layer, &Store),
    seed: u64,
    (name, voice): (&str, &Voice),
) -> Result<f64, Error> {
    let probe = &plan.recipe.probe;
    let learning_rate = probe.learning_rate * 512.0 / examples.channels() as f64;
    let batch_size = probe.batch_size.min(examples.len());
    let steps = steps_per_epoch(examples.len(), batch_size);
    let horizon =
        Horizon { steps_per_epoch: steps, batch_size: batch_size as u64, total_steps: probe.epochs * steps };
    let schedule = LearningRate::new(&ScheduleSettings::default(), &horizon)?;
    let settings = OptimizerSettings {
        momentum: probe.momentum,
        weight_decay: probe.weight_decay,
        ..OptimizerSettings::default()
    };
    let rules = [GroupRule::scheduled("layer", "*")];
    let mut optimizer =
        Optimizer::new(&settings, horizon.batch_size, &store.parameters(), &rules).map_err(internal)?;
    let progress =
        Progress::new(voice, &format!("{name} seed {seed}"), 0, horizon.total_steps, horizon.batch_size);

    let mut epoch_loss = Tensor::zeros([], (Kind::Float, plan.device));
    for epoch in 0..probe.epochs {
        let order = Order::new(examples.len(), seed, epoch);
        epoch_loss = epoch_loss.zeros_like();
        for step in 0..steps {
            let done = epoch * steps + step;
            let (maps, labels) = examples.batch(&order.batch(step, batch_size));
            let size = [labels_across(probe.size); 2];
            let loss = cross_entropy(&layer.logits(&maps, size), &labels);
            optimizer.zero_gradients();
            loss.backward();
            optimizer.step(learning_rate * schedule.at(done), None);
            epoch_loss += loss.detach();
            progress.advance(done + 1);
        }
    }
    progress.finish();
    let loss = epoch_loss.double_value(&[]) / steps as f64;
    let diverged = || {
        let message = format!("{name}, seed {seed}: the loss is not finite; set probe.learning_rate lower");
        Error::Usage(message)
    };
    loss.is_finite().then_some(loss).ok_or_else(diverged)
}

/// Mean cross-entropy over all cells with a label; 0 if there are none.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let void = i64::from(VOID);
    let sum = logits.cross_entropy_loss(labels, None::<Tensor>, Reduction::Sum, void, 0.0);
    sum / labels.ne(void).sum(Kind::Float).clamp_min(1.0)
}

/// The linear layer: a 1x1 convolution for each map that is read. Their logits are brought to one size and added, which
/// gives the same result as a single layer on all maps enlarged to one size, because both steps are linear, and does
/// not need the memory of the enlarged maps.
struct Layer {
    parts: Vec<Convolution>,
}

impl Layer {
    fn new(store: &Store, architecture: Architecture, features: ProbeFeatures, classes: i64) -> Self {
        let part = |(number, &stage): (usize, &usize)| {
            let scope = &store.root() / format!("layer.c{}", stage + 2).as_str();
            Convolution::of_head(&scope, [architecture.channels()[stage], classes], number == 0)
        };
        Self { parts: features.stages().iter().enumerate().map(part).collect() }
    }

    /// `[B, classes, height, width]` from the maps that are read.
    fn logits(&self, maps: &[Tensor], size: [i64; 2]) -> Tensor {
        let parts = self.parts.iter().zip(maps);
        let sum = parts.map(|(part, map)| part.forward(map).upsample_bilinear2d(size, false, None, None));
        sum.reduce(|sum, part| sum + part).unwrap_or_default()
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

impl std::fmt::Display for Figure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |score: Option<f64>| 100.0 * score.unwrap_or_default();
        let Self { name, seed, loss, scores, absent, .. } = self;
        let (miou, aacc) = (percent(scores.overall.miou), percent(scores.overall.aacc));
        write!(formatter, "{name} seed {seed}: loss {loss:.4}, mIoU {miou:.2}, aAcc {aacc:.2}{absent}")
    }
}
