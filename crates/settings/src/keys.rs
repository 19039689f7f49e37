//! Strict reading of recipes. A misspelt key that is silently ignored costs a night of training, so every key has to
//! be known, and every complaint names the dotted key, where it was written, and what to write instead.
//!
//! The set of known keys is the serialised default recipe, which is why every key needs a default that TOML can write:
//! `None` leaves no trace (spell it `""` or `"none"`), a table that is empty by default accepts no key at all (maps with
//! free keys are not supported), and a key keeps the TOML type of its default. Arrays are replaced whole.

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value, de::DeTable};

use crate::usual::keys_meant;

/// What is wrong with a recipe, and where it was written.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RecipeError {
    /// The text is not TOML.
    #[error("{origin}:{line}:{column}: not valid TOML: {message}")]
    Syntax {
        /// The file, as the caller named it.
        origin: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The parser's own words.
        message: String,
    },
    /// A command-line setting that is not of the form `key=value`.
    #[error("cannot read the setting `{setting}`; write it as `section.key=value`")]
    Malformed {
        /// The setting as it was typed.
        setting: String,
    },
    /// A key that no recipe of this kind has.
    #[error("unknown key `{key}` in {place}; {advice}")]
    Unknown {
        /// The full dotted key.
        key: String,
        /// Where it was written.
        place: String,
        /// The nearest known key, or the keys that exist in its place.
        advice: String,
    },
    /// A value of another TOML type than the key has.
    #[error("`{key}` in {place} is {found}, but {expected}")]
    Type {
        /// The full dotted key.
        key: String,
        /// Where it was written.
        place: String,
        /// The value and its type.
        found: String,
        /// The type wanted, with an example.
        expected: String,
    },
    /// A value of the right TOML type that the recipe refuses: out of range, or not one of the choices.
    #[error("`{key}` in {place} cannot be used: {message}")]
    Value {
        /// The full dotted key, with the index in an array.
        key: String,
        /// Where it was written.
        place: String,
        /// What the recipe's type says about it.
        message: String,
    },
    /// The default recipe itself cannot be written as TOML, which is a fault of the program.
    #[error("the default recipe cannot be written as TOML: {message}; please report this")]
    Defaults {
        /// The serialiser's own words.
        message: String,
    },
}

/// Reads a recipe: `toml_text` over the defaults of `R`, and the `overrides` (`dotted.key=value`) over both.
///
/// `origin` names the text in messages, usually its file. The value of an override is read as TOML, and as a bare
/// string where it is none or where the key is a string: `data.root=/pictures` and `run.name=7` need no quotes.
pub fn load<R>(toml_text: &str, origin: &str, overrides: &[String]) -> Result<R, RecipeError>
where
    R: Serialize + DeserializeOwned + Default,
{
    let defaults = of_defaults::<R>()?;
    let file = Source::File { origin, text: toml_text };
    let mut sources = vec![(parse(toml_text, origin)?, file)];
    for setting in overrides {
        sources.push((parse_override(setting, &defaults)?, Source::CommandLine { setting }));
    }

    let mut recipe = defaults.clone();
    for (given, source) in &sources {
        merge(&mut recipe, given, "", &Context { defaults: &defaults, source })?;
    }
    serde_path_to_error::deserialize(recipe.clone()).map_err(|error| {
        let key = error.path().to_string();
        match culprit::<R>(&recipe, &defaults, &key) {
            Some((key, message)) => refused(key, &message, &sources),
            None => refused(key, error.inner().message(), &sources),
        }
    })
}

/// The default recipe, whose keys are all that there are.
///
/// # Errors
/// [`RecipeError::Defaults`], a fault of the program.
pub fn of_defaults<R: Serialize + Default>() -> Result<Table, RecipeError> {
    Table::try_from(R::default()).map_err(|error| RecipeError::Defaults { message: error.to_string() })
}

/// The complete recipe as TOML; [`load`] reads it back to the same value.
///
/// # Panics
/// If `R` is not a table of TOML values, which is a fault of the program and not of the recipe: what `load` returned
/// can always be written.
pub fn dump<R: Serialize>(recipe: &R) -> String {
    toml::to_string(recipe).unwrap_or_else(|error| panic!("a recipe has to be writable as TOML: {error}"))
}

