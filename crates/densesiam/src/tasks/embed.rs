//! The features of an encoder for all pictures of a folder. Each picture is seen whole, its shorter side at one size.

use std::fs::canonicalize;
use std::path::PathBuf;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::reader::{Reader, ReaderSettings};
use densesiam_engine::device::{Precision, resolve_threads, set_threads};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::{Progress, Voice};
use densesiam_nn::input::Input;
use densesiam_nn::{Architecture, EncoderSettings, Mode, ResNet};
use tch::{Device, Kind, Tensor};

use super::probe::{NamedEncoder, Source};
use crate::embeddings::{About, pinned};
use crate::error::Error;
use crate::recipe::Recipe;
use crate::recipe::embed::{EmbedRecipe, EmbedSettings};
use crate::run::workers;

/// Embeddings that can be computed: the encoder is open, and the pictures are known.
pub struct Plan {
    /// What the embeddings are of.
    pub about: About,
    /// The pictures.
    pub index: Arc<ImageIndex>,
    /// Where the weights were read: of a run, its checkpoint.
    pub(crate) source: Source,
    recipe: EmbedRecipe,
    encoder: ResNet,
    device: Device,
    precision: Precision,
}

/// The features of pictures of one size.
#[derive(Debug)]
pub struct Embedded {
    /// The pictures, by their places in the index.
    pub samples: Vec<usize>,
    /// Width and height at which the encoder saw them.
    pub seen: [u32; 2],
    /// Their maps, `[B, C, h, w]`, float32 on the processor. A cell has `stride` pixels of what was seen; the last ones of a row or
    /// column may extend beyond it.
    pub maps: Tensor,
}

impl Plan {
    /// Opens the encoder.
    ///
    /// # Errors
    /// A setting that is not allowed, or weights or a device that are not available.
    pub fn new(recipe: EmbedRecipe, encoder: &NamedEncoder, index: &Arc<ImageIndex>) -> Result<Self, Error> {
        recipe.validate()?;
        set_threads(resolve_threads(recipe.run.threads));
        let device = recipe.run.device.resolve()?;
        let (precision, _) = recipe.run.precision.resolve(device);
        let (source, weights) = pinned(&encoder.source, recipe.run.seed)?;
        let encoder = NamedEncoder { source, ..encoder.clone() };
        let (resnet, architecture) = encoder.open(&recipe.encoder, device, recipe.run.seed)?;
        let source = encoder.source;
        let about = about(&recipe, (&source, weights), (index, architecture, precision));
        Ok(Self { about, index: Arc::clone(index), source, recipe, encoder: resnet, device, precision })
    }

    /// The names of the pictures, relative to the folder that was named.
    pub fn names(&self, samples: &[usize]) -> Vec<PathBuf> {
        samples.iter().map(|&sample| self.index.relative_path(sample).into_owned()).collect()
    }

    /// The least bytes of the patches of all pictures, those of squares.
    pub fn least_bytes(&self) -> f64 {
        let About { architecture, stage, stride, size, .. } = self.about;
        let cells = f64::from(size.div_ceil(stride)).powi(2);
        let float16 = 2.0;
        self.index.len() as f64 * cells * architecture.channels()[stage.place()] as f64 * float16
    }
}

fn about(
    recipe: &EmbedRecipe,
    (source, weights): (&Source, String),
    (index, architecture, precision): (&ImageIndex, Architecture, Precision),
) -> About {
    let EmbedSettings { size, stage, .. } = recipe.embed;
    About {
        encoder: source.to_string(),
        weights,
        architecture,
        stage,
        stride: EncoderSettings { architecture, ..recipe.encoder }.strides()[stage.place()],
        size,
        precision: precision.to_string(),
        max_pixels: recipe.data.max_pixels,
        root: canonicalize(index.root()).unwrap_or_else(|_| index.root().into()).display().to_string(),
        pictures: format!("{:016x}", index.fingerprint()),
    }
}

/// Computes the features of all pictures in the order of the index, and hands them to `each`. Pictures that follow each other in one
/// size go through the encoder together. Returns how many pictures could not be read; each is named.
///
/// # Errors
/// When the storage does not answer, when `each` fails, or when a signal asks to stop.
pub fn embed(
    plan: &Plan,
    mut each: impl FnMut(Embedded) -> Result<(), Error>,
    (label, voice): (&str, &Voice),
    interrupt: &Interrupt,
) -> Result<usize, Error> {
    let EmbedRecipe { embed: settings, data, .. } = &plan.recipe;
    let reading = ReaderSettings {
        size: settings.size,
        keep_decoded: false,
        workers: workers(data.workers, plan.device),
        ahead: data.prefetch.saturating_mul(settings.batch_size),
        ahead_bytes: 1 << 28,
        limits: DecodeLimits { max_pixels: data.max_pixels },
        patience: data.patience(),
    };
    let progress = Progress::new(voice, label, 0, plan.index.len() as u64, 1);
    let input = Input::new(plan.precision.kind(), plan.device);
    let mut reader = Reader::new(Arc::clone(&plan.index), reading)?;
    let (mut batch, mut unreadable, mut first) = (Batch::default(), 0, None);
    for sample in 0..plan.index.len() {
        while !reader.ready()? {
            stop_if_asked(interrupt)?;
        }
        stop_if_asked(interrupt)?;
        let Some(read) = reader.next().transpose()? else { break };
        match read {
            Ok(picture) => {
                if !batch.takes(&picture.seen, settings.batch_size) {
                    each(batch.embedded(plan, &input))?;
                }
                batch.push(sample, &picture.seen);
            }
            Err(error) => {
                unreadable += 1;
                first.get_or_insert_with(|| error.to_string());
                progress.println(format!("skipped: {}: {error}", plan.index.place(sample)));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    if !batch.samples.is_empty() {
        each(batch.embedded(plan, &input))?;
    }
    progress.finish();
    match first {
        Some(first) if unreadable == plan.index.len() => {
            Err(Error::NothingReadable { root: plan.index.root().into(), looked_at: unreadable, first })
        }
        _ => Ok(unreadable),
    }
}

fn stop_if_asked(interrupt: &Interrupt) -> Result<(), Error> {
    interrupt.requested().map_or(Ok(()), |signal| Err(Error::Unfinished { signal }))
}

/// Pictures of one size that wait for the encoder.
#[derive(Default)]
struct Batch {
    samples: Vec<usize>,
    size: [u32; 2],
    pixels: Vec<u8>,
}

impl Batch {
    fn takes(&self, picture: &RgbImage, most: usize) -> bool {
        self.samples.is_empty() || (self.samples.len() < most && self.size == [picture.width, picture.height])
    }

    fn push(&mut self, sample: usize, picture: &RgbImage) {
        self.samples.push(sample);
        self.size = [picture.width, picture.height];
        self.pixels.extend_from_slice(&picture.pixels);
    }

    /// What the encoder makes of them, which leaves none.
    fn embedded(&mut self, plan: &Plan, input: &Input) -> Embedded {
        let pictures = input.normalised(&self.pixels, self.size);
        let maps = tch::no_grad(|| {
            let maps = plan.encoder.forward(&pictures, Mode::Evaluate).maps;
            maps[plan.about.stage.place()].to_kind(Kind::Float).to_device(Device::Cpu)
        });
        self.pixels.clear();
        Embedded { samples: std::mem::take(&mut self.samples), seen: self.size, maps }
    }
}
