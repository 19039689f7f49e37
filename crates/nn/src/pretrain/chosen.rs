//! The list of all methods: the only places that change when a method is added.

use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, tables_of};
use toml::Table;

use super::{
    MethodSettings, byol, cast, densecl, densesiam, detco, detcon, moco_v2, pixpro, resim, scrl, simclr,
    soco, vader,
};

/// A method that a recipe names, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Chosen {
    /// Global, pixel and region consistency; the paper's. SimSiam is this with both dense weights 0.
    DenseSiam(densesiam::Settings),
    /// SimCLR
    SimClr(simclr::Settings),
    /// BYOL
    Byol(byol::Settings),
    /// MoCo v2
    MoCoV2(moco_v2::Settings),
    /// DenseCL
    DenseCl(densecl::Settings),
    /// PixPro
    PixPro(pixpro::Settings),
    /// ReSim
    ReSim(resim::Settings),
    /// SCRL
    Scrl(scrl::Settings),
    /// SoCo
    SoCo(soco::Settings),
    /// VADeR
    Vader(vader::Settings),
    /// DetCo
    DetCo(detco::Settings),
    /// DetCon
    DetCon(detcon::Settings),
    /// CAST
    Cast(cast::Settings),
}

impl Default for Chosen {
    fn default() -> Self {
        Self::DenseSiam(densesiam::Settings::default())
    }
}

impl Chosen {
    /// The values of the key `method`.
    pub const NAMES: [&str; 14] = [
        "densesiam",
        "simsiam",
        "simclr",
        "byol",
        "moco_v2",
        "densecl",
        "pixpro",
        "resim",
        "scrl",
        "soco",
        "vader",
        "detco",
        "detcon",
        "cast",
    ];

    /// The method of this name with its default settings; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "densesiam" => Self::default(),
            "simsiam" => Self::DenseSiam(densesiam::Settings::default().without_dense_losses()),
            "simclr" => Self::SimClr(Default::default()),
            "byol" => Self::Byol(Default::default()),
            "moco_v2" => Self::MoCoV2(Default::default()),
            "densecl" => Self::DenseCl(Default::default()),
            "pixpro" => Self::PixPro(Default::default()),
            "resim" => Self::ReSim(Default::default()),
            "scrl" => Self::Scrl(Default::default()),
            "soco" => Self::SoCo(Default::default()),
            "vader" => Self::Vader(Default::default()),
            "detco" => Self::DetCo(Default::default()),
            "detcon" => Self::DetCon(Default::default()),
            "cast" => Self::Cast(Default::default()),
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
            Self::SimClr(_) => Self::SimClr(tables.all()?),
            Self::Byol(_) => Self::Byol(tables.all()?),
            Self::MoCoV2(_) => Self::MoCoV2(tables.all()?),
            Self::DenseCl(_) => Self::DenseCl(tables.all()?),
            Self::PixPro(_) => Self::PixPro(tables.all()?),
            Self::ReSim(_) => Self::ReSim(tables.all()?),
            Self::Scrl(_) => Self::Scrl(tables.all()?),
            Self::SoCo(_) => Self::SoCo(tables.all()?),
            Self::Vader(_) => Self::Vader(tables.all()?),
            Self::DetCo(_) => Self::DetCo(tables.all()?),
            Self::DetCon(_) => Self::DetCon(tables.all()?),
            Self::Cast(_) => Self::Cast(tables.all()?),
        })
    }

    /// The tables of its settings.
    ///
    /// # Errors
    /// [`RecipeError::Defaults`], a fault of the program.
    pub fn tables(&self) -> Result<Table, RecipeError> {
        match self {
            Self::DenseSiam(settings) => tables_of(settings),
            Self::SimClr(settings) => tables_of(settings),
            Self::Byol(settings) => tables_of(settings),
            Self::MoCoV2(settings) => tables_of(settings),
            Self::DenseCl(settings) => tables_of(settings),
            Self::PixPro(settings) => tables_of(settings),
            Self::ReSim(settings) => tables_of(settings),
            Self::Scrl(settings) => tables_of(settings),
            Self::SoCo(settings) => tables_of(settings),
            Self::Vader(settings) => tables_of(settings),
            Self::DetCo(settings) => tables_of(settings),
            Self::DetCon(settings) => tables_of(settings),
            Self::Cast(settings) => tables_of(settings),
        }
    }

    /// Its settings, for everyone who does not need to know which method it is.
    pub fn settings(&self) -> &dyn MethodSettings {
        match self {
            Self::DenseSiam(settings) => settings,
            Self::SimClr(settings) => settings,
            Self::Byol(settings) => settings,
            Self::MoCoV2(settings) => settings,
            Self::DenseCl(settings) => settings,
            Self::PixPro(settings) => settings,
            Self::ReSim(settings) => settings,
            Self::Scrl(settings) => settings,
            Self::SoCo(settings) => settings,
            Self::Vader(settings) => settings,
            Self::DetCo(settings) => settings,
            Self::DetCon(settings) => settings,
            Self::Cast(settings) => settings,
        }
    }
}
