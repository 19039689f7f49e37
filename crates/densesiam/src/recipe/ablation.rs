//! An ablation: variants of one recipe, each a few settings laid over it. A variant may have a recipe of its own, so that methods
//! are compared in the same way. A list of transfers has encoders as its variants, and may train each by several recipes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{builtin, text};
use crate::error::Error;
use densesiam_settings::keys;

/// The task that a recipe trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Pre-training of an encoder.
    Pretrain,
    /// Unsupervised segmentation.
    Segment,
    /// Evaluation of encoders by transfer.
    Transfer,
}

/// One row of the table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What the row is called; its runs are named after it.
    pub name: String,
    /// The recipe that it varies, in place of the list's: another method has other keys.
    #[serde(default)]
    pub recipe: Option<String>,
    /// Settings laid over the recipe, as key=value.
    #[serde(default)]
    pub settings: Vec<String>,
    /// What the paper has for this variant.
    #[serde(default)]
    pub paper: Paper,
}

/// What the paper has for a variant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Paper {
    /// A figure of another measure than ours: the list's `paper_measure`.
    Measure(String),
    /// Figures by the name that ours have.
    Figures(BTreeMap<String, f64>),
}

impl Default for Paper {
    fn default() -> Self {
        Self::Measure(String::new())
    }
}

/// One of the recipes by which a list of transfers trains each encoder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// What its figures, its runs and its settings are called: `voc.data.root=VOCdevkit`.
    pub name: String,
    /// The recipe.
    pub recipe: String,
}

/// A list of variants, as it stands in a TOML file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// The file's name; the runs lie in a folder of this name.
    #[serde(skip)]
    pub name: String,
    /// What is trained.
    pub task: Task,
    /// The recipe that is varied.
    #[serde(default)]
    pub recipe: String,
    /// The recipes of transfer, in place of `recipe`, if there are several.
    #[serde(default, rename = "transfer")]
    pub transfers: Vec<Transfer>,
    /// What the paper measured and in which unit: the head of its column.
    #[serde(default)]
    pub paper_measure: String,
    /// The rows, in order; differences are to the first.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

impl Ablation {
    /// Finds a list by its file, or by the name of a list that the program carries.
    ///
    /// # Errors
    /// When there is no such list, or the file is not a list of variants.
    pub fn find(list: &str) -> Result<Self, Error> {
        let path = Path::new(list);
        let text = match builtin::find_ablation(list) {
            _ if path.is_file() => text::read(path, "a list of variants")?,
            Some(carried) => carried.to_owned(),
            None => {
                let carried = builtin::names_like(&builtin::ABLATIONS, list);
                return Err(Error::Usage(format!("{list:?} is no file and no ablation; {carried}")));
            }
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ablation = Self { name, ..keys::parse(&text, list)? };
        let complaint = ablation.complaint();
        complaint.map_or(Ok(ablation), |complaint| Err(Error::Usage(format!("{list} {complaint}"))))
    }

    /// What keeps the list from being run.
    fn complaint(&self) -> Option<String> {
        let mut folders: Vec<_> = self.variants.iter().map(Variant::folder).collect();
        folders.sort();
        let doubled = folders.windows(2).find(|pair| pair[0] == pair[1]);
        let measured =
            |variant: &Variant| matches!(&variant.paper, Paper::Measure(figure) if !figure.is_empty());
        let transfers = self.task == Task::Transfer && self.recipe.is_empty();
        let mut names: Vec<_> = self.transfers.iter().map(|transfer| &transfer.name).collect();
        names.sort();
        let usable =
            |name: &str| !name.is_empty() && name.chars().all(|of| of.is_alphanumeric() || of == '_');
        if self.variants.is_empty() {
            Some("has no [[variant]]".into())
        } else if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(format!("has two [[transfer]] called {:?}", pair[0]))
        } else if let Some(name) = names.iter().find(|name| !usable(name)) {
            Some(format!("has a [[transfer]] called {name:?}; letters, digits and _ make a name"))
        } else if !self.transfers.is_empty() && self.variants.iter().any(|variant| variant.recipe.is_some()) {
            Some("has [[transfer]] tables, so that no variant can have a recipe of its own".into())
        } else if transfers == self.transfers.is_empty() {
            Some("needs either a recipe or, if its task is \"transfer\", [[transfer]] tables".into())
        } else if self.paper_measure.is_empty() && self.variants.iter().any(measured) {
            Some("has figures of a paper; name their measure, paper_measure = \"VOC AP\"".into())
        } else {
            doubled.map(|pair| format!("has two variants named like {:?}", pair[0]))
        }
    }

    /// The same list with these encoders, each a name and a run, a file, or `random`: for the variants that are called so, and for
    /// more below them.
    pub fn with_encoders(mut self, encoders: &[(String, String)]) -> Self {
        for (name, weights) in encoders {
            let settings = vec![format!("encoder.weights={weights}")];
            let given = Variant { name: name.clone(), settings, ..Variant::default() };
            match self.variants.iter_mut().find(|variant| variant.folder() == given.folder()) {
                Some(variant) => variant.settings.extend(given.settings),
                None => self.variants.push(given),
            }
        }
        self
    }

    /// The recipes that every variant is trained by, each with what it is called: nothing, if there is only one.
    pub fn recipes(&self) -> Vec<(&str, &str)> {
        match &self.transfers[..] {
            [] => vec![("", &self.recipe)],
            several => several.iter().map(|transfer| (&*transfer.name, &*transfer.recipe)).collect(),
        }
    }

