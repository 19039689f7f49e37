//! `docs/recipes.md` held against the program: every key, its default, its choices and its range; and the keys that errors
//! name against the page.

use std::collections::{BTreeMap, BTreeSet};

use densesiam::recipe::embed::EmbedRecipe;
use densesiam::recipe::knn::KnnRecipe;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::reference::{self, Row};
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::detection::DetectionRecipe;
use densesiam::recipe::transfer::segmentation::FcnRecipe;
use densesiam::recipe::{self, Recipe, merged};
use densesiam_nn::pretrain::Chosen;
use densesiam_nn::segment;
use toml::{Table, Value};

/// The rows of all tables below a heading `## SECTION`, by key.
fn rows(section: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for row in reference::rows().filter(|row| row.section == section) {
        let before = rows.insert(row.key.to_owned(), row);
        assert!(!row.meaning.is_empty() && !row.meaning.contains('|'), "not four cells: {row:?}");
        assert!(before.is_none(), "{} is there twice below {section}", row.key);
    }
    rows
}

/// What stands in backticks under "allowed".
fn choices(row: &Row) -> Vec<&str> {
    row.allowed.split('`').skip(1).step_by(2).collect()
}

/// The values of a recipe by dotted key.
fn leaves(table: &Table, prefix: &str) -> BTreeMap<String, Value> {
    let below = |(name, value): (&String, &Value)| match value {
        Value::Table(inner) => leaves(inner, &format!("{prefix}{name}.")),
        _ => BTreeMap::from([(format!("{prefix}{name}"), value.clone())]),
    };
    table.iter().flat_map(below).collect()
}

fn defaults_of(recipe: &str) -> BTreeMap<String, Value> {
    leaves(&toml::from_str(recipe).unwrap(), "")
}

fn same(page: &BTreeMap<String, Row>, program: &BTreeMap<String, Value>) {
    let missing: Vec<_> = program.keys().filter(|key| !page.contains_key(*key)).collect();
    let unknown: Vec<_> = page.keys().filter(|key| !program.contains_key(*key)).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/recipes.md lacks {missing:?} and has {unknown:?} that no recipe has"
    );
    for (key, row) in page {
        let written: Table = format!("value = {}", row.default).parse().unwrap();
        assert_eq!(written["value"], program[key], "the default of {key} in docs/recipes.md");
    }
}

/// `densesiam keys` has every key of a recipe, with the default that it has there.
fn explained<R: Recipe>() {
    let keys = reference::keys::<R>().into_iter();
    let explained: BTreeMap<_, _> = keys.map(|key| (key.name.to_owned(), key.default)).collect();
    let known = leaves(&R::every_table().unwrap(), "").into_iter();
    assert_eq!(explained, known.map(|(key, default)| (key, default.to_string())).collect());
}

/// Every choice is taken, and where there are choices nothing else is; free text is checked where it is used.
fn choices_are<R: Recipe>(page: &BTreeMap<String, Row>) {
    choices_are_with::<R>(page, &[]);
}

fn choices_are_with<R: Recipe>(page: &BTreeMap<String, Row>, settings: &[String]) {
    let merged = |setting: String| merged::<R>("", "", &[settings, &[setting]].concat());
    const CHECKED_LATER: [&str; 2] = ["labels.layout", "labels.taxonomy"];
    for (key, row) in page.iter().filter(|(_, row)| row.allowed.contains('`')) {
        for choice in choices(row) {
            let read = merged(format!("{key}={choice}"));
            assert!(read.is_ok(), "{key}={choice} in docs/recipes.md: {}", read.err().unwrap());
        }
        let refused = merged(format!("{key}=nonsense")).is_err();
        assert!(refused || CHECKED_LATER.contains(&key.as_str()), "{key}=nonsense was taken");
    }
}

