//! The meaning and the allowed values of a recipe's keys: the tables of `docs/recipes.md`, which the program carries.
//! The recipe itself defines which keys it has and their defaults; a test compares the page with it.

use super::Recipe;
use densesiam_settings::keys::{find, leaves};

/// The page as it is in the repository.
const PAGE: &str = include_str!("../../../../docs/recipes.md");

/// A row of one of the page's tables.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The heading `## SECTION` above the row.
    pub section: &'static str,
    /// The dotted key.
    pub key: &'static str,
    /// Its default, as TOML.
    pub default: &'static str,
    /// The allowed values, with choices in backticks.
    pub allowed: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// A key of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The dotted key.
    pub name: &'static str,
    /// The default that it has in this recipe, as TOML.
    pub default: String,
    /// The allowed values.
    pub allowed: String,
    /// What it means, in a sentence or two.
    pub meaning: String,
}

/// All rows of the page, from its top.
pub fn rows() -> impl Iterator<Item = Row> {
    let sections = PAGE.split("\n## ").skip(1).filter_map(|part| part.split_once('\n'));
    sections.flat_map(|(section, text)| text.lines().filter_map(move |line| row(section, line)))
}

fn row(section: &'static str, line: &'static str) -> Option<Row> {
    let cells = line.strip_prefix("| `")?.strip_suffix('|')?;
    let mut cells = cells.splitn(4, " | ").map(str::trim);
    let mut next = || cells.next().unwrap_or_default();
    let [key, default, allowed, meaning] = [next(), next(), next(), next()];
    Some(Row { section, key: key.trim_matches('`'), default: default.trim_matches('`'), allowed, meaning })
}

/// The keys of a recipe that the page explains, in the page's order.
pub fn keys<R: Recipe>() -> Vec<Key> {
    // A default recipe that is not TOML is a fault of the program, and every function that reads a recipe reports it.
    let defaults = R::every_table().unwrap_or_default();
    let known = leaves(&defaults, "");
    let of_recipe =
        rows().filter(|row| R::SECTIONS.contains(&row.section) && known.iter().any(|key| key == row.key));
    let key = |row: Row| Key {
        name: row.key,
        default: find(&defaults, row.key).map(ToString::to_string).unwrap_or_default(),
        allowed: row.allowed.replace('`', ""),
        meaning: without_links(row.meaning),
    };
    of_recipe.map(key).collect()
}

/// The range of an integer key, in the page's words; `None` for a key that is not an integer.
pub(super) fn range_of_whole<R: Recipe>(key: &str) -> Option<String> {
    let key = keys::<R>().into_iter().find(|known| known.name == key)?;
    key.default.parse::<i64>().ok().map(|_| key.allowed)
}

/// Replaces each `[text](page.md)` by its text.
fn without_links(sentence: &str) -> String {
    let mut parts = sentence.split("](");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(bracket) = plain.rfind('[') {
            plain.remove(bracket);
        }
        plain.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_text() {
        assert_eq!(without_links("As [data](data.md#a), or [b, c]."), "As data, or [b, c].");
        assert_eq!(without_links("[Two](a.md) and [more](b.md)"), "Two and more");
        assert_eq!(without_links("none (of it)"), "none (of it)");
    }
}
