//! Strict reading of recipes. A misspelt key that is silently ignored costs a night of training. Every key must
//! therefore be known, and every error names the dotted key, where it was written, and what to write instead.
//!
//! The known keys are those of the default recipe, written as TOML. Every key therefore needs a default that TOML can
//! write: `None` leaves no trace (spell it `""` or `"none"`), a table that is empty by default accepts no key at all
//! (maps with free keys are not supported), and a key keeps the TOML type of its default. Arrays are replaced as a
//! whole.

use serde::de::DeserializeOwned;
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
        /// The nearest known key, or the keys that exist beside it.
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
        /// The message of the recipe's type.
        message: String,
    },
    /// The default recipe itself cannot be written as TOML, which is a fault of the program.
    #[error("the default recipe cannot be written as TOML: {message}; please report this")]
    Defaults {
        /// The serialiser's own words.
        message: String,
    },
}

/// One of the places where keys are written.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File { origin: String, text: String },
    CommandLine { setting: String },
}

impl Source {
    pub(crate) fn place(&self, key: &str) -> String {
        match self {
            Source::File { origin, text } => match line_of(text, key) {
                Some(line) => format!("{origin}:{line}"),
                None => origin.clone(),
            },
            Source::CommandLine { setting } => format!("the setting `{setting}`"),
        }
    }
}

/// What an error about a key needs to know.
struct Context<'a> {
    defaults: &'a Table,
    source: &'a Source,
}

/// Reads TOML of any shape; the type decides about unknown keys.
///
/// # Errors
/// [`RecipeError::Syntax`] with the place.
pub fn parse<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, RecipeError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
        RecipeError::Syntax { origin: origin.to_owned(), line, column, message: error.message().to_owned() }
    })
}

pub(crate) fn parse_override(setting: &str, defaults: &Table) -> Result<Table, RecipeError> {
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
    let list = default.and_then(Value::as_array).map(Vec::as_slice);
    match (parsed.and_then(|mut table| table.remove("value")), list) {
        (Some(Value::Array(list)), Some([Value::String(_), ..])) => {
            Value::Array(list.into_iter().map(as_word).collect())
        }
        (Some(Value::Array(list)), _) => Value::Array(list),
        (Some(word @ Value::String(_)), Some([] | [Value::String(_), ..])) => Value::Array(vec![word]),
        (None, Some([])) => words(text),
        (_, Some([Value::String(_), ..])) => words(text),
        (Some(parsed), _) if parsed.is_str() || !default.is_some_and(Value::is_str) => parsed,
        _ => Value::String(text.to_owned()),
    }
}

/// A number in a list of words, `[2007]`.
fn as_word(value: Value) -> Value {
    if value.is_integer() { Value::String(value.to_string()) } else { value }
}

/// A list of words as it is written on a command line, without the quotes that a shell takes away: `train`, `[train,val]`.
fn words(text: &str) -> Value {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let words = inner.split(',').map(|word| word.trim().trim_matches(['"', '\'']));
    Value::Array(words.filter(|word| !word.is_empty()).map(|word| Value::String(word.to_owned())).collect())
}

/// Merges the values `given` at one place into the recipe, and overrides earlier ones.
pub(crate) fn merge(
    into: &mut Table,
    given: &Table,
    defaults: &Table,
    source: &Source,
) -> Result<(), RecipeError> {
    merge_below("", into, given, &Context { defaults, source })
}

fn merge_below(
    prefix: &str,
    into: &mut Table,
    given: &Table,
    context: &Context<'_>,
) -> Result<(), RecipeError> {
    for (name, value) in given {
        let key = join(prefix, name);
        match (into.get_mut(name), value) {
            (None, _) => return Err(unknown(&first_leaf(key, value), context)),
            (Some(Value::Table(inner)), Value::Table(value)) => merge_below(&key, inner, value, context)?,
            (Some(slot @ Value::Float(_)), Value::Integer(whole)) => *slot = Value::Float(*whole as f64),
            // A bare number if text is expected: `log_every = 10`, `name = 7`.
            (Some(slot @ Value::String(_)), Value::Integer(whole)) => {
                *slot = Value::String(whole.to_string());
            }
            (Some(slot), value) if slot.same_type(value) => *slot = value.clone(),
            // A number for each of two views: the type of the setting decides whether it may have two.
            (Some(slot @ Value::Float(_)), Value::Array(each)) if is_pair(each) => *slot = value.clone(),
            // One number for both, over an earlier pair.
            (Some(slot @ Value::Array(_)), Value::Float(_) | Value::Integer(_))
                if !was_array(&key, context) =>
            {
                *slot = value.clone();
            }
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

/// Whether these are two numbers.
fn is_pair(values: &[Value]) -> bool {
    values.len() == 2 && values.iter().all(|value| value.is_float() || value.is_integer())
}

/// Whether the default of a key is an array.
fn was_array(key: &str, context: &Context<'_>) -> bool {
    find(context.defaults, key).is_none_or(Value::is_array)
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

/// The known key that is meant by `key`: one that is spelt nearly the same, the one that other programs call by this
/// name (`lr`), or the most similar one, as a whole or in its last segment (`grid` finds `pixsim.grid`).
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
    // `roi.batchsize` is `roi.batch`, though other programs call the batch of a training so.
    let table = |key: &str| key.rsplit_once('.').map(|(table, _)| table.to_owned());
    let beside = || {
        let of_table =
            known.iter().filter(|(_, candidate)| table(key).is_some() && table(candidate) == table(key));
        let begins = |one: &str, other: &str| last(one).starts_with(&last(other));
        of_table.filter(|(_, of)| begins(key, of) || begins(of, key)).max_by_key(|(_, of)| of.len())
    };
    // Among equal names the one whose section is also similar wins.
    let alike = || {
        let alike = known.iter().filter(|((_, best), _)| *best >= ALIKE);
        alike.max_by(|((a_whole, a), _), ((b_whole, b), _)| a.total_cmp(b).then(a_whole.total_cmp(b_whole)))
    };
    same.or_else(beside).or_else(usual).or_else(alike).map(|(_, candidate)| *candidate)
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn names(table: &Table) -> String {
    let mut names: Vec<_> = table.keys().map(|name| format!("`{name}`")).collect();
    names.sort();
    names.join(", ")
}

/// `key` itself or, for a misspelt section, the first key in it, because that is what the reader is looking for.
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
