//! Turns the command line into a plan: a pre-training recipe that is resolved, checked, and printable (`--dry-run`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::index::ImageIndex;
use densesiam_data::regions::{RegionFile, RegionKind};
use densesiam_data::views::beside::{Beside, PATCHES, PretrainViews};
use densesiam_nn::pretrain::{Inputs, MethodSettings, RegionInput};
use densesiam_text::shown;

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
    /// What stands beside the views.
    beside: Beside,
}

impl Plan {
    /// Checks the recipe and resolves it.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or pictures or a device that are not available.
    pub fn new(mut recipe: PretrainRecipe) -> Result<Self, Error> {
        recipe.validate()?;
        recipe.method().fits_batch(recipe.common.train.batch_size, 1)?;
        let Common { train, data, .. } = &recipe.common;
        let patches = recipe.method().inputs().patches.map_or(vec![], |side| vec![side; 2 * PATCHES]);
        views_fit(train.batch_size, data.prefetch, &[vec![recipe.augment.size; 2], patches].concat())?;
        let regions = &mut recipe.regions.regions;
        if !regions.is_empty() {
            // As the pictures' root, so that the run can be resumed from any folder.
            let absolute = std::path::absolute(&*regions).map_err(|source| Error::file(&*regions, source))?;
            *regions = absolute.into_os_string().into_string().unwrap_or_else(|_| regions.clone());
        }
        let names = names(recipe.method());
        let (recipe, mut run) =
            Run::new(recipe, names, |data| Ok(Arc::new(ImageIndex::scan(Path::new(&data.root))?)))?;
        let beside = beside(&recipe, &run.index)?;
        if let Beside::Regions(file) = &beside {
            run.annotations = Some(file.checksum());
        }
        Ok(Self { recipe, run, beside })
    }

    /// A remark if there are too few pictures for these initial weights, else `None`.
    pub fn outlook(&self) -> Option<String> {
        let pictures = self.run.index.len();
        (pictures < FEW_PICTURES && self.recipe.beginning.given().is_none()).then(|| {
            format!(
                "from random weights {pictures} pictures are few: with 1,367 no segmentation gained anything, and the paper \
                 has 118,287; start from given weights, encoder.weights=resnet18.pth, or add pictures"
            )
        })
    }

    /// How the views are made.
    pub fn augmentation(&self) -> PretrainViews {
        let method = self.recipe.method();
        let mut random = self.recipe.augment.clone();
        if !method.needs_overlap() {
            // Such a method, SimSiam for one, takes its views as they are drawn.
            random.overlap_tries = 0;
        }
        PretrainViews { random, shared_flip: method.inputs().shared_flip, beside: self.beside.clone() }
    }
}

/// What the method needs beside its views.
///
/// # Errors
/// When it needs regions and `data.regions` names no file that has them, or names one in vain.
fn beside(recipe: &PretrainRecipe, index: &ImageIndex) -> Result<Beside, Error> {
    let (name, path) = (recipe.method().name(), &recipe.regions.regions);
    let Inputs { patches, regions, .. } = recipe.method().inputs();
    let Some(regions) = regions else {
        if !path.is_empty() {
            return Err(Error::Usage(format!("method = {name} compares no regions; leave data.regions out")));
        }
        return Ok(patches.map_or(Beside::Nothing, Beside::Patches));
    };
    let kind = match regions {
        RegionInput::Segments => RegionKind::Segments,
        RegionInput::Saliency => RegionKind::Saliency,
        RegionInput::Boxes => RegionKind::Boxes,
    };
    if path.is_empty() {
        return Err(Error::Usage(format!(
            "method = {name} compares {kind} of the pictures, which are found once: densesiam data regions {} --kind {kind} --out \
             regions.zip, and then data.regions=regions.zip",
            shown(&recipe.common.data.root)
        )));
    }
    let file = RegionFile::open(Path::new(path), index)?;
    if file.kind() != kind {
        let found = file.kind();
        return Err(Error::Usage(format!(
            "data.regions = {path} holds {found}; method = {name} compares {kind}"
        )));
    }
    Ok(Beside::Regions(Arc::new(file)))
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
        if let Beside::Regions(file) = &self.beside {
            let without = file.unreadable();
            writeln!(
                formatter,
                "regions     {} from {}, {without} pictures have none",
                file.kind(),
                self.recipe.regions.regions
            )?;
        }
        self.outlook().map_or(Ok(()), |outlook| writeln!(formatter, "outlook     {outlook}"))
    }
}