/// A recipe of an earlier program, with the defaults of the keys that it lacks.
///
/// # Errors
/// As [`load`].
pub fn complete<R>(recipe: &str) -> Result<String, RecipeError>
where
    R: Serialize + DeserializeOwned + Default,
{
    load::<R>(recipe, "the recipe of the run", &[]).map(|recipe| dump(&recipe))
}

/// The dotted keys whose values differ between two complete recipes, those that only one of them has included.
///
/// # Errors
/// [`RecipeError::Syntax`] where one of them is no TOML.
pub fn differences(before: &str, now: &str) -> Result<Vec<String>, RecipeError> {
    let (before, now): (Table, Table) = (parse(before, "the recipe of the run")?, parse(now, "the recipe")?);
    let mut keys = leaves(&before, "");
    keys.extend(leaves(&now, "").into_iter().filter(|key| find(&before, key).is_none()));
    keys.retain(|key| find(&before, key) != find(&now, key));
    Ok(keys)
}

/// One of the places where keys are written.
enum Source<'a> {
    File { origin: &'a str, text: &'a str },
    CommandLine { setting: &'a str },
}

impl Source<'_> {
    fn place(&self, key: &str) -> String {
        match self {
            Source::File { origin, text } => match line_of(text, key) {
                Some(line) => format!("{origin}:{line}"),
                None => (*origin).to_owned(),
            },
            Source::CommandLine { setting } => format!("the setting `{setting}`"),
        }
    }
}

/// What a complaint about a key has to know.
struct Context<'a> {
    defaults: &'a Table,
    source: &'a Source<'a>,
}

/// Reads TOML of whatever shape; unknown keys are as the type says.
///
/// # Errors
/// [`RecipeError::Syntax`] with the place.
pub fn parse<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, RecipeError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
        RecipeError::Syntax { origin: origin.to_owned(), line, column, message: error.message().to_owned() }
    })
}

fn parse_override(setting: &str, defaults: &Table) -> Result<Table, RecipeError> {
    let malformed = || RecipeError::Malformed { setting: setting.to_owned() };
    let (key, text) = setting.split_once('=').ok_or_else(malformed)?;
    let segments: Vec<&str> = key.trim().split('.').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(malformed());
    }
    let value = override_value(text.trim(), find(defaults, key.trim()));
    // From the last segment outwards: `a.b = v` becomes `{ a = { b = v } }`.
    let nested = segments
        .iter()
        .rev()
        .fold(value, |value, segment| Value::Table(Table::from_iter([((*segment).to_owned(), value)])));
    nested.try_into().map_err(|_| malformed())
}

fn override_value(text: &str, default: Option<&Value>) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    match parsed.and_then(|mut table| table.remove("value")) {
        Some(parsed) if parsed.is_str() || !default.is_some_and(Value::is_str) => parsed,
        _ => Value::String(text.to_owned()),
    }
}

fn merge(into: &mut Table, given: &Table, prefix: &str, context: &Context<'_>) -> Result<(), RecipeError> {
    for (name, value) in given {
        let key = join(prefix, name);
        match (into.get_mut(name), value) {
            (None, _) => return Err(unknown(&first_leaf(key, value), context)),
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value, &key, context)?,
            (Some(slot @ Value::Float(_)), Value::Integer(whole)) => *slot = Value::Float(*whole as f64),
            // A bare number where text is expected: `log_every = 10`, `name = 7`.
            (Some(slot @ Value::String(_)), Value::Integer(whole)) => {
                *slot = Value::String(whole.to_string());
            }
            (Some(slot), value) if slot.same_type(value) => *slot = value.clone(),
            (Some(slot), value) => {
                return Err(RecipeError::Type {
                    place: context.source.place(&key),
                    found: found(value),
                    expected: expected(slot),
                    key,
                });
            }
        }
    }
    Ok(())
}

fn found(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        _ => format!("the {} {value}", value.type_str()),
    }
}

fn expected(default: &Value) -> String {
    match default {
        Value::Table(table) => format!("a table is expected, with the keys {}", names(table)),
        Value::Integer(_) | Value::Array(_) => {
            format!("an {} is expected, such as {default}", default.type_str())
        }
        _ => format!("a {} is expected, such as {default}", default.type_str()),
    }
}

