//! What encoders see in pictures, one question at a time: where else is the same as here, which pictures are like this one.
//!
//! ```text
//! pictures, encoders -> tasks::embed -> one file of patches an encoder, on disk -> Sight, in memory -> answers
//! ```

mod categories;
mod sight;

use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_text::shown;
use serde::Serialize;

pub use categories::Layer;
pub use sight::{Colours, Like, Patch, Picture, Sight};

use crate::embeddings::{About, Embeddings, Rows, Writer};
use crate::error::Error;
use crate::memory::fits;
use crate::recipe::embed::EmbedRecipe;
use crate::tasks::embed::{Plan, embed};
use crate::tasks::probe::{NamedEncoder, Source};
use categories::Categories;

/// Pictures and the encoders that look at them.
pub struct Explorer {
    /// The pictures.
    pub index: Arc<ImageIndex>,
    /// What each encoder sees.
    pub sights: Vec<Sight>,
    categories: Vec<Option<Categories>>,
    recipe: EmbedRecipe,
}

/// An encoder, as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The name that the command line gave it.
    pub name: String,
    /// Where its weights come from.
    pub encoder: String,
    /// Which encoder it is.
    pub architecture: String,
    /// Pictures that it has seen.
    pub pictures: usize,
    /// Whether it has pseudo-categories.
    pub categories: bool,
}

impl Explorer {
    /// Opens all encoders on the pictures. Embeddings that `folder` does not hold yet are computed first, with a bar.
    ///
    /// # Errors
    /// When pictures or weights cannot be read, when the embeddings do not fit the memory, or when a signal asks to stop.
    pub fn open(
        recipe: &EmbedRecipe,
        encoders: &[NamedEncoder],
        (index, folder): (&Arc<ImageIndex>, &Path),
        (voice, interrupt): (&Voice, &Interrupt),
    ) -> Result<Self, Error> {
        let (mut plans, mut categories) = (Vec::new(), Vec::new());
        for encoder in encoders {
            let mut own = recipe.clone();
            // Random weights are those of the encoder that they are compared with.
            if let (Source::Random, Some(Plan { about, .. })) = (&encoder.source, plans.first()) {
                own.encoder.architecture = about.architecture;
            }
            let plan = Plan::new(own, encoder, index)?;
            categories.push(Categories::of(&plan.source, recipe)?);
            plans.push(plan);
        }
        let bytes = plans.iter().map(Plan::least_bytes).sum();
        fits(bytes, "these pictures at this embed.size and embed.stage, for all encoders,")?;
        let mut sights = Vec::new();
        for (encoder, plan) in encoders.iter().zip(plans) {
            let embeddings = embedded(&plan, &encoder.name, folder, (voice, interrupt))?;
            sights.push(Sight::new(&encoder.name, embeddings)?);
        }
        Ok(Self { index: Arc::clone(index), sights, categories, recipe: recipe.clone() })
    }

    /// The limits within which pictures are read.
    pub fn limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.recipe.data.max_pixels }
    }

    /// The encoders.
    pub fn encoders(&self) -> Vec<Shown> {
        let shown = |(sight, categories): (&Sight, &Option<Categories>)| Shown {
            name: sight.name.clone(),
            encoder: sight.about().encoder.clone(),
            architecture: sight.about().architecture.to_string(),
            pictures: sight.pictures(),
            categories: categories.is_some(),
        };
        self.sights.iter().zip(&self.categories).map(shown).collect()
    }

    /// The pseudo-categories of a picture; `None` if the encoder has none, or the picture cannot be read.
    ///
    /// # Errors
    /// When the model fails.
    pub fn categories(&self, encoder: usize, sample: usize) -> Result<Option<Layer>, Error> {
        let Some(Some(categories)) = self.categories.get(encoder) else { return Ok(None) };
        match read_picture(&self.index, sample, &self.limits()) {
            Some(picture) => categories.of_picture(&picture, self.recipe.embed.size),
            None => Ok(None),
        }
    }
}

/// A picture as it lies in the data set; `None` if there is none of this number, or if it cannot be read.
pub fn read_picture(index: &ImageIndex, sample: usize, limits: &DecodeLimits) -> Option<RgbImage> {
    let mut bytes = Vec::new();
    if sample >= index.len() {
        return None;
    }
    index.place(sample).read_into(&mut bytes).ok()?;
    decode(&bytes, limits).ok()
}

/// The embeddings of a plan, which are computed if `folder` does not hold them.
fn embedded(
    plan: &Plan,
    name: &str,
    folder: &Path,
    (voice, interrupt): (&Voice, &Interrupt),
) -> Result<Embeddings, Error> {
    let key = serde_json::to_vec(&plan.about).unwrap_or_default();
    let file = folder.join(format!("{:08x}.safetensors", crc32c::crc32c(&key)));
    // A file that is damaged, or of another version of the program, is written again.
    let is_of_plan = |embeddings: &Embeddings| {
        let known = |&sample: &i64| (sample as usize) < plan.index.len();
        embeddings.about == plan.about && embeddings.samples.iter().all(known)
    };
    if let Some(embeddings) = Embeddings::read(&file).ok().filter(is_of_plan) {
        voice.say(format_args!("{name}: its features of these pictures are in {}", shown(&file)));
        return Ok(embeddings);
    }
    let About { stage, size, .. } = plan.about;
    voice.say(format_args!(
        "{name}: {stage} of {} pictures at {size} px, to be kept in {}",
        plan.index.len(),
        shown(&file)
    ));
    let mut writer = Writer::new(&file, Rows::Patches)?;
    embed(plan, |seen| writer.push(&seen, plan.names(&seen.samples)), (name, voice), interrupt)?;
    writer.finish(&plan.about)?;
    Embeddings::read(&file)
}
