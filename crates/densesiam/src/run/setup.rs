//! Resolves the tables that all recipes have, before a training begins: pictures, machine, length, and what happens
//! when. Nothing is written until this has succeeded.

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{LoadError, Loader, LoaderSettings};
use densesiam_data::order::{Part, Schedule, steps_per_epoch};
use densesiam_data::survey::Survey;
use densesiam_data::views::Augmentation;
use densesiam_engine::device::{
    CudaSupport, DeviceRequest, Precision, cuda, device_of_process, resolve_threads, search_convolutions,
    set_threads, threads_of_each,
};
use densesiam_engine::optimizer::{FixedPredictor, GroupRule, Optimizer};
use densesiam_engine::run_dir::RunLayout;
use densesiam_nn::{Architecture, Group, Predictors, Store};
use densesiam_settings::duration::{Horizon, Length, Now};
use densesiam_settings::keys::RecipeError;
use densesiam_settings::schedule::LearningRate;
use densesiam_text::shown;
use tch::{Device, Kind};

use super::State;
use super::processes::say_why;
use crate::error::Error;
use crate::recipe::{Beginning, Common, DataSettings, RunSettings, TrainSettings, Training, complete};

/// Facts about a task, for checkpoints and the progress bar.
#[derive(Clone, Debug)]
pub struct TaskNames {
    /// Its name, which is its command: `pretrain`, `segment`.
    pub name: &'static str,
    /// The method that it trains with.
    pub method: &'static str,
    /// What the names of the encoder's tensors begin with.
    pub encoder: &'static str,
    /// What the progress bar shows: names of numbers, and what to call them there.
    pub shown: Vec<(&'static str, &'static str)>,
}

/// A training that is ready to start: the tables that every training has, resolved for these pictures and this machine.
#[derive(Debug)]
pub struct Run {
    /// What is done.
    pub task: TaskNames,
    /// The tables. The precision is that of this machine, which a resumed run must find again, and the root is absolute, so
    /// that a run can be resumed from any folder.
    pub common: Common,
    /// The complete recipe as TOML.
    pub recipe: String,
    /// Completes a recipe of this task by the defaults of the keys that it lacks.
    pub complete: fn(&str) -> Result<String, RecipeError>,
    /// The encoder.
    pub architecture: Architecture,
    /// What it begins with.
    pub beginning: Beginning,
    /// Pseudo-categories of a segmentation.
    pub categories: Option<i64>,
    /// The classes that it learns by labels, in order; none without labels.
    pub classes: Vec<String>,
    /// The pictures.
    pub index: Arc<ImageIndex>,
    /// How they become batches.
    pub schedule: Schedule,
    /// A checksum of what else is known of them and is trained on: regions, labels or objects.
    pub annotations: Option<u32>,
    /// Where the step runs.
    pub device: Device,
    /// The arithmetic of the step.
    pub precision: Precision,
    /// Why this precision.
    pub precision_reason: &'static str,
    /// Why a CUDA device that seems to be there is not used.
    pub cuda_unused: Option<&'static CudaSupport>,
    /// Threads of libtorch.
    pub threads: usize,
    /// Threads that read pictures.
    pub workers: usize,
    /// Steps an epoch and in all.
    pub horizon: Horizon,
    /// The factor of the peak learning rate at each step.
    pub learning_rate: LearningRate,
    /// Everything that happens at certain steps.
    pub when: When,
    /// The processes that train together.
    pub group: Group,
    /// Those of them that have common batch statistics.
    pub norm_group: Group,
}

/// Steps between which something happens; `None` is never.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// Metrics are written.
    pub log: Option<u64>,
    /// Monitors are computed.
    pub monitor: Option<u64>,
    /// The task is scored, if it has something to be scored by.
    pub score: Option<u64>,
    /// Contact sheets are drawn.
    pub pictures: Option<u64>,
    /// Checkpoints are written.
    pub checkpoint: Option<u64>,
    /// How old the newest checkpoint may be, if another one is written by its age.
    pub age: Option<Duration>,
}

