//! Recipes, which say what a run does. A recipe is a TOML file in which every key has a default. Settings on the
//! command line override the file, and the complete result is written into the run directory.

pub mod ablation;
pub mod builtin;
pub mod embed;
pub mod knn;
pub mod labels;
pub mod pretrain;
pub mod probe;
pub mod reference;
pub mod segment;
mod text;
mod training;
pub mod transfer;

use std::ffi::OsStr;
use std::path::Path;

use densesiam_settings::SettingError;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, written};
use densesiam_text::shown;
use toml::Table;

pub use training::{
    Beginning, Common, DataSettings, MonitorSettings, NormSharing, RegionSource, RunSettings, TrainSettings,
    Training,
};

use crate::error::Error;
use crate::home;

/// A recipe for any task.
pub trait Recipe: Default {
    /// The command that reads such recipes.
    const COMMAND: &'static str;
    /// The sections of `docs/recipes.md` that explain the recipe's keys.
    const SECTIONS: &'static [&'static str];

    /// Reads a recipe from its tables, which were merged over the defaults `self`.
    ///
    /// # Errors
    /// With the first key whose value cannot be read.
    fn read(&self, tables: &Tables) -> Result<Self, RecipeError>;

    /// The same error with what the reader of a recipe that is written like this should know.
    fn explained(error: RecipeError, _text: &str, _settings: &[String]) -> RecipeError {
        error
    }

    /// The tables of every recipe of this task, each key with its default.
    ///
    /// # Errors
    /// [`RecipeError::Defaults`], a fault of the program.
    fn every_table() -> Result<Table, RecipeError> {
        Self::default().tables()
    }

    /// Its tables, with every key. The keys of [`Recipe::defaults`] are the only valid keys.
    ///
    /// # Errors
    /// [`RecipeError::Defaults`], a fault of the program.
    fn tables(&self) -> Result<Table, RecipeError>;

    /// The defaults of a recipe that is written like this.
    ///
    /// # Errors
    /// When a value on which the defaults depend is not allowed.
    fn defaults(_text: &str, _origin: &str, _settings: &[String]) -> Result<Self, RecipeError> {
        Ok(Self::default())
    }

    /// The recipe's table `[run]`.
    fn run(&mut self) -> &mut RunSettings;

    /// Checks every value that can be checked without the pictures and the machine.
    ///
    /// # Errors
    /// [`SettingError`] with the first key whose value is not allowed.
    fn validate(&self) -> Result<(), SettingError>;

    /// The complete recipe as TOML; [`load`] reads it back to the same value. The method or model comes first, then the tables in this order: run,
    /// data, labels or objects, augment, encoder, losses, optimizer, train, evaluate, predict, monitor.
    ///
    /// # Panics
    /// If a setting cannot be written as TOML. That is a fault of the program and not of the recipe: a recipe that
    /// [`load`] returned can always be written.
    fn to_toml(&self) -> String {
        const BEFORE_THE_MODEL: [&str; 8] =
            ["method", "model", "run", "data", "labels", "objects", "augment", "encoder"];
        const AFTER_IT: [&str; 5] = ["optimizer", "train", "evaluate", "predict", "monitor"];
        let place = |name: &str| match BEFORE_THE_MODEL.iter().position(|table| *table == name) {
            Some(place) => place,
            None => AFTER_IT.iter().position(|table| *table == name).map_or(10, |place| 20 + place),
        };
        let write = |recipe: &Self| {
            let mut tables: Vec<_> = recipe.tables()?.into_iter().collect();
            tables.sort_by_key(|(name, _)| place(name));
            let tables = Table::from_iter(tables);
            toml::to_string(&tables).map_err(|error| RecipeError::Defaults { message: error.to_string() })
        };
        write(self).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The method that a recipe names by its key `method`, one of `names`; `None` if it names none.
///
/// # Errors
/// When there is no such method.
fn named_method<M>(
    (text, origin, settings): (&str, &str, &[String]),
    names: &[&str],
    find: impl Fn(&str) -> Option<M>,
) -> Result<Option<M>, RecipeError> {
    let Some(name) = written("method", text, origin, settings)? else { return Ok(None) };
    let none = || RecipeError::Value {
        key: "method".into(),
        place: origin.into(),
        message: format!("there is no method {name}; there are {}", names.join(", ")),
    };
    find(&name).map(Some).ok_or_else(none)
}

/// Reads a recipe: a text over its defaults, `settings` (`dotted.key=value`) over both, as [`Tables::merge`] does, and checks
/// its values.
///
/// # Errors
/// When the recipe cannot be read, or a value is not allowed.
pub fn load<R: Recipe>(text: &str, origin: &str, settings: &[String]) -> Result<R, Error> {
    let recipe = merged::<R>(text, origin, settings).map_err(with_range::<R>)?;
    recipe.validate()?;
    Ok(recipe)
}

/// The recipe of an earlier version of the program as TOML, with the defaults of the keys that it lacks.
///
/// # Errors
/// When it cannot be read.
pub fn complete<R: Recipe>(text: &str) -> Result<String, RecipeError> {
    merged::<R>(text, "the recipe of the run", &[]).map(|recipe| recipe.to_toml())
}

/// A recipe whose values are not checked yet: the text overrides the defaults, and `settings` override both.
///
/// # Errors
/// When a key is unknown, or a value cannot be read.
pub fn merged<R: Recipe>(text: &str, origin: &str, settings: &[String]) -> Result<R, RecipeError> {
    let defaults = R::defaults(text, origin, settings)?;
    let tables = Tables::merge(&defaults.tables()?, text, origin, settings);
    defaults.read(&tables.map_err(|error| R::explained(error, text, settings))?)
}

/// An integer that its type cannot hold is refused with its range, like any other number out of range.
fn with_range<R: Recipe>(error: RecipeError) -> RecipeError {
    match error {
        RecipeError::Value { key, place, message } => {
            let range = reference::range_of_whole::<R>(&key);
            let message = range.map_or(message, |range| format!("{range} is allowed"));
            RecipeError::Value { key, place, message }
        }
        error => error,
    }
}

/// Finds a recipe by its run directory, its file, or the name of a recipe that the program carries, and applies the
/// `settings` of the command line. A run without a name gets the file's name. A run directory is used where it is now,
/// even if the run began elsewhere.
///
/// # Errors
/// When there is no such recipe, or it cannot be read.
pub fn find<R: Recipe>(recipe: &str, settings: &[String]) -> Result<R, Error> {
    let path = &home::expand(Path::new(recipe))?;
    let name = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (text, origin) = contents(recipe, R::COMMAND)?;
    let mut loaded: R = load(&text, &origin, settings)?;
    if path.join("recipe.toml").is_file() {
        let absolute = std::path::absolute(path).map_err(|source| Error::file(path, source))?;
        // A recipe is text, but the names of the folders above this one may not be valid text.
        let run = if absolute.to_str().is_some() { &absolute } else { path };
        loaded.run().dir = name(run.parent().map(Path::as_os_str));
        loaded.run().name = name(run.file_name());
    } else if loaded.run().name.is_empty() {
        loaded.run().name = name(path.file_stem());
    }
    Ok(loaded)
}

/// The command of the recipes of transfer.
pub(crate) const TRANSFER: &str = "transfer";

/// The text of a recipe for a command, and what messages call it: that of a run directory, a file, or a recipe that the program
/// carries.
///
/// # Errors
/// When there is no such recipe, or it cannot be read.
fn contents(recipe: &str, command: &str) -> Result<(String, String), Error> {
    let path = &home::expand(Path::new(recipe))?;
    let of_run = path.join("recipe.toml");
    let message = match builtin::find(recipe) {
        _ if of_run.is_file() => {
            return Ok((text::read(&of_run, "a recipe")?, of_run.display().to_string()));
        }
        _ if path.is_file() => return Ok((text::read(path, "a recipe")?, recipe.to_owned())),
        Some(carried) => match builtin::command_of(recipe).filter(|own| *own != command) {
            None => return Ok((carried.to_owned(), recipe.to_owned())),
            Some(own) => format!("{recipe} is a recipe of another command; write: densesiam {own} {recipe}"),
        },
        None if path.is_dir() => {
            let root = format!("data.root={}", shown(recipe));
            let example = match command {
                TRANSFER => format!(
                    "to learn the labels of its pictures write: densesiam transfer RECIPE {root} encoder.weights=ENCODER, with \
                     voc_folder, coco_folder or segmentation_folder as RECIPE"
                ),
                _ => format!(
                    "to segment the pictures in it write: densesiam segment folder {root} labels.categories=N"
                ),
            };
            format!("{recipe:?} is a folder without a recipe.toml, and so no run; {example}")
        }
        None => {
            let carried = builtin::names_like(&builtin::recipes_of(command), recipe);
            format!("{recipe:?} is no file, no run and no recipe; {carried}")
        }
    };
    Err(Error::Usage(message))
}