fn unknown(key: &str, context: &Context<'_>) -> RecipeError {
    let known = leaves(context.defaults, "");
    let advice = match nearest(key, known.iter().map(String::as_str)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => known_beside(key, context.defaults),
    };
    RecipeError::Unknown { key: key.to_owned(), place: context.source.place(key), advice }
}

/// The keys of the innermost known table around an unknown key.
fn known_beside(key: &str, defaults: &Table) -> String {
    let mut outer = key;
    while let Some((parent, _)) = outer.rsplit_once('.') {
        if let Some(Value::Table(table)) = find(defaults, parent) {
            return format!("`{parent}` has the keys {}", names(table));
        }
        outer = parent;
    }
    format!("a recipe has the keys {}", names(defaults))
}

/// The known key that is meant by `key`: one that reads nearly the same, the one that goes by this name elsewhere
/// (`lr`), or the one that reads most like it, as a whole or in its last segment (`grid` finds `pixsim.grid`).
pub fn nearest<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    const SAME: f64 = 0.8;
    const ALIKE: f64 = 0.65;
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(key, candidate);
        let name = strsim::normalized_damerau_levenshtein(&last(key), &last(candidate));
        (whole, whole.max(name))
    };
    let known: Vec<_> = known.map(|candidate| (likeness(candidate), candidate)).collect();
    let same = known.iter().filter(|((whole, _), _)| *whole >= SAME);
    let same = same.max_by(|((a, _), _), ((b, _), _)| a.total_cmp(b));
    let usual = || {
        let meant = keys_meant(key).iter();
        meant.filter_map(|meant| known.iter().find(|(_, candidate)| candidate == meant)).next()
    };
    // Among equal names the one whose section also reads alike wins.
    let alike = || {
        let alike = known.iter().filter(|((_, best), _)| *best >= ALIKE);
        alike.max_by(|((a_whole, a), _), ((b_whole, b), _)| a.total_cmp(b).then(a_whole.total_cmp(b_whole)))
    };
    same.or_else(usual).or_else(alike).map(|(_, candidate)| *candidate)
}

/// The key below `table` whose value is refused by itself, and why: of a table that is flattened into another one serde
/// names no key.
fn culprit<R: DeserializeOwned>(recipe: &Table, defaults: &Table, table: &str) -> Option<(String, String)> {
    leaves(find(recipe, table)?.as_table()?, table).into_iter().find_map(|key| {
        let mut alone = defaults.clone();
        *find_mut(&mut alone, &key)? = find(recipe, &key)?.clone();
        let error = serde_path_to_error::deserialize::<_, R>(alone).err()?;
        Some((key, error.inner().message().to_owned()))
    })
}

/// The last source that wrote the key is the one to blame.
fn refused(key: String, message: &str, sources: &[(Table, Source<'_>)]) -> RecipeError {
    let plain = key.split('[').next().unwrap_or_default();
    let place = sources
        .iter()
        .rev()
        .find(|(given, _)| find(given, plain).is_some())
        .map_or_else(|| "the defaults".to_owned(), |(_, source)| source.place(plain));
    RecipeError::Value { place, message: message.to_owned(), key }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn names(table: &Table) -> String {
    table.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `key`, or below a misspelt section the first key in it, which is what the reader looks for.
fn first_leaf(key: String, value: &Value) -> String {
    match value.as_table().and_then(|table| table.iter().next()) {
        Some((name, inner)) => first_leaf(join(&key, name), inner),
        None => key,
    }
}

/// All dotted keys of a table.
pub fn leaves(table: &Table, prefix: &str) -> Vec<String> {
    let below = |(name, value): (&String, &Value)| match value {
        Value::Table(inner) => leaves(inner, &join(prefix, name)),
        _ => vec![join(prefix, name)],
    };
    table.iter().flat_map(below).collect()
}

/// The value of a dotted key.
pub fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((name, rest)) => find(table.get(name)?.as_table()?, rest),
    }
}

fn find_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        None => table.get_mut(key),
        Some((name, rest)) => find_mut(table.get_mut(name)?.as_table_mut()?, rest),
    }
}

/// The line where the text writes the dotted key.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut segments = key.split('.').peekable();
    while let Some(segment) = segments.next() {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == segment)?;
        if segments.peek().is_none() {
            return Some(line_and_column(text, name.span().start).0);
        }
        table = value.get_ref().as_table()?;
    }
    None
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests;
