//! The list of all methods: the only places that change when a method is added.

use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, tables_of};
use toml::Table;

use super::{SegmentingSettings, densesiam, iic, mdc, picie};

/// A method that a recipe names, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Chosen {
    /// The paper's.
    DenseSiam(densesiam::Settings),
    /// PiCIE
    Picie(picie::Settings),
    /// Modified DeepCluster
    Mdc(mdc::Settings),
    /// IIC
    Iic(iic::Settings),
}

impl Default for Chosen {
    fn default() -> Self {
        Self::DenseSiam(densesiam::Settings::default())
    }
}

impl Chosen {
    /// The values of the key `method`.
    pub const NAMES: [&str; 4] = ["densesiam", "picie", "mdc", "iic"];

    /// The method of this name with its default settings; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "densesiam" => Self::default(),
            "picie" => Self::Picie(Default::default()),
            "mdc" => Self::Mdc(Default::default()),
            "iic" => Self::Iic(Default::default()),
            _ => return None,
        })
    }

    /// The same method with the settings of a recipe.
    ///
    /// # Errors
    /// With the key of a value that cannot be read.
    pub fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(match self {
            Self::DenseSiam(_) => Self::DenseSiam(tables.all()?),
            Self::Picie(_) => Self::Picie(tables.all()?),
            Self::Mdc(_) => Self::Mdc(tables.all()?),
            Self::Iic(_) => Self::Iic(tables.all()?),
        })
    }

    /// The tables of its settings.
    ///
    /// # Errors
    /// [`RecipeError::Defaults`], a fault of the program.
    pub fn tables(&self) -> Result<Table, RecipeError> {
        match self {
            Self::DenseSiam(settings) => tables_of(settings),
            Self::Picie(settings) => tables_of(settings),
            Self::Mdc(settings) => tables_of(settings),
            Self::Iic(settings) => tables_of(settings),
        }
    }

    /// Its settings, for everyone who does not need to know which method it is.
    pub fn settings(&self) -> &dyn SegmentingSettings {
        match self {
            Self::DenseSiam(settings) => settings,
            Self::Picie(settings) => settings,
            Self::Mdc(settings) => settings,
            Self::Iic(settings) => settings,
        }
    }
}
