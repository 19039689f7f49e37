//! The recipe of pre-training (the paper, section 5.1): every ablation of the paper is one key of this recipe.

use densesiam_data::views::random::RandomViews;
use densesiam_nn::Architecture;
use densesiam_nn::pretrain::densesiam::Settings;
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of};
use densesiam_settings::{SettingError, within};
use toml::Table;

use super::{Beginning, Common, Recipe, RunSettings, Training};

/// A complete pre-training recipe. Its default is the paper's: ImageNet, ResNet-50, 200 epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PretrainRecipe {
    /// The tables that every training has.
    pub common: Common,
    /// `[augment]`: the two views.
    pub augment: RandomViews,
    /// `[encoder]`: what the encoder begins with.
    pub beginning: Beginning,
    /// `[encoder]`, `[global]`, `[pixsim]`, `[regionsim]`: model and losses.
    pub model: Settings,
}

impl Recipe for PretrainRecipe {
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Pre-training"];

    fn read(tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            model: tables.all()?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        Ok(joined([
            tables_of(&self.common)?,
            table_of("augment", &self.augment)?,
            table_of("encoder", &self.beginning)?,
            tables_of(&self.model)?,
        ]))
    }

    fn run(&mut self) -> &mut RunSettings {
        &mut self.common.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.common.run.validate()?;
        self.common.data.validate()?;
        self.augment.validate()?;
        let stride = self.model.encoder.architecture.stride();
        let unit = format!("pixels; the encoder's stride is {stride}");
        within("augment.size", self.augment.size, stride..=8192, &unit)?;
        self.model.validate()?;
        self.common.validate_training()
    }
}

impl Training for PretrainRecipe {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn architecture(&self) -> Architecture {
        self.model.encoder.architecture
    }

    fn beginning(&self) -> &Beginning {
        &self.beginning
    }
}
