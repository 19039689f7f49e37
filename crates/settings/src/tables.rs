//! A recipe as tables: the written values override the defaults, and every key is known. Each part of a program reads
//! the tables that it has settings for, and two parts may read the same table.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::keys::{RecipeError, Source, find, leaves, merge, parse, parse_override};

/// A recipe that is merged and not yet read.
#[derive(Clone, Debug)]
pub struct Tables {
    merged: Table,
    /// What was written, and where; errors name the last place that set the key.
    written: Vec<(Table, Source)>,
}

impl Tables {
    /// Merges the `defaults`, which have all keys that exist, with a text that overrides them, and with `settings`
    /// (`dotted.key=value`) that override both. `origin` names the text in messages, usually its file. The value of a
    /// setting is read as TOML, or as a bare string if it is not TOML or if the key is a string: `data.root=/pictures`
    /// and `run.name=7` need no quotes.
    ///
    /// # Errors
    /// When the text is not valid TOML, or a key is unknown or has a value of another type than its default.
    pub fn merge(
        defaults: &Table,
        text: &str,
        origin: &str,
        settings: &[String],
    ) -> Result<Self, RecipeError> {
        let file = Source::File { origin: origin.to_owned(), text: text.to_owned() };
        let mut written = vec![(parse(text, origin)?, file)];
        for setting in settings {
            let source = Source::CommandLine { setting: setting.clone() };
            written.push((parse_override(setting, defaults)?, source));
        }
        let mut merged = defaults.clone();
        for (given, source) in &written {
            merge(&mut merged, given, defaults, source)?;
        }
        Ok(Self { merged, written })
    }

    /// One table: `tables.read::<Beginning>("encoder")`. Keys that `T` does not have are ignored; another part reads them.
    ///
    /// # Errors
    /// [`RecipeError::Value`] with the full key of a value that `T` refuses.
    pub fn read<T: DeserializeOwned>(&self, table: &str) -> Result<T, RecipeError> {
        let value = self.merged.get(table).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        serde_path_to_error::deserialize(value)
            .map_err(|error| self.refused(&format!("{table}.{}", error.path()), error.inner().message()))
    }

    /// A struct whose fields are tables. Tables that `T` does not have are ignored; another part reads them.
    ///
    /// # Errors
    /// As [`Tables::read`].
    pub fn all<T: DeserializeOwned>(&self) -> Result<T, RecipeError> {
        serde_path_to_error::deserialize(self.merged.clone())
            .map_err(|error| self.refused(&error.path().to_string(), error.inner().message()))
    }

    /// The text of a key that is in no table, as it was merged.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.merged.get(key)?.as_str()
    }

    fn refused(&self, key: &str, message: &str) -> RecipeError {
        let plain = key.split('[').next().unwrap_or_default();
        let wrote = self.written.iter().rev().find(|(given, _)| find(given, plain).is_some());
        let place = wrote.map_or_else(|| "the defaults".to_owned(), |(_, source)| source.place(plain));
        RecipeError::Value { key: key.to_owned(), place, message: message.to_owned() }
    }
}

/// The text that a recipe or, over it, the settings of the command line give to a key, before anything else is known about
/// the recipe; `None` if neither does.
///
/// # Errors
/// [`RecipeError::Syntax`] when the recipe is not valid TOML.
pub fn written(
    key: &str,
    text: &str,
    origin: &str,
    settings: &[String],
) -> Result<Option<String>, RecipeError> {
    let in_text: Table = parse(text, origin)?;
    let on_command_line = settings.iter().rev().filter_map(|setting| setting.split_once('='));
    let over = on_command_line.filter(|(name, _)| name.trim() == key).map(|(_, value)| value).next();
    let over = over.map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(over.or_else(|| find(&in_text, key).map(plain)))
}

/// The tables of a struct whose fields are tables.
///
/// # Errors
/// [`RecipeError::Defaults`] if it cannot be written as TOML, a fault of the program.
pub fn tables_of<T: Serialize>(settings: &T) -> Result<Table, RecipeError> {
    Table::try_from(settings).map_err(|error| RecipeError::Defaults { message: error.to_string() })
}

/// A recipe with only this table.
///
/// # Errors
/// As [`tables_of`].
pub fn table_of<T: Serialize>(name: &str, settings: &T) -> Result<Table, RecipeError> {
    Ok(Table::from_iter([(name.to_owned(), Value::Table(tables_of(settings)?))]))
}

/// All tables of several parts. Parts that have settings in the same table write it together.
pub fn joined(parts: impl IntoIterator<Item = Table>) -> Table {
    let mut all = Table::new();
    for (name, value) in parts.into_iter().flatten() {
        match (all.get_mut(&name), value) {
            (Some(Value::Table(there)), Value::Table(more)) => there.extend(more),
            (_, value) => drop(all.insert(name, value)),
        }
    }
    all
}

/// The dotted keys whose values differ between two complete recipes, including keys that only one of them has.
///
/// # Errors
/// [`RecipeError::Syntax`] when one of them is not valid TOML.
pub fn differences(before: &str, now: &str) -> Result<Vec<String>, RecipeError> {
    let (before, now): (Table, Table) = (parse(before, "the recipe of the run")?, parse(now, "the recipe")?);
    let mut keys = leaves(&before, "");
    keys.extend(leaves(&now, "").into_iter().filter(|key| find(&before, key).is_none()));
    keys.retain(|key| find(&before, key) != find(&now, key));
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests;
