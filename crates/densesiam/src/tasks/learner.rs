//! What a task gives to the training loop: a [`Learner`], whose steps are taken, and an `Observer`, which scores and shows the
//! run. They are separate because a benchmark takes the same steps but shows nothing.

use densesiam_data::loader::Batch;
use densesiam_data::views::Augmentation;
use densesiam_engine::interrupt::Interrupt;
use densesiam_nn::{Step, Store};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use image::RgbImage;
use tch::Tensor;

use crate::error::Error;
use crate::run::{Journal, Run, State, Trouble};

/// A method together with what it needs to make its batches.
pub trait Learner {
    /// How the learner's views are made.
    type Augmentation: Augmentation;

    /// Prepares for a step, once its batch is there. Returns what that took, in seconds, by its names in the log.
    ///
    /// # Errors
    /// If the run has to end; the state is then as it was.
    fn prepare(
        &mut self,
        _run: &Run,
        _state: &mut State,
        _interrupt: &Interrupt,
        _now: Now,
    ) -> Result<Vec<(&'static str, f64)>, Trouble> {
        Ok(Vec::new())
    }

    /// Labels a batch for its step, without a gradient, if the method learns from its own labels; returns whether it does.
    fn label(&mut self, _batch: &Batch<Drawn<Self>>) -> bool {
        false
    }

    /// Computes one step up to the loss.
    fn step(&mut self, batch: &Batch<Drawn<Self>>, now: Now) -> Step;

    /// Updates what follows the parameters, after a step has updated them. Nothing changes if `skip`, a scalar on the
    /// device, is 1.
    fn follow(&mut self, _now: Now, _skip: &Tensor) {}

    /// Whether the model is completed after the last step.
    fn finishes(&self) -> bool {
        false
    }

    /// Completes the model after the last step, if [`Learner::finishes`], before it is scored and saved: a function of its state, which may be done again.
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
