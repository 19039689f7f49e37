//! Turns the command line into a plan: a pre-training recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;

use densesiam_data::index::ImageIndex;
use densesiam_data::views::random::RandomViews;
use densesiam_nn::pretrain::MethodSettings;

use crate::error::Error;
use crate::memory::views_fit;
use crate::recipe::pretrain::PretrainRecipe;
use crate::recipe::{Common, Recipe};
use crate::run::{Run, TaskNames};

/// With fewer pictures than this, an encoder trained from random weights is hardly better than the random weights: seen
/// with 1,367 pictures (ours), not seen with 118,287 (the paper).
const FEW_PICTURES: usize = 10_000;

/// A pre-training that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: PretrainRecipe,
    /// Pictures, machine, length.
    pub run: Run,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures or a device that are not available.
    pub fn new(recipe: PretrainRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        recipe.method().fits_batch(recipe.common.train.batch_size, 1)?;
        let Common { train, data, .. } = &recipe.common;
        views_fit(train.batch_size, data.prefetch, recipe.augment.size)?;
        let names = names(recipe.method());
        let (recipe, run) = Run::new(recipe, names, |data| Ok(ImageIndex::scan(Path::new(&data.root))?))?;
        Ok(Self { recipe, run })
    }

    /// A remark if there are too few pictures for these initial weights, else `None`.
    pub fn outlook(&self) -> Option<String> {
        let pictures = self.run.index.len();
        (pictures < FEW_PICTURES && self.recipe.beginning.weights.is_empty()).then(|| {
            format!(
                "from random weights {pictures} pictures are few: with 1,367 no segmentation gained anything, and the paper \
                 has 118,287; start from given weights, encoder.weights=resnet18.pth, or add pictures"
            )
        })
    }

    /// How the views are made.
    pub fn augmentation(&self) -> RandomViews {
        let mut views = self.recipe.augment.clone();
        if !self.recipe.method().needs_overlap() {
            // Such a method, SimSiam for one, takes its views as they are drawn.
            views.overlap_tries = 0;
        }
        views
    }
}

/// What a pre-training by this method is called, and what its progress line shows.
fn names(method: &dyn MethodSettings) -> TaskNames {
    // A single loss is the sum.
    let parts = if method.losses().len() > 1 { method.losses() } else { &[] };
    let losses = parts.iter().map(|loss| (loss.name, loss.short));
    let shown = [("loss", "loss")].into_iter().chain(losses).chain([("learning_rate", "lr")]);
    TaskNames {
        name: "pretrain",
        method: method.name(),
        encoder: densesiam_nn::ENCODER,
        shown: shown.collect(),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let losses = self.recipe.method().summary(&self.run.horizon);
        write!(formatter, "{}", self.run)?;
        writeln!(formatter, "encoder     {}", self.run.encoder())?;
        writeln!(formatter, "losses      {losses}")?;
        self.outlook().map_or(Ok(()), |outlook| writeln!(formatter, "outlook     {outlook}"))
    }
}