/// How many pictures are examined before a run directory is made.
const LOOKED_AT: usize = 8;

impl Run {
    /// Resolves a recipe, and returns it with the tables of [`Run::common`]; `find` searches for the pictures below the
    /// absolute `data.root`.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures or a device that are not available.
    pub fn new<R: Training>(
        mut recipe: R,
        task: TaskNames,
        find: impl FnOnce(&DataSettings) -> Result<Arc<ImageIndex>, Error>,
    ) -> Result<(R, Self), Error> {
        let Common { run, data, .. } = recipe.common();
        if data.root.is_empty() {
            let message = "data.root is not set: name a folder with pictures, data.root=DIR";
            return Err(Error::Usage(message.into()));
        }
        let device = run.device.resolve()?;
        let seemed_there =
            |cuda: &&CudaSupport| matches!(cuda, CudaSupport::NotLoaded(_) | CudaSupport::Devices(0));
        let cuda_unused = (run.device == DeviceRequest::Auto).then(cuda).filter(seemed_there);
        let (precision, precision_reason) = run.precision.resolve(device);
        run.precision = precision.into();
        let root = std::path::absolute(&data.root).map_err(|source| Error::file(&data.root, source))?;
        // A path that is not valid text cannot be written in a recipe; the root then stays as it was typed.
        data.root = root.into_os_string().into_string().unwrap_or_else(|_| data.root.clone());
        search_convolutions(device, precision, recipe.repeats_shapes());
        if recipe.beginning().rescale && recipe.beginning().given().is_none() {
            let message =
                "encoder.rescale is for weights that are given: set encoder.weights, or leave it out";
            return Err(Error::Usage(message.into()));
        }
        let common = recipe.common().clone();
        let Common { run, data, optimizer, train, monitor } = &common;
        let index = find(data)?;
        look_at(&index, LOOKED_AT, &DecodeLimits { max_pixels: data.max_pixels })?;
        let horizon = horizon(train, &index)?;
        let when = When {
            log: train.log_every.resolve(&horizon),
            monitor: monitor.every.resolve(&horizon),
            score: None,
            pictures: train.pictures_every.resolve(&horizon),
            checkpoint: train.checkpoint_every.resolve(&horizon),
            age: train.checkpoint_every.time(),
        };
        let resolved = Self {
            task,
            recipe: recipe.to_toml(),
            complete: complete::<R>,
            architecture: recipe.architecture(),
            beginning: recipe.beginning().clone(),
            categories: None,
            classes: Vec::new(),
            schedule: Schedule::default(),
            annotations: None,
            learning_rate: LearningRate::new(&optimizer.schedule, &horizon)?,
            threads: resolve_threads(run.threads),
            workers: workers(data.workers, device),
            index,
            device,
            precision,
            precision_reason,
            cuda_unused,
            horizon,
            when,
            common,
            group: Group::alone(),
            norm_group: Group::alone(),
        };
        Ok((recipe, resolved))
    }

    /// Makes this the run of one of several processes. Each has a part of every batch; the processes of a machine, of which this
    /// is number `local_rank`, share its cores and have a CUDA device each, if there are any.
    ///
    /// # Errors
    /// When a part would have fewer than two pictures, when there are too few CUDA devices, or when the processes were not given
    /// the same training.
    pub fn join(&mut self, group: Group, local: [usize; 2]) -> Result<(), Error> {
        self.group = group;
        self.norm_group = self.group.clone();
        self.divide(local).inspect_err(|error| say_why(&self.group, &error.to_string()))
    }