#[test]
fn the_page_of_recipes_is_what_the_program_knows() {
    let with_both = |section| {
        let mut all = rows("Keys of both");
        all.extend(rows(section));
        all
    };
    let (pretrain, segment) = (with_both("Pre-training"), with_both("Segmentation"));
    same(&pretrain, &defaults_of(&PretrainRecipe::default().to_toml()));
    same(&segment, &defaults_of(&SegmentRecipe::default().to_toml()));
    choices_are::<PretrainRecipe>(&pretrain);
    choices_are::<SegmentRecipe>(&segment);
    ranges_are::<PretrainRecipe>(&pretrain);
    ranges_are::<SegmentRecipe>(&segment);

    let mut others = rows("Other methods");
    for name in Chosen::NAMES {
        let settings = [format!("method={name}")];
        let recipe: PretrainRecipe = merged("", "", &settings).unwrap();
        let of_method = |key: &str| key.starts_with(&format!("{name}."));
        let mut known = defaults_of(&recipe.to_toml());
        known.retain(|key, _| of_method(key));
        let page = others.extract_if(.., |key, _| of_method(key)).collect();
        same(&page, &known);
        choices_are_with::<PretrainRecipe>(&page, &settings);
        ranges_are_with::<PretrainRecipe>(&page, &settings);
    }
    assert!(others.is_empty(), "docs/recipes.md has {others:?} that no method has");

    let others = rows("Other methods of segmentation");
    let mut known = BTreeMap::new();
    for name in &segment::Chosen::NAMES[1..] {
        let settings = [format!("method={name}")];
        let recipe: SegmentRecipe = merged("", "", &settings).unwrap();
        let mut own = defaults_of(&recipe.to_toml());
        own.retain(|key, _| others.contains_key(key) || !segment.contains_key(key));
        let page: BTreeMap<_, _> =
            own.keys().filter_map(|key| Some((key.clone(), *others.get(key)?))).collect();
        choices_are_with::<SegmentRecipe>(&page, &settings);
        ranges_are_with::<SegmentRecipe>(&page, &settings);
        known.extend(own);
    }
    same(&others, &known);

    transfer_is::<FcnRecipe>("Transfer to segmentation");
    transfer_is::<DetectionRecipe>("Transfer to detection");

    explained::<FcnRecipe>();
    explained::<DetectionRecipe>();
    explained::<PretrainRecipe>();
    explained::<SegmentRecipe>();
    explained::<ProbeRecipe>();
    explained::<KnnRecipe>();
    explained::<EmbedRecipe>();

    let mut probe = defaults_of(&ProbeRecipe::default().to_toml());
    probe.retain(|key, _| key.starts_with("probe.") || key == "encoder.output_stride");
    same(&rows("Probe"), &probe);
    ranges_are::<ProbeRecipe>(&rows("Probe"));

    let mut knn = defaults_of(&KnnRecipe::default().to_toml());
    knn.retain(|key, _| key.starts_with("knn.") || key == "encoder.output_stride");
    same(&rows("k-NN"), &knn);
    choices_are::<KnnRecipe>(&rows("k-NN"));
    ranges_are::<KnnRecipe>(&rows("k-NN"));

    let mut embed = defaults_of(&EmbedRecipe::default().to_toml());
    embed.retain(|key, _| key.starts_with("embed.") || key == "encoder.output_stride");
    same(&rows("Embeddings"), &embed);
    choices_are::<EmbedRecipe>(&rows("Embeddings"));
    ranges_are::<EmbedRecipe>(&rows("Embeddings"));
}

/// The page of a recipe of transfer. Which model it has is not a choice of the recipe.
fn transfer_is<R: Recipe>(section: &str) {
    let mut page = rows("Keys of both");
    page.extend(rows("Transfer"));
    page.extend(rows(section));
    let mut known = defaults_of(&R::default().to_toml());
    assert!(page.remove("model").is_some() && known.remove("model").is_some());
    same(&page, &known);
    let weights = ["encoder.weights=random".to_owned()];
    choices_are_with::<R>(&page, &weights);
    ranges_are_with::<R>(&page, &weights);
}

/// Values of a key that the page allows, and such that it does not.
#[derive(Default)]
struct Probes {
    taken: Vec<String>,
    refused: Vec<String>,
}

impl Probes {
    /// What "0 to 1", "0 and above", "above 0, at most 1", "0 to below 1" and "0, or 2 to 9" say of a number.
    fn of(allowed: &str, whole: bool) -> Self {
        let step = if whole { 1.0 } else { 1e-3 };
        let words = allowed.split(", ");
        let mut probes = Self::default();
        for part in words {
            let number =
                |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{allowed:?} has {text:?}"));
            match part.split(' ').collect::<Vec<_>>()[..] {
                ["or", low, "to", high] | [low, "to", high] => {
                    probes.taken.extend([low, high].map(str::to_owned));
                    probes.refused.extend([number(low) - step, number(high) + step].map(|n| n.to_string()));
                }
                [low, "to", "below", high] => {
                    probes.taken.push(low.to_owned());
                    probes.refused.extend([(number(low) - step).to_string(), high.to_owned()]);
                }
                [low, "and", "above"] => {
                    assert!(!whole, "{allowed:?}: a whole number needs a highest one");
                    probes.taken.push(low.to_owned());
                    probes.refused.push((number(low) - step).to_string());
                }
                ["above", low] => {
                    probes.taken.push((number(low) + step).to_string());
                    probes.refused.push(low.to_owned());
                }
                ["at", "most", "the", "pictures"] => {}
                ["at", "most", high] => {
                    probes.taken.push(high.to_owned());
                    probes.refused.push((number(high) + step).to_string());
                }
                ["a", "number"] => {}
                [single] => probes.taken.push(number(single).to_string()),
                _ => panic!("{allowed:?} is not understood"),
            }
        }
        if !whole {
            probes.refused.extend(["nan", "inf", "-inf"].map(str::to_owned));
        }
        probes
    }

