//! k-NN classification, start to end: each picture is classified by the pictures whose features are most like its own, and
//! the kind of a picture is the folder in which it lies. Nothing is trained, so the result is a property of the encoder
//! alone; it needs no labels beyond the names of folders.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::reader::{ReadPicture, Reader, ReaderSettings};
use densesiam_engine::device::{Precision, resolve_threads, set_threads};
use densesiam_engine::log::{Progress, Voice};
use densesiam_nn::input::Input;
use densesiam_nn::{Architecture, Features, Mode, ResNet};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::probe::NamedEncoder;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::recipe::knn::{KnnRecipe, KnnSettings};
use crate::recipe::probe::ProbeFeatures;
use crate::run::workers;

/// Pictures whose neighbours are searched for at once, so that their cosines with all pictures fit the memory.
const AT_ONCE: i64 = 512;

/// A classification that is ready to start.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: KnnRecipe,
    /// The encoders, in the order of the command line.
    pub encoders: Vec<NamedEncoder>,
    /// The pictures.
    pub index: Arc<ImageIndex>,
    /// The folders, relative to the root: the kinds.
    pub kinds: Vec<PathBuf>,
    /// The kind of each picture.
    pub kind_of: Vec<usize>,
    /// The device that computes.
    pub device: Device,
    /// The arithmetic of the encoder; cosines are float32.
    pub precision: Precision,
}

/// The score of one encoder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The name that the command line gave it.
    pub name: String,
    /// Where its weights come from.
    pub encoder: String,
    /// Which encoder it is.
    pub architecture: Architecture,
    /// The share of pictures whose kind was found, in 0..1.
    pub accuracy: f64,
    /// Pictures that were classified.
    pub pictures: usize,
}

impl Plan {
    /// Checks the recipe and finds the pictures.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures or a device that are not available, or pictures of one
    /// kind alone.
    pub fn new(recipe: KnnRecipe, encoders: Vec<NamedEncoder>) -> Result<Self, Error> {
        recipe.validate()?;
        if recipe.data.root.is_empty() {
            let message =
                "data.root is not set: name a folder with a folder of pictures for each kind, data.root=DIR";
            return Err(Error::Usage(message.into()));
        }
        let index = ImageIndex::scan(Path::new(&recipe.data.root))?;
        let folder =
            |sample: usize| index.relative_path(sample).parent().map(Path::to_owned).unwrap_or_default();
        let folders: Vec<PathBuf> = (0..index.len()).map(folder).collect();
        let kinds: Vec<PathBuf> = folders.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        if kinds.len() < 2 {
            return Err(Error::Usage(format!(
                "{} has pictures in one folder only, and folders are the kinds that are told apart; name the folder above",
                recipe.data.root
            )));
        }
        let kind_of = folders.iter().map(|folder| kinds.partition_point(|kind| kind < folder)).collect();
        let device = recipe.run.device.resolve()?;
        let (precision, _) = recipe.run.precision.resolve(device);
        Ok(Self { recipe, encoders, index: Arc::new(index), kinds, kind_of, device, precision })
    }

    /// The share of pictures that are of the most frequent kind: the accuracy of the best constant answer, in 0..1.
    pub fn chance(&self) -> f64 {
        let of_kind = |kind: usize| self.kind_of.iter().filter(|&&other| other == kind).count();
        let most = (0..self.kinds.len()).map(of_kind).max().unwrap_or_default();
        most as f64 / self.kind_of.len() as f64
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let knn = &self.recipe.knn;
        writeln!(
            formatter,
            "pictures    {} of {} kinds, {} pixels",
            self.index.len(),
            self.kinds.len(),
            knn.size
        )?;
        writeln!(formatter, "neighbours  {}, temperature {}", knn.neighbours, knn.temperature)?;
        writeln!(
            formatter,
            "constant    {:.1} percent: the most frequent kind as every answer",
            100.0 * self.chance()
        )
    }
}

/// Classifies all pictures by each encoder, as planned. Nothing is written.
///
/// # Errors
/// When pictures or weights cannot be read.
pub fn knn(plan: &Plan, voice: &Voice) -> Result<Vec<Score>, Error> {
    set_threads(resolve_threads(plan.recipe.run.threads));
    plan.encoders.iter().map(|encoder| classify(plan, encoder, voice)).collect()
}

fn classify(plan: &Plan, encoder: &NamedEncoder, voice: &Voice) -> Result<Score, Error> {
    let (resnet, architecture) = encoder.open(&plan.recipe.encoder, plan.device, plan.recipe.run.seed)?;
    let (features, kinds) = read_features(plan, &resnet, (&encoder.name, voice))?;
    let right = right_answers(&features, &kinds, plan.kinds.len() as i64, &plan.recipe.knn);
    Ok(Score {
        name: encoder.name.clone(),
        encoder: encoder.source.to_string(),
        architecture,
        accuracy: right as f64 / kinds.len() as f64,
        pictures: kinds.len(),
    })
}