    fn divide(&mut self, [local_rank, on_this_machine]: [usize; 2]) -> Result<(), Error> {
        let (batch_size, processes) = (self.common.train.batch_size, self.group.world());
        if batch_size < 2 * processes {
            return Err(Error::Usage(format!(
                "train.batch_size = {batch_size} is divided among {processes} processes, of which each needs two pictures; set \
                 train.batch_size={} or higher",
                2 * processes
            )));
        }
        self.threads = threads_of_each(self.common.run.threads, on_this_machine);
        if self.common.data.workers == 0 {
            self.workers = (self.workers / on_this_machine).max(1);
        }
        // A launcher may let each process see its own device alone.
        if let (Device::Cuda(_), &CudaSupport::Devices(seen @ 2..)) = (self.device, cuda())
            && on_this_machine > seen
        {
            return Err(Error::Usage(format!(
                "{on_this_machine} processes of this machine share {seen} CUDA devices; start {seen}, or set \
                 CUDA_VISIBLE_DEVICES"
            )));
        }
        self.device = device_of_process(self.device, local_rank);
        self.same_everywhere()
    }

    /// Where the run's files lie.
    pub fn layout(&self) -> RunLayout {
        let RunSettings { dir, name, .. } = &self.common.run;
        RunLayout::new(Path::new(dir).join(name))
    }

    /// Whether this process writes the run's files and messages.
    pub fn writes(&self) -> bool {
        self.group.rank() == 0
    }

    /// The largest picture that is decoded.
    pub fn limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.common.data.max_pixels }
    }

    /// The store of a new model, with random weights that are functions of the seed. The number of threads is limited
    /// before anything computes.
    pub fn store(&self) -> Store {
        set_threads(self.threads);
        Store::new(Kind::Float, self.device, self.common.run.seed)
            .with_group(self.group.clone())
            .with_norm_group(self.norm_group.clone())
    }

    /// The training at this step.
    pub fn now(&self, step: u64) -> Now {
        Now { step, horizon: self.horizon }
    }

    /// The encoder and its initial weights, in words: `ResNet18 from resnet18.pth`.
    pub fn encoder(&self) -> String {
        let from = self.beginning.given().unwrap_or("random weights");
        format!("{} from {from}", self.architecture)
    }

    /// Where and in which arithmetic the step runs, in words: `processor, bf16`.
    pub fn place(&self) -> String {
        let precision = match self.precision {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
        };
        match self.device {
            Device::Cuda(index) => format!("CUDA device {index}, {precision}"),
            _ => format!("processor, {precision}"),
        }
    }

    /// The place and its threads: `processor, bf16, 2 threads`.
    pub fn machine(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("{}, {} thread{plural}", self.place(), self.threads)
    }

    /// The model in `store` and its optimizer, before the first step. The predictors that the recipe names keep the
    /// peak learning rate throughout.
    ///
    /// # Errors
    /// A fault of the program, because every parameter belongs to a group.
    pub fn state(&self, store: Store, predictors: Predictors) -> Result<State, Error> {
        let settings = &self.common.optimizer;
        let fixed = match settings.fixed_predictor_learning_rate {
            FixedPredictor::None => &[],
            FixedPredictor::Global => predictors.global,
            FixedPredictor::All => predictors.all,
        };
        let parameters = store.parameters();
        let has = |prefix: &str| parameters.iter().any(|(name, _)| name.starts_with(prefix));
        let present = fixed.iter().filter(|name| has(name));
        let mut rules: Vec<_> = present.map(|name| GroupRule::fixed(name, &format!("{name}.*"))).collect();
        rules.push(GroupRule::scheduled("scheduled", "*"));
        let optimizer = Optimizer::new(settings, self.horizon.batch_size, &parameters, &rules)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(State::new(store, optimizer))
    }

    /// The loader of the batches of these steps; `known_bad` are the unreadable pictures met before.
    ///
    /// # Errors
    /// When a setting of the views is not allowed.
    pub fn loader<A: Augmentation>(
        &self,
        augmentation: A,
        steps: Range<u64>,
        known_bad: &[(u64, String)],
    ) -> Result<Loader<A>, LoadError> {
        let Common { run, data, .. } = &self.common;
        let settings = LoaderSettings {
            augmentation,
            batch_size: self.horizon.batch_size as usize,
            schedule: self.schedule.clone(),
            part: Part { number: self.group.rank(), parts: self.group.world() },
            seed: run.seed,
            workers: self.workers,
            prefetch_batches: data.prefetch,
            max_bad_share: data.max_bad_share,
            min_side: data.min_side,
            limits: self.limits(),
            patience: data.patience(),
            start_step: steps.start,
            total_steps: steps.end,
            known_bad: known_bad.to_vec(),
        };
        Loader::new(Arc::clone(&self.index), settings)
    }
}

