//! How long a training takes on this machine: a few of its steps are tried, with its pictures, and thrown away.

use std::fmt::Display;
use std::path::Path;

use densesiam_engine::log::{say, spoken};
use densesiam_engine::run_dir::RunLayout;
use densesiam_settings::duration::{Duration, Length};
use densesiam_settings::schedule::ScheduleSettings;

use super::bench;
use densesiam::error::Error;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{Common, Training, find};
use densesiam::tasks::{pretrain, segment};

/// Most pictures in a step that is tried: on a processor the rate hardly depends on their number, and the memory does.
const TRIED: usize = 16;

/// A recipe whose steps can be tried.
pub(super) trait Timed: Training {
    /// Pictures a second of the steps of this recipe.
    ///
    /// # Errors
    /// As a training would not begin.
    fn steps_rate(self) -> Result<f64, Error>;

    /// Pictures a second of a training by this recipe, evaluations apart.
    ///
    /// # Errors
    /// As a training would not begin.
    fn rate(&self) -> Result<f64, Error> {
        let mut tried = self.clone();
        let Common { train, optimizer, .. } = tried.common();
        train.batch_size = train.batch_size.min(TRIED);
        train.duration = Length::Counted(Duration::Steps(TRIED as u64));
        optimizer.schedule = ScheduleSettings::default();
        tried.steps_rate()
    }
}

/// A recipe, and the rate of its steps where it was measured on the way to it, so that steps are tried once.
pub(super) struct Measured<R> {
    pub(super) recipe: R,
    /// Pictures a second.
    pub(super) known_rate: Option<f64>,
}

impl<R: Timed> Measured<R> {
    /// A recipe whose steps were not tried yet.
    pub(super) fn not_yet(recipe: R) -> Self {
        Self { recipe, known_rate: None }
    }

    /// Pictures a second, evaluations apart.
    ///
    /// # Errors
    /// As a training would not begin.
    pub(super) fn rate(&self) -> Result<f64, Error> {
        self.known_rate.map_or_else(|| self.recipe.rate(), Ok)
    }

    /// The recipe with its length in steps where it was given as a time: a few steps are tried, and the result is said. A run
    /// that goes on keeps the steps with which it began.
    ///
    /// # Errors
    /// As a training would not begin.
    pub(super) fn in_steps(mut self, resume: bool) -> Result<Self, Error> {
        let Length::Time(seconds) = self.recipe.common().train.duration else { return Ok(self) };
        let run = self.recipe.run();
        let begun = RunLayout::new(Path::new(&run.dir).join(&run.name)).recipe();
        if resume && begun.is_file() {
            let mut begun: R = find(&begun.display().to_string(), &[])?;
            self.recipe.common().train.duration = begun.common().train.duration;
            return Ok(self);
        }
        let rate = self.rate()?;
        let train = &mut self.recipe.common().train;
        let steps = (seconds * rate / train.batch_size as f64).max(1.0) as u64;
        let steps = Length::Counted(Duration::Steps(steps));
        say(format_args!(
            "train.duration = \"{}\" becomes \"{steps}\": {rate:.1} pictures a second here, evaluations apart",
            train.duration
        ));
        train.duration = steps;
        Ok(Self { known_rate: Some(rate), ..self })
    }
}

impl Timed for PretrainRecipe {
    fn steps_rate(self) -> Result<f64, Error> {
        bench::pretrain_rate(pretrain::Plan::new(self)?)
    }
}

impl Timed for SegmentRecipe {
    fn steps_rate(self) -> Result<f64, Error> {
        bench::segment_rate(segment::Plan::new(self)?)
    }
}

/// The time of so many pictures at this rate, as a line of a plan.
pub(super) fn time_line(pictures: u64, rate: f64) -> impl Display {
    let seconds = pictures as f64 / rate;
    format!(
        "time        about {} at {rate:.1} pictures a second, measured here; evaluations apart",
        spoken(seconds as u64)
    )
}
