//! What a training needs to know about a method: the output of a step, and which tensors are predictors.

use densesiam_torch_ext::Group;
use tch::Tensor;

use crate::collapse::{CategoryUse, category_use, spread};

/// One step of a method, before its gradients. Nothing in it has been read from the device. With several processes, loss and
/// parts are this process's shares, and their sums over the processes are the losses of the batch.
#[derive(Debug)]
pub struct Step {
    /// The weighted sum, a scalar to be differentiated. It has no gradient if no loss with a weight is computed.
    pub loss: Tensor,
    /// The losses that were computed, scalars with their names in the log. One that is off is 0; one that could not be
    /// computed is left out.
    pub parts: Vec<(&'static str, Tensor)>,
    /// Numbers that the host knows without reading from the device, with their names in the log.
    pub counts: Vec<(&'static str, u64)>,
    /// The outputs that the collapse monitors measure when they are due.
    pub watched: Vec<Watched>,
}

/// Names of a method's predictors in its store: what `optimizer.fixed_predictor_learning_rate` refers to.
#[derive(Clone, Copy, Debug)]
pub struct Predictors {
    /// Of the global branch.
    pub global: &'static [&'static str],
    /// Of all branches.
    pub all: &'static [&'static str],
}

impl Predictors {
    /// Those of a network that has none.
    pub const NONE: Self = Self { global: &[], all: &[] };
}

/// Outputs by which a collapse is detected.
#[derive(Debug)]
pub enum Watched {
    /// `[rows, D]`: whether they point in many directions.
    Spread(Tensor),
    /// `[B, N, ...]`: how many of the pseudo-categories are used, and how evenly.
    Categories(Tensor),
}

impl Watched {
    /// The numbers of the monitor for the batch of all processes, scalars with their names in the log.
    pub fn numbers(&self, group: &Group) -> Vec<(&'static str, Tensor)> {
        match self {
            Self::Spread(z) => vec![("spread", spread(z, group))],
            Self::Categories(z) => {
                let CategoryUse { entropy, used } = category_use(z, group);
                vec![("category_entropy", entropy), ("categories_used", used)]
            }
        }
    }
}