/// Pooled features of all readable pictures, `[N, D]`, each of length 1, and their kinds.
fn read_features(
    plan: &Plan,
    resnet: &ResNet,
    (name, voice): (&str, &Voice),
) -> Result<(Tensor, Vec<i64>), Error> {
    let (knn, data) = (&plan.recipe.knn, &plan.recipe.data);
    let reading = ReaderSettings {
        size: knn.size,
        keep_decoded: false,
        workers: workers(data.workers, plan.device),
        ahead: data.prefetch.saturating_mul(knn.batch_size),
        ahead_bytes: 1 << 28,
        limits: DecodeLimits { max_pixels: data.max_pixels },
        patience: data.patience(),
    };
    let input = Input::new(plan.precision.kind(), plan.device);
    let progress = Progress::new(voice, &format!("{name} features"), 0, plan.index.len() as u64, 1);
    let (mut squares, mut features, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let square_bytes = (knn.size * knn.size * 3) as usize;
    for (sample, read) in Reader::new(Arc::clone(&plan.index), reading)?.enumerate() {
        match read? {
            Ok(ReadPicture { seen, .. }) => {
                push_square(&seen, knn.size, &mut squares);
                kinds.push(plan.kind_of[sample] as i64);
            }
            Err(error) => progress.println(format!("skipped: {}: {error}", plan.index.place(sample))),
        }
        if squares.len() == knn.batch_size * square_bytes {
            features.push(pooled(resnet, &input.normalised(&squares, [knn.size; 2]), knn.features));
            squares.clear();
        }
        progress.advance(sample as u64 + 1);
    }
    if !squares.is_empty() {
        features.push(pooled(resnet, &input.normalised(&squares, [knn.size; 2]), knn.features));
    }
    progress.finish();
    if kinds.len() < 2 {
        return Err(Error::Usage(format!("fewer than two pictures in {} can be read", data.root)));
    }
    Ok((Tensor::cat(&features, 0), kinds))
}

/// Appends the centred square of a picture whose shorter side is `size` pixels.
fn push_square(picture: &RgbImage, size: u32, squares: &mut Vec<u8>) {
    let (left, top) = ((picture.width - size) / 2, (picture.height - size) / 2);
    let row_bytes = picture.width as usize * 3;
    for row in picture.pixels.chunks_exact(row_bytes).skip(top as usize).take(size as usize) {
        squares.extend_from_slice(&row[left as usize * 3..][..size as usize * 3]);
    }
}

/// The mean of each map that is read, of length 1, joined, and again of length 1: `[B, D]`.
fn pooled(resnet: &ResNet, pictures: &Tensor, features: ProbeFeatures) -> Tensor {
    tch::no_grad(|| {
        let Features { maps, .. } = resnet.forward(pictures, Mode::Evaluate);
        let mean = |&stage: &usize| {
            unit(&maps[stage].to_kind(Kind::Float).mean_dim([2i64, 3].as_slice(), false, Kind::Float))
        };
        let means: Vec<Tensor> = features.stages().iter().map(mean).collect();
        unit(&Tensor::cat(&means, 1))
    })
}

/// Rows `[N, D]` of length 1; a row of zeros stays one.
pub(crate) fn unit(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2, [1i64].as_slice(), true).clamp_min(1e-12)
}

/// How many pictures are of the kind for which their nearest neighbours vote.
fn right_answers(features: &Tensor, kinds: &[i64], kind_count: i64, knn: &KnnSettings) -> i64 {
    let count = kinds.len() as i64;
    let kinds = Tensor::from_slice(kinds).to_device(features.device());
    let neighbours = knn.neighbours.min(count - 1);
    let mut right = 0;
    for first in (0..count).step_by(AT_ONCE as usize) {
        let rows = AT_ONCE.min(count - first);
        let cosines = features.narrow(0, first, rows).matmul(&features.tr());
        // A picture is not its own neighbour.
        let _ = cosines.diagonal(first, 0, 1).fill_(f64::NEG_INFINITY);
        let (cosines, places) = cosines.topk(neighbours, 1, true, false);
        // Less the largest, which changes no order and keeps the exponential finite.
        let votes = ((&cosines - cosines.amax([1], true)) / knn.temperature).exp();
        let kind_of_neighbour = kinds.index_select(0, &places.flatten(0, -1)).view([rows, neighbours]);
        let by_kind = Tensor::zeros([rows, kind_count], (Kind::Float, features.device()));
        let answers = by_kind.scatter_add(1, &kind_of_neighbour, &votes).argmax(1, false);
        right += answers.eq_tensor(&kinds.narrow(0, first, rows)).sum(Kind::Int64).int64_value(&[]);
    }
    right
}
