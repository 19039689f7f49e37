//! Estimates how long a training takes on this machine: tries a few of its steps with its pictures, and discards the
//! result.

use std::fmt::Display;
use std::path::Path;

use densesiam_engine::log::{say, spoken};
use densesiam_engine::run_dir::RunLayout;
use densesiam_settings::duration::{Duration, Length};
use densesiam_settings::schedule::ScheduleSettings;

use super::bench;
use super::processes::{GoingOn, Processes, found_by_first, voice};
use crate::answer::answer;
use densesiam::error::Error;
use densesiam::import::check_encoder;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::detection::DetectionRecipe;
use densesiam::recipe::transfer::segmentation::FcnRecipe;
use densesiam::recipe::{Common, Training, find};
use densesiam::run::Run;
use densesiam::tasks::transfer::{detection, segmentation};
use densesiam::tasks::{pretrain, segment};

/// The most pictures in a trial step: on a processor their number hardly changes the rate, but it changes the memory.
const TRIED: usize = 16;

/// A recipe whose steps can be tried.
pub(super) trait Timed: Training {
    /// Pictures per second of the steps of this recipe, taken by all `processes` together.
    ///
    /// # Errors
    /// The errors with which a training would fail to begin.
    fn steps_rate(self, processes: Option<&Processes>) -> Result<f64, Error>;

    /// What a training does beside the steps, and its rate leaves out.
    fn apart(&self) -> &'static str {
        "evaluations"
    }

    /// Pictures per second of a training by this recipe, without evaluations: the same in all `processes`.
    ///
    /// # Errors
    /// The errors with which a training would fail to begin.
    fn rate(&self, processes: Option<&Processes>) -> Result<f64, Error> {
        let mut tried = self.clone();
        let Common { train, optimizer, .. } = tried.common();
        train.batch_size =
            train.batch_size.min(TRIED * processes.map_or(1, |processes| processes.membership.world));
        train.duration = Length::Counted(Duration::Steps(TRIED as u64));
        optimizer.schedule = ScheduleSettings::default();
        tried.steps_rate(processes)
    }
}

/// A recipe, and the rate of its steps if it was already measured while choosing the recipe, so that steps are tried
/// only once.
pub(super) struct Measured<R> {
    pub(super) recipe: R,
    /// Pictures a second.
    pub(super) known_rate: Option<f64>,
}

impl<R: Timed> Measured<R> {
    /// A recipe whose steps have not been tried yet.
    pub(super) fn not_yet(recipe: R) -> Self {
        Self { recipe, known_rate: None }
    }

    /// Pictures per second, without evaluations.
    ///
    /// # Errors
    /// The errors with which a training would fail to begin.
    pub(super) fn rate(&self, processes: Option<&Processes>) -> Result<f64, Error> {
        self.known_rate.map_or_else(|| self.recipe.rate(processes), Ok)
    }

    /// Converts a length that was given as a time to steps: tries a few steps, and prints the result. A resumed run
    /// keeps the number of steps that it began with.
    ///
    /// # Errors
    /// The errors with which a training would fail to begin.
    pub(super) fn in_steps(
        mut self,
        going_on: &GoingOn,
        processes: Option<&Processes>,
    ) -> Result<Self, Error> {
        let Length::Time(seconds) = self.recipe.common().train.duration else { return Ok(self) };
        let run = self.recipe.run().clone();
        if going_on.is_possible() {
            let layout = RunLayout::new(Path::new(&run.dir).join(&run.name));
            let begun = layout.recipe();
            let duration = found_by_first(processes, ("length", &run), || {
                let goes_on = going_on.is_meant(&layout);
                let recipe = goes_on.then(|| find::<R>(&begun.display().to_string(), &[])).transpose()?;
                Ok(recipe.map(|mut recipe| recipe.common().train.duration))
            })?;
            if let Some(duration) = duration {
                self.recipe.common().train.duration = duration;
                return Ok(self);
            }
        }
        let rate = self.rate(processes)?;
        let apart = self.recipe.apart();
        let train = &mut self.recipe.common().train;
        let steps = (seconds * rate / train.batch_size as f64).max(1.0) as u64;
        let steps = Length::Counted(Duration::Steps(steps));
        voice().say(format_args!(
            "train.duration = \"{}\" becomes \"{steps}\": {rate:.1} pictures a second here, {apart} apart",
            train.duration
        ));
        train.duration = steps;
        Ok(Self { known_rate: Some(rate), ..self })
    }
}

/// `--dry-run`: prints the complete recipe and what would be done, and how long that takes here.
///
/// # Errors
/// The errors with which a training would fail to begin.
pub(super) fn dry_run<R: Timed, P: Display>(
    measured: &Measured<R>,
    mut plan: P,
    run_of: impl FnOnce(&mut P) -> &mut Run,
) -> Result<(), Error> {
    let described = plan.to_string();
    let run = run_of(&mut plan);
    check_encoder(&measured.recipe)?;
    answer(&run.recipe)?;
    let (horizon, rate) = (&run.horizon, measured.rate(None)?);
    let seconds = (horizon.total_steps * horizon.batch_size) as f64 / rate;
    say(format_args!(
        "\n{described}time        about {} at {rate:.1} pictures a second, measured here; {} apart",
        spoken(seconds as u64),
        measured.recipe.apart()
    ));
    Ok(())
}

impl Timed for PretrainRecipe {
    fn steps_rate(self, processes: Option<&Processes>) -> Result<f64, Error> {
        bench::pretrain_rate(pretrain::Plan::new(self)?, processes)
    }
}

/// Of a transfer that measures the statistics of batch norm again over so many batches.
fn apart_of_transfer(precise_batches: u64) -> &'static str {
    match precise_batches {
        0 => "evaluations",
        _ => "evaluations and the last measuring of batch norm's statistics",
    }
}

impl Timed for FcnRecipe {
    fn apart(&self) -> &'static str {
        apart_of_transfer(self.evaluate.precise_batches)
    }

    fn steps_rate(self, processes: Option<&Processes>) -> Result<f64, Error> {
        bench::fcn_rate(segmentation::Plan::new(self)?, processes)
    }
}

impl Timed for DetectionRecipe {
    fn apart(&self) -> &'static str {
        apart_of_transfer(self.evaluate.precise_batches)
    }

    fn steps_rate(self, processes: Option<&Processes>) -> Result<f64, Error> {
        bench::detection_rate(detection::Plan::new(self)?, processes)
    }
}

impl Timed for SegmentRecipe {
    fn apart(&self) -> &'static str {
        let clusters = self.method().clustering(2).is_some();
        if clusters { "evaluations and clustering" } else { "evaluations" }
    }

    fn steps_rate(self, processes: Option<&Processes>) -> Result<f64, Error> {
        bench::segment_rate(segment::Plan::new(self)?, processes)
    }
}
