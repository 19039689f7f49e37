//! What the training loop has around it: the state, the numbers of its steps, the run directory. The loop calls these; they
//! never call it.

mod contents;
mod journal;
mod numbers;
mod processes;
mod resume;
mod setup;
mod table;
mod trouble;

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use densesiam_engine::checkpoint::{Checkpoint, latest, load};
use densesiam_engine::device::{resolve_threads, set_threads};
use densesiam_engine::optimizer::Optimizer;
use densesiam_engine::run_dir::RunLayout;
use densesiam_nn::input::Input;
use densesiam_nn::{Group, NORM_BUFFERS, Store};
use densesiam_torch_ext::Buckets;
use tch::{Kind, Tensor};

use crate::error::Error;
use crate::recipe::{Training, find};

pub use contents::{Best, Contents};
pub use numbers::Taken;
pub use processes::{all_succeed, exchange, unless_lost};
pub use setup::{Run, TaskNames, When, enough_to_train_on, look_at, workers, workers_of};
pub use table::Table;
pub use trouble::Trouble;

pub(crate) use journal::Journal;
pub(crate) use numbers::Stopwatch;
pub(crate) use processes::{Next, next_batch, signal_after_step, with_losses_of_all};
pub(crate) use resume::Origin;
pub(crate) use trouble::numbered;

/// All that a resume needs: everything else is a function of the step.
pub struct State {
    /// Parameters and buffers.
    pub store: Store,
    /// Momentum.
    pub optimizer: Optimizer,
    /// Steps done.
    pub step: u64,
    /// The sums of the gradients over all processes, if there are others.
    gradients: Option<Buckets>,
}

impl State {
    /// A model and its optimizer before the first step.
    pub fn new(store: Store, optimizer: Optimizer) -> Self {
        let parameters: Vec<_> = store.parameters().into_iter().map(|(_, parameter)| parameter).collect();
        let gradients = Buckets::new(store.group(), &parameters);
        Self { store, optimizer, step: 0, gradients }
    }

    /// The processes that train the model.
    pub fn group(&self) -> &Group {
        self.store.group()
    }

    /// From now on each process keeps its own gradients: only to measure what it costs to sum them.
    pub fn leave_gradients(&mut self) {
        self.gradients = None;
    }

    /// The processes whose parameters, momentum or other state is not the first one's, although all have computed the same. Batch
    /// statistics are left out.
    ///
    /// # Panics
    /// When another process is lost.
    pub(crate) fn apart(&self) -> Vec<usize> {
        let group = self.group();
        if group.is_alone() {
            return Vec::new();
        }
        let of_norms = |name: &str| NORM_BUFFERS.iter().any(|buffer| name.ends_with(buffer));
        let tensors = self.store.state().into_iter().chain(self.optimizer.state());
        let sums: Vec<_> =
            tensors.filter(|(name, _)| !of_norms(name)).map(|(_, tensor)| sum_of_bits(&tensor)).collect();
        // One number is read from the device, and one number is exchanged.
        let mut all = vec![0; group.world()];
        all[group.rank()] = Tensor::stack(&sums, 0).sum(Kind::Int64).int64_value(&[]);
        group.sum_counts(&mut all);
        (0..group.world()).filter(|&rank| all[rank] != all[0]).collect()
    }

    /// The backward pass, after which the gradients are those of the whole batch.
    ///
    /// # Panics
    /// When another process is lost, as in all that processes do together ([`Run::together`]).
    pub(crate) fn backward(&self, loss: &Tensor) {
        // Nothing has a gradient where no loss that has a weight is computed: before its start, or without overlap.
        if loss.requires_grad()
            && let Err(error) = loss.f_backward()
        {
            match [self.group(), self.store.norm_group()].into_iter().find_map(Group::failure) {
                Some(lost) => resume_unwind(Box::new(lost.to_string())),
                None => panic!("{error}"),
            }
        }
        self.gradients.iter().for_each(Buckets::finish);
    }
}

/// The sum of a tensor's values, each taken as the integer that has its bits. A sum of integers is the same in every order, and so
/// with every number of threads and on every device.
fn sum_of_bits(tensor: &Tensor) -> Tensor {
    let integers = match tensor.kind() {
        Kind::Double => Kind::Int64,
        Kind::Float => Kind::Int,
        Kind::BFloat16 | Kind::Half => Kind::Int16,
        whole => whole,
    };
    tensor.detach().view_dtype(integers).sum(Kind::Int64)
}

/// The run and the checkpoint that `path` refers to. `path` is a run directory, whose newest checkpoint is taken, or a
/// checkpoint's folder within one.
///
/// # Errors
/// When there is no such checkpoint, or it cannot be read.
pub fn locate(path: &Path) -> Result<(PathBuf, Checkpoint), Error> {
    let checkpoints = RunLayout::new(path).checkpoints();
    if checkpoints.is_dir() {
        let newest = latest(&checkpoints)?.checkpoint;
        let none = || Error::Usage(format!("{} holds no checkpoint that can be used", path.display()));
        return Ok((path.to_owned(), newest.ok_or_else(none)?));
    }
    let absolute = std::path::absolute(path).map_err(|source| Error::file(path, source))?;
    let run = absolute.ancestors().nth(2).unwrap_or(Path::new("")).to_owned();
    Ok((run, load(path)?))
}

/// The recipe of a run with these settings laid over it, the model that `build` makes of it with the weights of the checkpoint, and
/// what prepares pictures for that model.
///
/// # Errors
/// When the recipe or its device cannot be used, or the checkpoint holds another model.
pub(crate) fn opened<R: Training, M>(
    (run, checkpoint): (&Path, &Checkpoint),
    settings: &[String],
    build: impl FnOnce(&R, &Store) -> M,
) -> Result<(R, M, Input), Error> {
    let mut recipe: R = find(&run.display().to_string(), settings)?;
    let common = recipe.common().run.clone();
    let device = common.device.resolve()?;
    let (precision, _) = common.precision.resolve(device);
    set_threads(resolve_threads(common.threads));
    let store = Store::new(Kind::Float, device, common.seed);
    let model = build(&recipe, &store);
    let unlike = |error: &dyn std::fmt::Display| {
        Error::CannotResume(format!("{}: {error}", checkpoint.path.display()))
    };
    store.load(&checkpoint.model).map_err(|error| unlike(&error))?;
    Ok((recipe, model, Input::new(precision.kind(), device)))
}
