//! The recipe of pre-training (the paper, section 5.1), by DenseSiam or by a method that it is compared with: every ablation of
//! the paper is one key of this recipe.

use densesiam_data::views::random::RandomViews;
use densesiam_nn::Architecture;
use densesiam_nn::pretrain::{Chosen, MethodSettings, densesiam};
use densesiam_settings::keys::RecipeError;
use densesiam_settings::tables::{Tables, joined, table_of, tables_of, written};
use densesiam_settings::{SettingError, require, within};
use toml::{Table, Value};

use super::{Beginning, Common, Recipe, RegionSource, RunSettings, Training, named_method};

/// A complete pre-training recipe. Its default is the paper's: ImageNet, ResNet-50, 200 epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PretrainRecipe {
    /// The tables that every training has.
    pub common: Common,
    /// `[augment]`: the two views.
    pub augment: RandomViews,
    /// `[encoder]`: what the encoder begins with.
    pub beginning: Beginning,
    /// `[data]`: regions that were found before the training.
    pub regions: RegionSource,
    /// `method`, and the tables of its settings: model and losses.
    pub method: Chosen,
}

impl PretrainRecipe {
    /// The settings of the method, whichever it is.
    pub fn method(&self) -> &dyn MethodSettings {
        self.method.settings()
    }

    /// The method with its settings. SimSiam is DenseSiam without its dense losses, whatever the recipe gives them.
    fn read_method(&self, tables: &Tables) -> Result<Chosen, RecipeError> {
        let mut method = self.method.read(tables)?;
        if let (Chosen::DenseSiam(settings), Some("simsiam")) = (&mut method, tables.text("method")) {
            *settings = settings.without_dense_losses();
        }
        Ok(method)
    }

    /// The settings of DenseSiam, if that is the method.
    pub fn densesiam(&mut self) -> Option<&mut densesiam::Settings> {
        match &mut self.method {
            Chosen::DenseSiam(settings) => Some(settings),
            _ => None,
        }
    }
}

impl Recipe for PretrainRecipe {
    const COMMAND: &'static str = "pretrain";
    const SECTIONS: &'static [&'static str] = &["Keys of both", "Pre-training", "Other methods"];

    /// The keys of a method are known only where the recipe names it.
    fn defaults(text: &str, origin: &str, settings: &[String]) -> Result<Self, RecipeError> {
        let method = named_method((text, origin, settings), &Chosen::NAMES, Chosen::named)?;
        Ok(method.map_or_else(Self::default, |method| Self { method, ..Self::default() }))
    }

    /// A method that is laid over the recipe of another one knows none of its keys.
    fn explained(error: RecipeError, text: &str, settings: &[String]) -> RecipeError {
        let named = |text: &str, settings: &[String]| written("method", text, "", settings).ok().flatten();
        match (error, named("", settings)) {
            (RecipeError::Unknown { key, place, advice }, Some(method))
                if named(text, &[]) != Some(method.clone()) =>
            {
                let advice = format!(
                    "{advice} The recipe is not one of method={method}, which has {method}_folder_r18 and \
                     {method}_imagenet_r50_200ep"
                );
                RecipeError::Unknown { key, place, advice }
            }
            (error, _) => error,
        }
    }

    fn every_table() -> Result<Table, RecipeError> {
        let methods = Chosen::NAMES.iter().rev().filter_map(|name| Chosen::named(name));
        let tables = methods.map(|method| Self { method, ..Self::default() }.tables());
        let all = tables.collect::<Result<Vec<_>, _>>()?;
        // The first method is the default, and what it says of common tables stays.
        Ok(joined(all))
    }

    fn read(&self, tables: &Tables) -> Result<Self, RecipeError> {
        Ok(Self {
            common: tables.all()?,
            augment: tables.read("augment")?,
            beginning: tables.read("encoder")?,
            regions: tables.read("data")?,
            method: self.read_method(tables)?,
        })
    }

    fn tables(&self) -> Result<Table, RecipeError> {
        let method = Value::String(self.method().name().to_owned());
        Ok(joined([
            Table::from_iter([("method".to_owned(), method)]),
            tables_of(&self.common)?,
            table_of("data", &self.regions)?,
            table_of("augment", &self.augment)?,
            table_of("encoder", &self.beginning)?,
            self.method.tables()?,
        ]))
    }

    fn run(&mut self) -> &mut RunSettings {
        &mut self.common.run
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.common.run.validate()?;
        self.common.data.validate()?;
        self.augment.validate()?;
        let stride = self.architecture().stride();
        let unit = format!("pixels; the encoder's stride is {stride}");
        within("augment.size", self.augment.size, stride..=8192, &unit)?;
        self.method().validate()?;
        let cell = self.method().encoder().output_stride;
        require(
            !self.method().needs_whole_cells() || self.augment.size.is_multiple_of(cell),
            "augment.size",
            &self.augment.size,
            "multiples of encoder.output_stride: the method compares cells by where they lie",
        )?;
        self.common.validate_training()
    }
}

impl Training for PretrainRecipe {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn architecture(&self) -> Architecture {
        self.method().encoder().architecture
    }

    fn beginning(&self) -> &Beginning {
        &self.beginning
    }
}
