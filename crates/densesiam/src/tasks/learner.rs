//! What a task gives to the training loop: a [`Learner`], whose steps are taken, and an `Observer`, which scores and shows the
//! run. They are separate because a benchmark takes the same steps but shows nothing.

use densesiam_data::loader::Batch;
use densesiam_data::views::Augmentation;
use densesiam_nn::Step;
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use image::RgbImage;
use tch::Tensor;

use crate::error::Error;
use crate::run::{Journal, Run, Trouble};

/// What is learned: a method with what its batches need.
pub trait Learner {
    /// How its views are made.
    type Augmentation: Augmentation;

    /// What has to be done before the batch of a step is taken.
    ///
    /// # Errors
    /// Where the run has to end.
    fn prepare(&mut self, _run: &Run, _now: Now) -> Result<(), Trouble> {
        Ok(())
    }

    /// One step up to the loss.
    fn step(&mut self, batch: &Batch<Drawn<Self>>, now: Now) -> Step;

    /// What follows the parameters after they were stepped. Nothing changes where `skip`, a scalar on the device, is 1.
    fn follow(&mut self, _now: Now, _skip: &Tensor) {}
}

/// What a learner's loader draws for each sample.
pub type Drawn<L> = <<L as Learner>::Augmentation as Augmentation>::Drawn;

/// Scores a run and draws its pages. Benchmarks have no observer.
pub(super) trait Observer<L> {
    /// A message to the user before this step, if there is one.
    fn notice(&self, _now: Now) -> Option<&'static str> {
        None
    }

    /// Scores the state after so many steps, where there is something to score it by.
    fn score(&mut self, _learner: &L, _journal: &mut Journal, _step: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The contact sheet, by its name.
    fn draw(&mut self, _learner: &L) -> Option<(&'static str, RgbImage)> {
        None
    }

    /// The page of the run.
    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error>;
}
