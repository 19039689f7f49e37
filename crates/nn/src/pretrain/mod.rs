//! Pre-training methods, one file each, and the interface that other code uses.

pub mod byol;
pub mod cast;
mod chosen;
pub mod densecl;
pub mod densesiam;
pub mod detco;
pub mod detcon;
pub mod moco_v2;
pub mod pixpro;
pub mod resim;
pub mod scrl;
pub mod simclr;
pub mod soco;
pub mod vader;

use std::fmt::Debug;

use densesiam_geometry::{Point, Region, View};
use densesiam_random::Key;
use densesiam_settings::SettingError;
use densesiam_settings::duration::{Horizon, Now};
use tch::Tensor;

pub use chosen::Chosen;

use crate::encoder::{EncoderSettings, ResNet};
use crate::layers::Mode;
use crate::step::{Predictors, Step};
use crate::store::Store;

/// The views of a batch.
#[derive(Debug)]
pub struct Views<'b> {
    /// For each view all samples, `[B, 3, size, size]`, normalised.
    pub pixels: Vec<Tensor>,
    /// For each of both views nine patches of each sample, `[B, 9, 3, p, p]`, normalised; empty unless the method takes patches.
    pub patches: Vec<Tensor>,
    /// For each of both views the region of each pixel, `[B, size, size]`, int64 from 0; empty unless the method takes regions.
    pub labels: Vec<Tensor>,
    /// For each of both views how salient each pixel is, `[B, size, size]`, from 0 to 1 in the kind of the losses; empty unless
    /// the method takes saliency.
    pub saliency: Vec<Tensor>,
    /// How each view of each sample was cut from its picture, in image space.
    pub cuts: &'b [Vec<View>],
    /// Width and height of each sample's picture in pixels.
    pub pictures: &'b [[f64; 2]],
    /// The key of each sample, for what a method draws.
    pub keys: &'b [Key],
    /// Proposals of objects, for a method that compares them, else none: those of view 1 for view 2, those of view 1 for view 3, those of
    /// view 2, and those of view 3.
    pub proposals: &'b [Proposals],
    /// The share of the batch's pictures that these are: 1 unless other processes have the others.
    pub share: f64,
}

/// Proposals of objects in one view of each picture of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposals {
    /// The boxes, as shares of the view's width and height, `[B, 4]`.
    pub boxes: Vec<[Region; Self::COUNT]>,
    /// Which proposal of its picture each of them shows, `[B, 4]`; boxes of several views or sets that show the same one are a pair.
    pub ids: Vec<[u32; Self::COUNT]>,
}

impl Proposals {
    /// The boxes in each picture. Of fewer proposals some occur several times.
    pub const COUNT: usize = 4;

    /// The boxes of all pictures, each with the index of its picture, in a view of this size.
    pub(crate) fn in_pixels(&self, size: u32) -> Vec<(usize, Region)> {
        let size = f64::from(size);
        let pixels = |share: Point| Point { x: share.x * size, y: share.y * size };
        let pictures = self.boxes.iter().enumerate();
        pictures.flat_map(|(picture, boxes)| boxes.map(|of| (picture, of.moved(pixels)))).collect()
    }
}

impl Default for Views<'_> {
    /// Nothing, as the whole batch.
    fn default() -> Self {
        Self {
            pixels: Vec::new(),
            cuts: &[],
            pictures: &[],
            keys: &[],
            patches: Vec::new(),
            labels: Vec::new(),
            saliency: Vec::new(),
            proposals: &[],
            share: 1.0,
        }
    }
}

impl Views<'_> {
    /// Both views of a method that has two.
    pub(crate) fn pair(&self) -> [&Tensor; 2] {
        both(&self.pixels)
    }
}

/// What belongs to each of both views.
pub(crate) fn both(of_views: &[Tensor]) -> [&Tensor; 2] {
    let [one, two] = of_views else { panic!("the method compares two views, not {}", of_views.len()) };
    [one, two]
}

/// A way to pre-train an encoder.
pub trait Method {
    /// One step in training mode, up to the loss. Every stop-gradient is a `detach` or a `no_grad` in the method's own file.
    fn step(&mut self, views: &Views, now: Now) -> Step;

    /// Updates what follows the parameters after a step has updated them: momentum encoders, queues. `now` is the step that was
    /// taken. Nothing changes if `skip`, a scalar on the device, is 1.
    fn follow(&mut self, _now: Now, _skip: &Tensor) {}

    /// The encoder that is trained.
    fn encoder(&self) -> &ResNet;

    /// The dense features of pictures `[B, 3, H, W]`, in evaluation mode and without gradient: `[B, C, h, w]`.
    fn features(&self, pictures: &Tensor) -> Tensor {
        tch::no_grad(|| self.encoder().forward(pictures, Mode::Evaluate).last())
    }

    /// Pseudo-category of each cell of pictures `[B, 3, H, W]`, `[B, side, side]`, in evaluation mode; `None` if the
    /// method has none.
    fn categories(&self, _pictures: &Tensor, _side: i64) -> Option<Tensor> {
        None
    }
}

/// One of a method's losses, for those who show it.
#[derive(Clone, Copy, Debug)]
pub struct NamedLoss {
    /// Its name in the log.
    pub name: &'static str,
    /// What the progress line calls it.
    pub short: &'static str,
    /// What the page calls it.
    pub title: &'static str,
    /// What it measures, in a few words.
    pub meaning: &'static str,
}

/// What a method needs beside two views that are drawn independently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Both views are mirrored, or neither.
    pub shared_flip: bool,
    /// Nine patches of the picture for each view, so many pixels a side ([`Views::patches`]).
    pub patches: Option<u32>,
    /// Regions of the picture that were found before the training.
    pub regions: Option<RegionInput>,
}

/// A kind of regions that a method compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionInput {
    /// Segments, [`Views::labels`].
    Segments,
    /// How salient each pixel is, [`Views::saliency`].
    Saliency,
    /// Boxes that may hold things, [`Views::proposals`], in three views.
    Boxes,
}

/// The settings of a method, which are implemented beside it.
pub trait MethodSettings: Debug {
    /// Its name, the value of the key `method`.
    fn name(&self) -> &'static str;

    /// The encoder that it trains.
    fn encoder(&self) -> &EncoderSettings;

    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    fn validate(&self) -> Result<(), SettingError>;

    /// Checks whether a batch of all processes suits the method.
    ///
    /// # Errors
    /// The setting that does not fit.
    fn fits_batch(&self, _batch_size: usize, _processes: usize) -> Result<(), SettingError> {
        Ok(())
    }

    /// Whether something is compared in the overlap of the views, so that views without one are drawn again.
    fn needs_overlap(&self) -> bool {
        false
    }

    /// Whether it compares the cells of the last map by where they lie, so that a view must be a whole number of cells.
    fn needs_whole_cells(&self) -> bool {
        false
    }

    /// What it needs beside two views that are drawn independently.
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }

    /// The predictors to which `optimizer.fixed_predictor_learning_rate` refers.
    fn predictors(&self) -> Predictors {
        Predictors::NONE
    }

    /// Its losses, the most important one first.
    fn losses(&self) -> &'static [NamedLoss];

    /// Its number of pseudo-categories, if it has any.
    fn categories(&self) -> Option<i64> {
        None
    }

    /// What it compares in a training of this length, in a line.
    fn summary(&self, horizon: &Horizon) -> String;

    /// A message to the user before this step, if there is one.
    fn notice(&self, _now: Now) -> Option<&'static str> {
        None
    }

    /// The method in a new model.
    fn build(&self, store: &Store) -> Box<dyn Method>;
}
