//! Methods of unsupervised segmentation, one file each, and the interface that other code uses.
//!
//! All have the same trunk, and two views of each picture whose maps correspond: view 1 is cropped in pixels, view 2 is whole, and
//! its *features* are cropped and flipped as view 1 was. A method makes pseudo-categories of the map's positions.

mod chosen;
pub mod densesiam;
pub mod iic;
pub mod kmeans;
mod labeller;
pub mod mdc;
pub mod picie;
mod trunk;

use std::fmt::Debug;

use densesiam_random::Key;
use densesiam_settings::SettingError;
use densesiam_settings::duration::{Horizon, Now};
use tch::Tensor;

pub use chosen::Chosen;
pub use kmeans::{ClusterError, ClusteringSettings};
pub use trunk::{ENCODER, Reading, SegmentEncoder, Trunk, Views, alignment};

use crate::pretrain::NamedLoss;
use crate::step::{Predictors, Step};
use crate::store::Store;

/// A way to segment without labels.
pub trait Segmenting {
    /// Labels a batch for the next step, without a gradient, if the method learns from its own labels. Separate from the step, because
    /// it is counted apart.
    fn label(&mut self, _views: &Views) {}

    /// One step in training mode, up to the loss. Every stop-gradient is a `detach` or a `no_grad` in the method's own file.
    fn step(&mut self, views: &Views, now: Now) -> Step;

    /// Scores of the pseudo-categories of pictures `[B, 3, H, W]` in evaluation mode, `[B, N, H/4, W/4]`, in the kind of the losses.
    /// The greatest one is the segmentation.
    fn logits(&self, pictures: &Tensor) -> Tensor;

    /// The method's clusters, if it clusters the features of all pictures once an epoch.
    fn clustering(&mut self) -> Option<&mut dyn Clustering> {
        None
    }
}

/// Why the features of all pictures are clustered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// For the labels of an epoch: the views as they are learnt from.
    Epoch,
    /// For the segmentation, after the last step: one view, the whole picture, with the running statistics.
    Whole,
}

/// Clusters of the features of all pictures: a pass over the pictures gathers them, and then they settle.
pub trait Clustering {
    /// Begins a pass; `key` names seed and epoch. A pass that was begun before is forgotten.
    fn begin(&mut self, pass: Pass, key: Key);

    /// Passes a batch through the trunk, without a gradient: for each map that is clustered `[B, width, h, w]`.
    fn encode(&self, views: &Views) -> Vec<Tensor>;

    /// Adds the maps of a batch; `keys` are those of its samples.
    ///
    /// # Errors
    /// When there are fewer feature vectors than clusters.
    fn gather(&mut self, maps: &[Tensor], keys: &[Key]) -> Result<(), ClusterError>;

    /// Clusters what was gathered. The labels of the epoch are those of the network as it is now.
    ///
    /// # Errors
    /// When there are fewer feature vectors than clusters.
    fn settle(&mut self) -> Result<(), ClusterError>;

    /// What the names of those parameters begin with that start anew in each epoch, and whose momentum is then none.
    fn renewed(&self) -> Option<&'static str> {
        None
    }
}

/// What gives the scores of the categories from the pyramid's map, for those who write the network elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Categories {
    /// DenseSiam's projector.
    Projector,
    /// A 1x1 convolution.
    Convolution {
        /// Its kernel, `[N, width, 1, 1]` or `[N, width]`.
        kernel: &'static str,
        /// Its bias, `[N]`.
        bias: Option<&'static str>,
        /// Whether the map is divided by its length at each position before.
        unit: bool,
    },
}

/// The weights of a loss over `few` and of one over `many` categories: each has the other's share of both logarithms (eq. 8).
fn balance(few: i64, many: i64) -> [f64; 2] {
    let [few, many] = [few, many].map(|categories| (categories as f64).ln());
    [many / (few + many), few / (few + many)]
}

/// The settings of a method, which are implemented beside it.
pub trait SegmentingSettings: Debug {
    /// Its name, the value of the key `method`.
    fn name(&self) -> &'static str;

    /// The encoder that it trains.
    fn encoder(&self) -> &SegmentEncoder;

    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    fn validate(&self) -> Result<(), SettingError>;

    /// Whether it takes view 1 alone.
    fn takes_one_view(&self) -> bool {
        false
    }

    /// What gives the scores of its categories.
    fn categories(&self) -> Categories;

    /// What it clusters, if it clusters the features of all pictures once an epoch: how, and into how many clusters at most, where
    /// the segmentation has so many categories.
    fn clustering(&self, _categories: i64) -> Option<(&ClusteringSettings, i64)> {
        None
    }

    /// The predictors to which `optimizer.fixed_predictor_learning_rate` refers.
    fn predictors(&self) -> Predictors {
        Predictors::NONE
    }

    /// Its losses, the most important one first.
    fn losses(&self) -> &'static [NamedLoss];

    /// What it minimises in a training of this length, for so many categories, in a line.
    fn summary(&self, horizon: &Horizon, categories: i64) -> String;

    /// A message to the user before this step, if there is one.
    fn notice(&self, _now: Now) -> Option<&'static str> {
        None
    }

    /// The method in a new model, for so many pseudo-categories.
    fn build(&self, store: &Store, categories: i64) -> Box<dyn Segmenting>;
}