    /// The same of two numbers, low and high.
    fn of_range(allowed: &str) -> Self {
        let Self { taken, refused } = Self::of(allowed, false);
        let pair = |number: &String| format!("[{number}, {number}]");
        Self { taken: taken.iter().map(pair).collect(), refused: refused.iter().map(pair).collect() }
    }
}

/// Every number is taken within the range that the page gives, and refused by its key beyond it.
fn ranges_are<R: Recipe>(page: &BTreeMap<String, Row>) {
    ranges_are_with::<R>(page, &[]);
}

fn ranges_are_with<R: Recipe>(page: &BTreeMap<String, Row>, settings: &[String]) {
    for (key, row) in page {
        let default: Table = format!("value = {}", row.default).parse().unwrap();
        let probes = match (&default["value"], row.allowed.strip_prefix("[low, high], ")) {
            (Value::Integer(_), _) => Probes::of(row.allowed, true),
            (Value::Float(_), _) => Probes::of(row.allowed, false),
            (Value::Array(_), Some(allowed)) => Probes::of_range(allowed),
            _ => continue,
        };
        let read =
            |value: &String| recipe::load::<R>("", "", &[settings, &[format!("{key}={value}")]].concat());
        for value in &probes.taken {
            assert!(
                read(value).is_ok(),
                "docs/recipes.md allows {key}={value}: {}",
                read(value).err().unwrap()
            );
        }
        for value in &probes.refused {
            let said = read(value).err().unwrap_or_else(|| panic!("{key}={value} was taken")).to_string();
            assert!(said.contains(key.as_str()), "{key}={value} is refused without its key: {said}");
        }
    }
}

/// Dotted names in the files that raise errors of settings, each of which has to be a key of some recipe.
#[test]
fn every_key_that_an_error_names_is_one_that_a_recipe_has() {
    let recipes = [
        PretrainRecipe::default().to_toml(),
        SegmentRecipe::default().to_toml(),
        ProbeRecipe::default().to_toml(),
        FcnRecipe::default().to_toml(),
        DetectionRecipe::default().to_toml(),
    ];
    let mut keys: BTreeSet<String> =
        recipes.iter().flat_map(|recipe| defaults_of(recipe).into_keys()).collect();
    keys.extend(leaves(&PretrainRecipe::every_table().unwrap(), "").into_keys());
    let tables: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    let mut named = 0;
    for source in sources() {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in code.split('"').skip(1).step_by(2) {
            let names = literal.split(|letter: char| !letter.is_ascii_lowercase() && !"._".contains(letter));
            for name in names.map(|name| name.trim_matches('.')) {
                if name.split_once('.').is_some_and(|(table, _)| tables.contains(table)) {
                    named += 1;
                    let known =
                        keys.contains(name) || keys.iter().any(|key| key.starts_with(&format!("{name}.")));
                    assert!(known, "an error names {name}, which is no key of any recipe");
                }
            }
        }
    }
    assert!(named > 50, "{named}");
}

/// The files of all crates that raise errors of settings.
fn sources() -> Vec<String> {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let files = walkdir::WalkDir::new(crates).into_iter().map(|entry| entry.unwrap().into_path());
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let texts = rust.filter(|path| path.components().any(|part| part.as_os_str() == "src"));
    let texts = texts.map(|path| std::fs::read_to_string(path).unwrap());
    texts.filter(|text| text.contains("SettingError")).collect()
}

/// A newcomer is sent to no file that has moved. Names with braces or stars stand for several.
#[test]
fn the_files_that_contributing_names_are_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/CONTRIBUTING.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let paths =
        quoted.filter(|text| ["crates/", "docs/", "fuzz/", "recipes/"].iter().any(|at| text.starts_with(at)));
    let paths: Vec<_> = paths.filter(|path| !path.contains(['{', '*'])).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(std::path::Path::new(&format!("{root}/{path}")).exists(), "CONTRIBUTING.md names {path}");
    }
}