    /// Whether a variant is trained. In a list of transfers one without an encoder is a row that is copied from the paper.
    pub fn trains(&self, variant: &Variant) -> bool {
        let has_encoder = |setting: &String| setting.starts_with("encoder.weights=");
        self.task != Task::Transfer || variant.settings.iter().any(has_encoder)
    }

    /// Of these settings, those of the recipe that is called so: `voc.data.root=VOCdevkit` is for `voc` alone, and loses that name.
    pub fn settings_of(&self, called: &str, settings: &[String]) -> Vec<String> {
        let of_one = |setting: &str, name: &str| {
            setting.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned)
        };
        let own = |setting: &String| {
            let named = self.transfers.iter().any(|transfer| of_one(setting, &transfer.name).is_some());
            if named { of_one(setting, called) } else { Some(setting.clone()) }
        };
        settings.iter().filter_map(own).collect()
    }
}

impl Variant {
    /// Its own recipe, or this one.
    pub fn recipe<'r>(&'r self, of_list: &'r str) -> &'r str {
        self.recipe.as_deref().unwrap_or(of_list)
    }

    /// The name as part of a folder's name: letters and digits, with a single underscore for anything else.
    pub fn folder(&self) -> String {
        let plain = |letter: char| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { ' ' };
        self.name.chars().map(plain).collect::<String>().split_whitespace().collect::<Vec<_>>().join("_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::pretrain::PretrainRecipe;
    use crate::recipe::segment::SegmentRecipe;
    use crate::recipe::transfer::Model;
    use crate::recipe::transfer::detection::DetectionRecipe;
    use crate::recipe::transfer::segmentation::FcnRecipe;
    use crate::recipe::{Recipe, find};

    #[test]
    fn every_variant_that_the_program_carries_is_a_recipe_of_its_own() {
        for (name, _) in builtin::ABLATIONS {
            let ablation = Ablation::find(name).unwrap();
            let trained = ablation.variants.iter().filter(|variant| ablation.trains(variant));
            let of_variant = |variant: &Variant| -> Vec<String> {
                let written = |(_, recipe): (&str, &str)| {
                    let (recipe, settings) = (variant.recipe(recipe), &variant.settings);
                    match ablation.task {
                        Task::Pretrain => find::<PretrainRecipe>(recipe, settings).map(|of| of.to_toml()),
                        Task::Segment => find::<SegmentRecipe>(recipe, settings).map(|of| of.to_toml()),
                        Task::Transfer => match Model::of(recipe, settings).unwrap() {
                            Model::Fcn => find::<FcnRecipe>(recipe, settings).map(|of| of.to_toml()),
                            Model::Detector => {
                                find::<DetectionRecipe>(recipe, settings).map(|of| of.to_toml())
                            }
                        },
                    }
                };
                ablation.recipes().into_iter().map(|recipe| written(recipe).unwrap()).collect()
            };
            let mut recipes: Vec<Vec<String>> = trained.map(of_variant).collect();
            let before = recipes.len();
            recipes.sort();
            recipes.dedup();
            assert_eq!(recipes.len(), before, "{name}: two variants are the same");
        }
    }

    #[test]
    fn encoders_fill_the_rows_of_their_names_and_settings_find_their_transfer() {
        let list = Ablation::find("transfer_table2").unwrap();
        let given = [("densesiam", "runs/a"), ("mine", "b.pth")].map(|(name, of)| (name.into(), of.into()));
        let list = list.with_encoders(&given);
        let trained: Vec<&str> =
            list.variants.iter().filter(|variant| list.trains(variant)).map(|of| &*of.name).collect();
        assert_eq!(trained, ["DenseSiam", "mine"]);
        assert!(matches!(&list.variants[0].paper, Paper::Figures(of) if of["cityscapes mIoU"] == 63.5));
        let settings = ["run.seed=3", "voc.data.root=VOC", "coco.data.root=COCO"].map(String::from);
        assert_eq!(list.settings_of("voc", &settings), ["run.seed=3", "data.root=VOC"]);
    }

    #[test]
    fn a_file_that_is_no_list_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let complaint = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Ablation::find(path.to_str().unwrap()).unwrap_err().to_string()
        };
        let head = "task = \"segment\"\nrecipe = \"camvid_r18\"\n";
        assert!(complaint(&format!("{head}variants = 3\n")).contains("mine.toml:3:1"));
        assert!(complaint(&format!("{head}variant = []\n")).contains("has no [[variant]]"));
        let row = |name: &str| format!("[[variant]]\nname = \"{name}\"\nsettings = []\n");
        let doubled = complaint(&format!("{head}{}{}", row("+ CE"), row("CE!")));
        assert!(doubled.contains("two variants named like \"ce\""), "{doubled}");
        assert!(complaint("task = \"dance\"").contains("mine.toml:1:8"));
        let none = complaint(&format!("task = \"transfer\"\n{}", row("a")));
        assert!(none.contains("needs either a recipe"), "{none}");
        let of = |name: &str| format!("[[transfer]]\nname = \"{name}\"\nrecipe = \"voc_folder\"\n");
        let transfers = |names: [&str; 2]| {
            complaint(&format!("task = \"transfer\"\n{}{}{}", of(names[0]), of(names[1]), row("a")))
        };
        assert!(transfers(["voc", "voc"]).contains("called \"voc\""));
        assert!(transfers(["voc", "a.b"]).contains("called \"a.b\""));
    }
}
