//! An ablation: variants of one recipe, each a few settings laid over it. A variant may have a recipe of its own, so that methods
//! are compared in the same way.

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
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
    /// The paper's figure for this variant, in the list's `paper_measure`.
    #[serde(default)]
    pub paper: String,
}

/// A list of variants, as it stands in a TOML file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// The file's name; the runs lie in a folder of this name.
    #[serde(skip)]
    pub name: String,
    /// What is trained.
    pub task: Task,
    /// The recipe that is varied.
    pub recipe: String,
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
        let mut folders: Vec<_> = ablation.variants.iter().map(Variant::folder).collect();
        folders.sort();
        let doubled = folders.windows(2).find(|pair| pair[0] == pair[1]);
        match doubled {
            _ if ablation.variants.is_empty() => Err(Error::Usage(format!("{list} has no [[variant]]"))),
            _ if ablation.paper_measure.is_empty()
                && ablation.variants.iter().any(|variant| !variant.paper.is_empty()) =>
            {
                Err(Error::Usage(format!(
                    "{list} has figures of a paper; name their measure, paper_measure = \"VOC AP\""
                )))
            }
            Some(pair) => Err(Error::Usage(format!("{list} has two variants named like {:?}", pair[0]))),
            None => Ok(ablation),
        }
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
    use crate::recipe::{Recipe, find};

    #[test]
    fn every_variant_that_the_program_carries_is_a_recipe_of_its_own() {
        for (name, _) in builtin::ABLATIONS {
            let ablation = Ablation::find(name).unwrap();
            let mut recipes: Vec<String> = ablation
                .variants
                .iter()
                .map(|variant| match ablation.task {
                    Task::Pretrain => {
                        find::<PretrainRecipe>(variant.recipe(&ablation.recipe), &variant.settings)
                            .map(|recipe| recipe.to_toml())
                            .unwrap()
                    }
                    Task::Segment => {
                        find::<SegmentRecipe>(variant.recipe(&ablation.recipe), &variant.settings)
                            .map(|recipe| recipe.to_toml())
                            .unwrap()
                    }
                })
                .collect();
            recipes.sort();
            recipes.dedup();
            assert_eq!(recipes.len(), ablation.variants.len(), "{name}: two variants are the same");
        }
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
    }
}
