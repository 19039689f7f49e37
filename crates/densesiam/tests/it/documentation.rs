//! `docs/recipes.md` held against the program: every key, its default and its choices.

use std::collections::BTreeMap;

use densesiam::recipe::Recipe;
use densesiam::recipe::keys::{dump, load};
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use toml::{Table, Value};

const PAGE: &str = include_str!("../../../../docs/recipes.md");

/// A row of a table of the page.
struct Row {
    default: String,
    /// What stands in backticks under "allowed".
    choices: Vec<String>,
}

/// The rows of all tables below a heading `## SECTION`, by key.
fn rows(section: &str) -> BTreeMap<String, Row> {
    let (_, text) = PAGE.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [key, default, allowed, _] = cells[..] else { panic!("not four cells: {line}") };
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        let choices = allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let before = rows.insert(plain(key), Row { default: plain(default), choices });
        assert!(before.is_none(), "{key} is there twice below {section}");
    }
    rows
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

/// Every choice is taken, and where there are choices nothing else is; free text is checked where it is used.
fn choices_are<R: Recipe>(page: &BTreeMap<String, Row>) {
    const CHECKED_LATER: [&str; 2] = ["labels.layout", "labels.taxonomy"];
    for (key, row) in page.iter().filter(|(_, row)| !row.choices.is_empty()) {
        for choice in &row.choices {
            let read = load::<R>("", "", &[format!("{key}={choice}")]);
            assert!(read.is_ok(), "{key}={choice} in docs/recipes.md: {}", read.err().unwrap());
        }
        let refused = load::<R>("", "", &[format!("{key}=nonsense")]).is_err();
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
    same(&pretrain, &defaults_of(&dump(&PretrainRecipe::default())));
    same(&segment, &defaults_of(&dump(&SegmentRecipe::default())));
    choices_are::<PretrainRecipe>(&pretrain);
    choices_are::<SegmentRecipe>(&segment);

    let mut probe = defaults_of(&dump(&ProbeRecipe::default()));
    probe.retain(|key, _| key.starts_with("probe."));
    same(&rows("Probe"), &probe);
}
