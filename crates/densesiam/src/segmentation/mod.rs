//! A trained segmentation, opened for use.

pub(crate) mod pixels;

use std::path::{Path, PathBuf};

use densesiam_data::image::RgbImage;
use densesiam_data::reader::size_seen;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::checkpoint::Checkpoint;
use densesiam_engine::run_dir::RunLayout;
use densesiam_nn::segment::Segmenting;
use serde_json::Value;

use pixels::{STRIP_VALUES, categories};

use crate::error::Error;
use crate::recipe::segment::SegmentRecipe;
use crate::run::{Contents, Table, locate, opened};
use densesiam_nn::input::Input;
use densesiam_report::pictures::Palette;

/// The classes that the pseudo-categories of a model were matched to when it was last evaluated.
pub struct MatchedClasses {
    /// Steps that the model was trained for at that time.
    pub step: u64,
    /// The class of each pseudo-category; `None` if it is not matched to a class.
    pub of_category: Vec<Option<usize>>,
    /// The classes' names.
    pub names: Vec<String>,
    /// The colours of the classes, and of categories without a class, indexed by [`MatchedClasses::label_of`].
    pub palette: Palette,
}

impl MatchedClasses {
    /// The value that a pseudo-category has in label maps and on contact sheets: its class or, if it is not matched to
    /// a class, the number of classes plus its own number.
    pub fn label_of(&self, category: usize) -> usize {
        self.of_category.get(category).copied().flatten().unwrap_or(self.names.len() + category)
    }
}

/// A trained segmentation: the model with what is needed to use it.
///
/// ```no_run
/// use densesiam::segmentation::Segmentation;
/// use densesiam_data::decode::{DecodeLimits, decode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segmentation = Segmentation::open("runs/streets".as_ref(), &[])?;
/// let picture = decode(&std::fs::read("street.jpg")?, &DecodeLimits::default())?;
/// let labels = segmentation.predict(&picture)?;
/// println!("the pixel at the top left is {}", segmentation.name_of(labels[0]));
/// # Ok(())
/// # }
/// ```
pub struct Segmentation {
    /// The recipe that the model was trained with, with the settings of the command line applied.
    pub recipe: SegmentRecipe,
    /// The model, in evaluation mode.
    pub model: Box<dyn Segmenting>,
    /// Prepares pictures for the model.
    pub input: Input,
    /// Steps it was trained for.
    pub step: u64,
    /// Its pseudo-categories.
    pub categories: usize,
    /// The classes of the last evaluation of its run up to that step.
    pub classes: Option<MatchedClasses>,
}

impl Segmentation {
    /// The label of each pixel of a picture, row by row, as in label maps: the class that its pseudo-category was
    /// matched to or, for categories without a class, the number of classes plus the category. The model sees the
    /// picture at the evaluation's size.
    ///
    /// # Errors
    /// When the categories cannot be read from the device.
    pub fn predict(&self, picture: &RgbImage) -> Result<Vec<usize>, Error> {
        let size = [picture.width, picture.height];
        let [width, height] = size_seen(size, self.recipe.evaluate.size);
        let seen = resize_to(picture, width, height, &mut ResizeScratch::default())
            .map_err(|error| Error::Internal(error.to_string()))?;
        let mut categories = Vec::new();
        for of_picture in self.categories_of(&[&seen], &[size]) {
            categories.extend(of_picture?.into_iter().map(usize::from));
        }
        let categories = categories.into_iter();
        Ok(match &self.classes {
            Some(classes) => categories.map(|category| classes.label_of(category)).collect(),
            None => categories.collect(),
        })
    }

    /// The pseudo-category of each pixel of pictures at their own `sizes` (width, height), row by row, one picture after the
    /// other: `seen` are the pictures as the model sees them, all of one size, and go through it together.
    ///
    /// # Errors
    /// When the categories of a picture cannot be read from the device.
    pub fn categories_of<'s>(
        &self,
        seen: &[&RgbImage],
        sizes: &'s [[u32; 2]],
    ) -> impl Iterator<Item = Result<Vec<u16>, Error>> + use<'s> {
        let size = seen.first().map_or([1, 1], |first| [first.width, first.height]);
        let pixels = seen.iter().map(|picture| picture.pixels.as_slice()).collect::<Vec<_>>().concat();
        let logits = tch::no_grad(|| self.model.logits(&self.input.normalised(&pixels, size)));
        let sizes = sizes.iter().copied().enumerate();
        sizes.map(move |(place, size)| categories(&logits.narrow(0, place as i64, 1), size, STRIP_VALUES))
    }

    /// The meaning of a label value: the name of a class, or the number of a category.
    pub fn name_of(&self, label: usize) -> String {
        let names = self.classes.as_ref().map_or(&[][..], |classes| &classes.names);
        names.get(label).cloned().unwrap_or_else(|| format!("category {}", label - names.len()))
    }

    /// How many label values there can be: those of classes, and those of categories without one.
    pub fn values(&self) -> usize {
        self.classes.as_ref().map_or(0, |classes| classes.names.len()) + self.categories
    }

    /// The colours of the label values.
    pub fn palette(&self) -> Palette {
        self.classes.as_ref().map(|classes| classes.palette.clone()).unwrap_or_default()
    }

    /// Reads a run directory (its newest checkpoint), or a checkpoint's folder within one.
    ///
    /// # Errors
    /// When there is no such run or checkpoint, or when it does not belong to a segmentation.
    pub fn open(path: &Path, settings: &[String]) -> Result<Self, Error> {
        Self::of(locate(path)?, settings)
    }

    /// As [`Segmentation::open`], of a run and its checkpoint that were read.
    ///
    /// # Errors
    /// When they do not belong to a segmentation.
    pub fn of((run, checkpoint): (PathBuf, Checkpoint), settings: &[String]) -> Result<Self, Error> {
        let contents = Contents::read(&checkpoint)?;
        if contents.task != "segment" {
            let message = format!("{} is no segmentation; train one with `densesiam segment`", run.display());
            return Err(Error::Usage(message));
        }
        let categories = contents.categories.unwrap_or_default();
        let (recipe, model, input) =
            opened((&run, &checkpoint), settings, |recipe: &SegmentRecipe, store| {
                recipe.method().build(store, categories)
            })?;
        Ok(Self {
            classes: matched_classes(&run, checkpoint.manifest.step)?,
            step: checkpoint.manifest.step,
            categories: categories as usize,
            input,
            recipe,
            model,
        })
    }
}

/// The classes that the pseudo-categories of a run's checkpoint were matched to in the last evaluation up to that step.
/// A run that was stopped between two evaluations has changed little since the first. The evaluation of the random
/// weights is not used, because it says nothing about trained ones.
///
/// # Errors
/// When the run's evaluations cannot be read.
pub fn matched_classes(run: &Path, step: u64) -> Result<Option<MatchedClasses>, Error> {
    let evaluations = Table::read(&RunLayout::new(run).evaluations())?;
    let row = evaluations.newest_until(step).filter(|(evaluated, _)| *evaluated > 0 || step == 0);
    let (evaluated, row) = row.unzip();
    let field = |name: &str| row.and_then(|row| row.get(name)).cloned().unwrap_or(Value::Null);
    let of_category = serde_json::from_value(field("class_of_cluster")).ok();
    let names = serde_json::from_value(field("classes")).ok();
    let step = evaluated.unwrap_or_default();
    // Older runs recorded no colours.
    let palette = Palette(serde_json::from_value(field("colours")).unwrap_or_default());
    Ok(of_category.zip(names).map(|(of_category, names)| MatchedClasses {
        step,
        of_category,
        names,
        palette,
    }))
}
