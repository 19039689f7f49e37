//! From what was typed to what will be done: a pre-training recipe resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;

use densesiam_data::index::ImageIndex;
use densesiam_data::loader::Loader;
use densesiam_engine::optimizer::{FixedPredictor, Optimizer};
use densesiam_nn::Store;
use densesiam_settings::duration::Duration;

use crate::error::Error;
use crate::import::beginning;
use crate::memory::views_fit;
use crate::recipe::Recipe;
use crate::recipe::pretrain::PretrainRecipe;
use crate::run::{Facts, Setup, Tables};
use densesiam_settings::keys;

/// Below so many pictures an encoder from random weights is hardly better than they are: seen with 1,367 (ours), not seen
/// with 118,287 (the paper).
const FEW_PICTURES: usize = 10_000;

/// A pre-training that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: PretrainRecipe,
    /// Pictures, machine, length.
    pub setup: Setup,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// What cannot be, by its key; or that pictures or device cannot be had.
    pub fn new(mut recipe: PretrainRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        views_fit(recipe.train.batch_size, recipe.data.prefetch, recipe.augment.size)?;
        let regions_start =
            if recipe.model().has_regionsim() { recipe.regionsim.start } else { Duration::Never };
        let PretrainRecipe { run, data, train, monitor, optimizer, .. } = &mut recipe;
        let tables = Tables { run, data, train, monitor, optimizer, regions_start };
        let setup = Setup::new(tables, |data| Ok(ImageIndex::scan(Path::new(&data.root))?))?;
        Ok(Self { recipe, setup })
    }

    /// Side of the encoder's last map.
    pub fn cells(&self) -> usize {
        self.recipe.augment.size.div_ceil(32) as usize
    }

    /// For whom so many pictures from this beginning are enough; `None` where nothing is to be said.
    pub fn outlook(&self) -> Option<String> {
        let pictures = self.setup.index.len();
        (pictures < FEW_PICTURES && self.recipe.encoder.weights.is_empty()).then(|| {
            format!(
                "from random weights {pictures} pictures are few: with 1,367 no segmentation gained anything, and the paper \
                 has 118,287; start from given weights, encoder.weights=resnet18.pth, or add pictures"
            )
        })
    }

    /// What the run directory records.
    pub fn facts(&self) -> Facts<'_> {
        let recipe = &self.recipe;
        Facts {
            task: "pretrain",
            run: &recipe.run,
            train: &recipe.train,
            monitor: &recipe.monitor,
            recipe: keys::dump(recipe),
            complete: keys::complete::<PretrainRecipe>,
            root: &recipe.data.root,
            architecture: recipe.encoder.settings.architecture,
            setup: &self.setup,
            shown: &[
                ("loss", "loss"),
                ("loss_global", "global"),
                ("loss_pixel", "pixel"),
                ("loss_region", "region"),
                ("learning_rate", "lr"),
            ],
        }
    }

    /// The optimizer of the parameters in `store`.
    ///
    /// # Errors
    /// As [`Setup::optimizer`].
    pub fn optimizer(&self, store: &Store) -> Result<Optimizer, Error> {
        let fixed = match self.recipe.optimizer.fixed_predictor_learning_rate {
            FixedPredictor::None => [].as_slice(),
            FixedPredictor::Global => &["global_predictor"],
            FixedPredictor::All => &["global_predictor", "pixel_predictor", "region_predictor"],
        };
        self.setup.optimizer(&self.recipe.optimizer, store, fixed)
    }

    /// The loader of all batches from `step` on; `known_bad` are the unreadable pictures met before.
    ///
    /// # Errors
    /// As [`Setup::loader`].
    pub fn loader(&self, step: u64, known_bad: &[(u64, String)]) -> Result<Loader, Error> {
        let mut augmentation = self.recipe.augment.clone();
        if !self.recipe.model().needs_overlap() {
            // SimSiam takes its views as they fall.
            augmentation.overlap_tries = 0;
        }
        self.setup.loader(augmentation, (self.recipe.run.seed, &self.recipe.data), step, known_bad)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recipe, model) = (&self.recipe, self.recipe.model());
        let regions = self.setup.when.regions_start.map_or("off".into(), |step| format!("at step {step}"));
        let pixsim = if model.has_pixsim() { format!("{0} x {0}", recipe.pixsim.grid) } else { "off".into() };
        write!(formatter, "{}", self.setup)?;
        writeln!(
            formatter,
            "encoder     {}",
            beginning(recipe.encoder.settings.architecture, &recipe.encoder.weights)
        )?;
        writeln!(formatter, "losses      PixSim {pixsim}, RegionSim {regions}")?;
        self.outlook().map_or(Ok(()), |outlook| writeln!(formatter, "outlook     {outlook}"))
    }
}