/// Decodes some pictures, and requires that at least one is readable.
///
/// # Errors
/// [`Error::NothingReadable`] with the first picture's fault.
pub fn look_at(index: &ImageIndex, count: usize, limits: &DecodeLimits) -> Result<Survey, Error> {
    let survey = Survey::of(index, count, limits);
    match survey.unreadable.first() {
        Some(first) if survey.shorter_sides.is_empty() => Err(Error::NothingReadable {
            root: index.root().to_owned(),
            looked_at: survey.looked_at,
            first: format!("{}: {}", index.place(first.sample), first.why),
        }),
        _ => Ok(survey),
    }
}

/// Fails if there is only one picture, because batch norm always needs two in a step.
///
/// # Errors
/// [`Error::Usage`] with the data set.
pub fn enough_to_train_on(index: &ImageIndex) -> Result<(), Error> {
    if index.len() >= 2 {
        return Ok(());
    }
    let message = format!("{} is the only picture; a training needs at least two", index.place(0));
    Err(Error::Usage(message))
}

fn horizon(train: &TrainSettings, index: &ImageIndex) -> Result<Horizon, Error> {
    enough_to_train_on(index)?;
    let (batch_size, pictures) = (train.batch_size, index.len());
    let steps_per_epoch = steps_per_epoch(pictures, batch_size);
    if steps_per_epoch == 0 {
        return Err(Error::Usage(format!(
            "train.batch_size = {batch_size} needs at least as many pictures, but there are {pictures}; \
             set train.batch_size={pictures} or lower"
        )));
    }
    let usage = |error: &dyn fmt::Display| Error::Usage(format!("train.duration: {error}"));
    let Length::Counted(duration) = train.duration else {
        let message =
            "a time is measured by `densesiam pretrain` and `densesiam segment`; give epochs or steps here";
        return Err(usage(&message));
    };
    let horizon =
        Horizon::new(duration, steps_per_epoch, batch_size as u64).map_err(|error| usage(&error))?;
    if horizon.total_steps == 0 { Err(usage(&"it comes to no step at all")) } else { Ok(horizon) }
}

/// Threads that read pictures for a recipe on its device.
///
/// # Errors
/// When the device is not there.
pub fn workers_of(common: &Common) -> Result<usize, Error> {
    Ok(workers(common.data.workers, common.run.device.resolve()?))
}

/// Threads that read pictures: `asked` threads, or for 0 a number that suits the device.
pub fn workers(asked: usize, device: Device) -> usize {
    let cores = available_parallelism().map_or(1, NonZero::get);
    match (asked, device) {
        // A step on the processor takes far longer than reading its pictures, and needs the cores itself.
        (0, Device::Cpu) => (cores / 4).max(1),
        (0, _) => cores,
        (asked, _) => asked,
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let horizon = &self.horizon;
        write!(formatter, "pictures    {} in {}", self.index.len(), shown(self.index.root()))?;
        match self.index.shards() {
            0 => writeln!(formatter)?,
            shards => writeln!(formatter, ", {shards} tar shards")?,
        }
        let skipped = self.index.skipped();
        if !skipped.is_empty() {
            writeln!(formatter, "skipped     {skipped}")?;
        }
        writeln!(
            formatter,
            "training    {} steps of {} pictures ({} steps an epoch)",
            horizon.total_steps, horizon.batch_size, horizon.steps_per_epoch
        )?;
        writeln!(formatter, "device      {} ({})", self.place(), self.precision_reason)?;
        if let Some(reason) = self.cuda_unused {
            writeln!(formatter, "            not CUDA: {reason}")?;
        }
        writeln!(formatter, "threads     {} for the step, {} for pictures", self.threads, self.workers)
    }
}
