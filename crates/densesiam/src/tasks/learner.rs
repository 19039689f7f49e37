//! What a task gives to the training loop: a [`Learner`], whose steps are taken, and an `Observer`, which scores and shows the
//! run. They are separate because a benchmark takes the same steps but shows nothing.

use densesiam_data::loader::Batch;
use densesiam_data::views::Augmentation;
use densesiam_nn::{Step, Store};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use image::RgbImage;
use tch::Tensor;

use crate::error::Error;
use crate::run::{Journal, Run, Trouble};

/// A method together with what it needs to make its batches.
pub trait Learner {
    /// How the learner's views are made.
    type Augmentation: Augmentation;

    /// Prepares for a step, before its batch is taken.
    ///
    /// # Errors
    /// If the run has to end.
    fn prepare(&mut self, _run: &Run, _now: Now) -> Result<(), Trouble> {
        Ok(())
    }

    /// Computes one step up to the loss.
    fn step(&mut self, batch: &Batch<Drawn<Self>>, now: Now) -> Step;

    /// Updates what follows the parameters, after a step has updated them. Nothing changes if `skip`, a scalar on the
    /// device, is 1.
    fn follow(&mut self, _now: Now, _skip: &Tensor) {}

    /// Completes the model after the last step, before it is scored and saved.
    ///
    /// # Errors
    /// If the pictures that this takes cannot be read.
    fn finish(&mut self, _run: &Run, _store: &Store) -> Result<(), Error> {
        Ok(())
    }
}

/// What a learner's loader draws for each sample.
pub type Drawn<L> = <<L as Learner>::Augmentation as Augmentation>::Drawn;

/// Scores a run and draws its pages. Benchmarks have no observer.
pub(super) trait Observer<L> {
    /// A message to the user before this step, if there is one.
    fn notice(&self, _now: Now) -> Option<&'static str> {
        None
    }

    /// Scores the state after this number of steps, if there is something to score it by.
    fn score(&mut self, _learner: &L, _journal: &mut Journal, _step: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The contact sheet and its name.
    fn draw(&mut self, _learner: &L) -> Option<(&'static str, RgbImage)> {
        None
    }

    /// The page of the run.
    fn report(&self, journal: &Journal, status: Status) -> Result<String, Error>;
}
