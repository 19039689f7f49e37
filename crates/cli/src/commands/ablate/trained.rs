//! One training of an ablation, of any task.

use std::fmt::Display;
use std::path::Path;

use densesiam::error::Error;
use densesiam::import::check_encoder;
use densesiam::recipe::ablation::Task;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::Model;
use densesiam::recipe::transfer::detection::DetectionRecipe;
use densesiam::recipe::transfer::segmentation::FcnRecipe;
use densesiam::recipe::{Common, Training, find};
use densesiam::run::Table;
use densesiam::tasks::segment::{Absent, Cost};
use densesiam::tasks::transfer::{detection, segmentation};
use densesiam::tasks::{pretrain, segment};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::{Voice, say};
use densesiam_engine::run_dir::{RunLayout, Start};
use densesiam_nn::Architecture;
use densesiam_report::page::Series;

use super::table::{Figures, number};
use crate::commands::interrupt;

/// What is trained.
#[derive(Clone)]
pub(super) enum Trained {
    /// An encoder.
    Pretrain(PretrainRecipe),
    /// A segmentation without labels.
    Segment(SegmentRecipe),
    /// A segmentation with labels.
    Fcn(FcnRecipe),
    /// A detector.
    Detector(DetectionRecipe),
}

/// Scores: the column of the table, which is in percent, and the name in `evaluations.jsonl`, where they are fractions.
type Scores = &'static [(&'static str, &'static str)];

impl Trained {
    /// The recipe of a task with this name, with settings laid over it.
    pub(super) fn find(task: Task, recipe: &str, settings: &[String]) -> Result<Self, Error> {
        Ok(match task {
            Task::Pretrain => Self::Pretrain(find(recipe, settings)?),
            Task::Segment => Self::Segment(find(recipe, settings)?),
            Task::Transfer => match Model::of(recipe, settings)? {
                Model::Fcn => Self::Fcn(find(recipe, settings)?),
                Model::Detector => Self::Detector(find(recipe, settings)?),
            },
        })
    }

    /// The tables that every training has.
    pub(super) fn common(&mut self) -> &mut Common {
        match self {
            Self::Pretrain(recipe) => recipe.common(),
            Self::Segment(recipe) => recipe.common(),
            Self::Fcn(recipe) => recipe.common(),
            Self::Detector(recipe) => recipe.common(),
        }
    }

    /// Which encoder.
    pub(super) fn architecture(&self) -> Architecture {
        match self {
            Self::Pretrain(recipe) => recipe.architecture(),
            Self::Segment(recipe) => recipe.architecture(),
            Self::Fcn(recipe) => recipe.architecture(),
            Self::Detector(recipe) => recipe.architecture(),
        }
    }

    /// Checks that its run could begin.
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::Pretrain(recipe) => check_encoder(&pretrain::Plan::new(recipe)?.recipe),
            Self::Segment(recipe) => check_encoder(&segment::Plan::new(recipe)?.recipe),
            Self::Fcn(recipe) => check_encoder(&segmentation::Plan::new(recipe)?.recipe),
            Self::Detector(recipe) => check_encoder(&detection::Plan::new(recipe)?.recipe),
        }
    }

    /// Trains in the recipe's run directory.
    pub(super) fn train(self, start: Start) -> Result<(), Error> {
        match self {
            Self::Pretrain(recipe) => train(&pretrain::Plan::new(recipe)?, start, pretrain::pretrain),
            Self::Segment(recipe) => train(&segment::Plan::new(recipe)?, start, segment::segment),
            Self::Fcn(recipe) => train(&segmentation::Plan::new(recipe)?, start, segmentation::transfer),
            Self::Detector(recipe) => train(&detection::Plan::new(recipe)?, start, detection::transfer),
        }
    }

    /// The scores of its last evaluation; none of a pre-training.
    fn scores(&self) -> Scores {
        match self {
            Self::Pretrain(_) => &[],
            Self::Segment(_) => &[("last mIoU", "mIoU"), ("last aAcc", "aAcc")],
            Self::Fcn(_) => &[("mIoU", "mIoU"), ("aAcc", "aAcc")],
            Self::Detector(_) => &[
                ("mask AP", "mask_AP"),
                ("mask AP50", "mask_AP50"),
                ("mask AP75", "mask_AP75"),
                ("AP", "AP"),
                ("AP50", "AP50"),
                ("AP75", "AP75"),
            ],
        }
    }

    /// The figures of a finished run, scores in percent.
    pub(super) fn figures(&self, run: &Path) -> Result<Figures, Error> {
        let run = RunLayout::new(run);
        let (metrics, evaluations) = (Table::read(&run.metrics())?, Table::read(&run.evaluations())?);
        let scores = self.scores().iter().map(|&(shown, name)| (shown, evaluations.last(name)));
        let mut figures: Vec<_> = scores.map(|(shown, score)| (shown, score.map(|of| 100.0 * of))).collect();
        match self {
            Self::Pretrain(_) => {
                let last = ["loss", "spread", "categories_used"].map(|name| (name, metrics.last(name)));
                figures.extend(last);
                figures.push(("pictures/s", Some(metrics.median("pictures_per_second"))));
                figures.push(("memory, MB", metrics.last("peak_memory_megabytes")));
            }
            Self::Segment(_) => {
                let best = evaluations.values("mIoU").reduce(f64::max).map(|best| 100.0 * best);
                figures.insert(1, ("best mIoU", best));
                let absent = evaluations.last_row().and_then(Absent::recorded);
                figures.push(("absent classes", absent.and_then(|of| number(&of))));
                let cost = Cost::of(&metrics, &evaluations);
                figures.extend(cost.iter().flat_map(Cost::figures).map(|(name, value)| (name, Some(value))));
            }
            Self::Fcn(_) | Self::Detector(_) => {}
        }
        Ok(figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// What the run's curve shows, and the curve: the score, or the loss of a pre-training.
    pub(super) fn curve(&self, run: &Path, name: String) -> Result<(&'static str, Series), Error> {
        let run = RunLayout::new(run);
        let (table, shown, scale) = match self {
            Self::Pretrain(_) => (Table::read(&run.metrics())?, "loss", 1.0),
            Self::Segment(_) | Self::Fcn(_) => (Table::read(&run.evaluations())?, "mIoU", 100.0),
            Self::Detector(_) => (Table::read(&run.evaluations())?, "AP", 100.0),
        };
        let points = table.points(shown).map(|(step, value)| (step, scale * value)).collect();
        Ok((shown, Series { name, points }))
    }
}

/// Says what is planned, and trains as planned.
fn train<P: Display>(
    plan: &P,
    start: Start,
    train: impl FnOnce(&P, Start, &Voice, &Interrupt) -> Result<(), Error>,
) -> Result<(), Error> {
    say(plan);
    train(plan, start, &Voice::Terminal, &interrupt()?)
}
