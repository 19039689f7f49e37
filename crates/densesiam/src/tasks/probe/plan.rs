//! A plan: a probe that is resolved, checked, and printable. All encoders have been opened once before the first is
//! probed.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::labelled::{LabelFinding, LabelSurvey, LabelledSet, ReadingSettings};
use densesiam_engine::device::{Precision, resolve_threads};
use densesiam_nn::EncoderSettings;
use tch::Device;

use super::encoder::NamedEncoder;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::recipe::probe::ProbeRecipe;
use crate::run::workers;

/// The most bytes of features of the training pictures that are kept in memory.
const MOST_BYTES: u64 = 4 << 30;

/// A probe that can begin.
#[derive(Debug)]
pub struct Plan {
    /// The complete recipe.
    pub recipe: ProbeRecipe,
    /// What is probed, in the order of the command line.
    pub encoders: Vec<NamedEncoder>,
    /// The seeds of the layers, and of random encoders.
    pub seeds: Vec<u64>,
    /// The device that computes.
    pub device: Device,
    /// The arithmetic of the encoder; the layer's is float32.
    pub precision: Precision,
    /// Threads of libtorch.
    pub threads: usize,
    /// The pictures that layers are trained on.
    pub training: Arc<LabelledSet>,
    /// The pictures that they are scored on.
    pub validation: Arc<LabelledSet>,
    /// Findings about the labels of either set that make the scores say little.
    pub doubts: Vec<LabelFinding>,
    /// How both sets are read.
    pub reading: ReadingSettings,
}

impl Plan {
    /// Checks the recipe, the labelled set and the encoders; the seeds are `run.seed` and the next ones.
    ///
    /// # Errors
    /// A setting that is not allowed, with its key; or labels, a device or weights that are not available.
    pub fn new(recipe: ProbeRecipe, encoders: Vec<NamedEncoder>, seeds: u64) -> Result<Self, Error> {
        recipe.validate()?;
        if seeds == 0 {
            return Err(Error::Usage("--seeds has to be at least 1".into()));
        }
        let device = recipe.run.device.resolve()?;
        let (precision, _) = recipe.run.precision.resolve(device);
        let (training, validation) = sets(&recipe)?;
        let reading = recipe.reading(workers(recipe.data.workers, device));
        let doubt = |set| LabelSurvey::of(set, &reading.limits).finding();
        let plan = Self {
            doubts: [&training, &validation].into_iter().filter_map(doubt).collect(),
            seeds: (0..seeds).map(|number| recipe.run.seed.wrapping_add(number)).collect(),
            device,
            precision,
            threads: resolve_threads(recipe.run.threads),
            training: Arc::new(training),
            validation: Arc::new(validation),
            reading,
            recipe,
            encoders,
        };
        for encoder in &plan.encoders {
            // Random weights need no check, because they fit any architecture.
            let architecture = match encoder.depends_on_seed() {
                true => plan.recipe.encoder.architecture,
                false => encoder.open(&plan.recipe.encoder, device, plan.recipe.run.seed)?.1,
            };
            plan.fits_memory(&EncoderSettings { architecture, ..plan.recipe.encoder })?;
        }
        Ok(plan)
    }

    fn fits_memory(&self, encoder: &EncoderSettings) -> Result<(), Error> {
        let probe = &self.recipe.probe;
        let values = |[channels, side]: [i64; 2]| channels * side * side;
        let of_one =
            4 * probe.features.shapes(encoder, probe.size).into_iter().map(values).sum::<i64>() as u64;
        let pictures = self.training.len() as u64;
        if of_one * pictures <= MOST_BYTES {
            return Ok(());
        }
        let gigabytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let fewer = match MOST_BYTES / of_one {
            0 => String::new(),
            most => format!("probe.pictures={most}, or "),
        };
        Err(Error::Usage(format!(
            "the features of {pictures} pictures take {:.1} GiB, and a probe keeps at most {:.0} GiB in memory; set \
             {fewer}a smaller probe.size or probe.features",
            gigabytes(of_one * pictures),
            gigabytes(MOST_BYTES)
        )))
    }
}

/// The pictures to train on, reduced in number as the recipe says, and the pictures to score on.
fn sets(recipe: &ProbeRecipe) -> Result<(LabelledSet, LabelledSet), Error> {
    let (labels, root) = (&recipe.labels, Path::new(&recipe.data.root));
    if recipe.data.root.is_empty() {
        let message = "data.root is not set: a probe needs labelled pictures, data.root=DIR";
        return Err(Error::Usage(message.into()));
    }
    if labels.val.is_empty() || labels.train.is_empty() {
        return Err(Error::Usage("a probe needs two splits: set labels.train and labels.val".into()));
    }
    let (mut training, validation) = (labels.open(root, &labels.train)?, labels.open(root, &labels.val)?);
    let scored: HashSet<_> =
        (0..validation.len()).map(|sample| validation.picture(sample).to_string()).collect();
    let mut trained = (0..training.len()).map(|sample| training.picture(sample).to_string());
    if let Some(both) = trained.find(|picture| scored.contains(picture)) {
        return Err(Error::Usage(format!(
            "{both} is in both {} and {}, and a layer has to be scored on pictures that it was not trained on; set \
             labels.train and labels.val to splits without common pictures",
            training.name, validation.name
        )));
    }
    if recipe.probe.pictures > 0 {
        training.thin_out(recipe.probe.pictures);
    }
    Ok((training, validation))
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (probe, training, validation) = (&self.recipe.probe, &self.training, &self.validation);
        writeln!(
            formatter,
            "pictures    {} of {}, scored on {} of {}, {} pixels",
            training.len(),
            training.name,
            validation.len(),
            validation.name,
            probe.size
        )?;
        let (encoders, seeds) = (self.encoders.len(), self.seeds.len());
        writeln!(
            formatter,
            "probe       one linear layer on {}, {} epochs; {encoders} encoders, {seeds} seeds",
            format!("{:?}", probe.features).to_lowercase(),
            probe.epochs,
        )?;
        writeln!(formatter, "device      {:?}, {:?}, {} threads", self.device, self.precision, self.threads)?;
        self.doubts.iter().try_for_each(|doubt| writeln!(formatter, "WARNING     {doubt}"))
    }
}
