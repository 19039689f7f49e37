//! What a task gives to the training loop: a [`Learner`], whose steps are taken, and an `Observer`, which scores and shows
//! what came of them. Apart, because a measurement takes the same steps and shows nothing.

use densesiam_data::loader::Batch;
use densesiam_data::views::Augmentation;
use densesiam_engine::optimizer::not_finite;
use densesiam_nn::{Step, Watched};
use densesiam_report::page::Status;
use densesiam_settings::duration::Now;
use image::RgbImage;
use tch::Tensor;

use crate::error::Error;
use crate::run::{Journal, Run, State, Stopwatch, Trouble};

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

/// What is scored and shown of a run. A measurement of the step has none.
pub(super) trait Observer<L> {
    /// What is worth saying before this step.
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

/// A step that was taken. Nothing in it has been read from the device.
pub struct Taken {
    /// What the learner left.
    pub output: Step,
    /// The L2 norm of all gradients.
    pub gradient_norm: Tensor,
    /// 1 where loss or gradient were not finite, and no parameter was changed; else 0.
    pub skip: Tensor,
    /// Seconds of the forward pass, the backward pass and the optimizer. A CUDA device still computes then.
    pub seconds: [f64; 3],
}

/// Takes one step: forward, backward, optimizer. What is measured (`densesiam bench step`) is this, and this trains.
pub fn take_step<L: Learner>(
    learner: &mut L,
    state: &mut State,
    batch: &Batch<Drawn<L>>,
    now: Now,
    learning_rate: f64,
) -> Taken {
    let mut watch = Stopwatch::start();
    let output = learner.step(batch, now);
    let forward = watch.lap();
    state.optimizer.zero_gradients();
    // Nothing has a gradient where no loss that has a weight is computed: before its start, or without overlap.
    if output.loss.requires_grad() {
        output.loss.backward();
    }
    let backward = watch.lap();
    let gradient_norm = state.optimizer.gradient_norm();
    // A step whose loss or gradient is not finite changes no parameter; that it was so is read at the next log, or at once
    // where reading costs nothing.
    let skip = not_finite(&(output.loss.detach() + &gradient_norm));
    state.optimizer.step(learning_rate, Some(&skip));
    learner.follow(now, &skip);
    state.step = now.step + 1;
    Taken { output, gradient_norm, skip, seconds: [forward, backward, watch.lap()] }
}

impl Taken {
    /// The scalars of the step by their names in the log, those of the monitors where they are due.
    pub(super) fn numbers(&self, is_monitored: bool) -> Vec<(&'static str, Tensor)> {
        let mut numbers = vec![("loss", self.output.loss.shallow_clone())];
        numbers.extend(self.output.parts.iter().map(|(name, part)| (*name, part.shallow_clone())));
        numbers.push(("gradient_norm", self.gradient_norm.shallow_clone()));
        let watched = self.output.watched.iter().filter(|_| is_monitored);
        numbers.extend(watched.flat_map(Watched::numbers));
        numbers
    }
}
