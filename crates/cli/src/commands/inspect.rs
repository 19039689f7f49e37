//! `densesiam inspect`: what a weights file, a checkpoint or a run is.

use std::collections::BTreeMap;
use std::path::Path;

use densesiam_nn::Architecture;
use densesiam_weights::{Limits, NameMatch, NoMatch, read};
use serde_json::{Value, json};

use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::import::matchings;
use densesiam::run::{Contents, locate};

/// Prints what `path` is, as lines or as JSON.
pub(super) fn run(path: &Path, json: bool) -> Result<(), Error> {
    let findings = if path.is_dir() { of_checkpoint(path)? } else { of_file(path)? };
    match findings {
        Value::Object(findings) if !json => {
            answer(findings.iter().map(|(key, value)| lines(key, value)).collect::<String>())
        }
        findings => answer_line(format_args!("{findings:#}")),
    }
}

/// Describes a checkpoint's folder, or the newest checkpoint of a run directory.
fn of_checkpoint(path: &Path) -> Result<Value, Error> {
    let (_, checkpoint) = locate(path)?;
    let sizes = checkpoint.model.iter().map(|(name, tensor)| (first_word(name), tensor.numel() as u64));
    Ok(json!({
        "kind": "checkpoint of this program",
        "checkpoint": checkpoint.path.to_string_lossy(),
        "step": checkpoint.manifest.step,
        "written": checkpoint.manifest.created,
        "run": Contents::read(&checkpoint)?,
        "parts": parts(sizes),
    }))
}

/// Describes a weights file in any supported format.
fn of_file(path: &Path) -> Result<Value, Error> {
    let file = read(path, &Limits::default())
        .map_err(|error| Error::Weights { path: path.to_owned(), reason: error.to_string() })?;
    let mut kinds = BTreeMap::<String, usize>::new();
    for tensor in &file.tensors {
        *kinds.entry(tensor.dtype.to_string()).or_default() += 1;
    }
    let elements = |shape: &[i64]| shape.iter().product::<i64>().unsigned_abs();
    let best = matchings(&file).max_by_key(likeness);
    let encoder = best.as_ref().map(|best| best.as_ref().map_or_else(not_found, in_words));
    let best = best.and_then(Result::ok);
    let part = |name| best.as_ref().map_or(first_word(name), |(_, matching)| matching.part_of(name));
    let sizes = file.tensors.iter().map(|tensor| (part(&tensor.name), elements(&tensor.shape)));
    let fitting = best.as_ref().filter(|(_, matching)| matching.fits());
    Ok(json!({
        "kind": format!("{} file", file.format),
        "encoder": encoder,
        "architecture": fitting.map(|(architecture, _)| architecture.key()),
        "prefix": best.as_ref().map(|(_, matching)| &matching.prefix),
        "kinds": kinds,
        "parts": parts(sizes),
        "not_read": file.unread,
    }))
}

/// A sort key: the greatest is the architecture that the file holds, or holds most of. A file with two copies of an
/// architecture ranks above one with only parts.
fn likeness(matching: &Result<(Architecture, NameMatch), NoMatch>) -> (u8, i64) {
    match matching {
        Ok((_, matching)) => {
            let absent = matching.missing.len() + matching.mismatched.len();
            (if matching.fits() { 3 } else { 1 }, matching.matched.len() as i64 - absent as i64)
        }
        Err(NoMatch::Ambiguous { .. }) => (2, 0),
        Err(NoMatch::Nothing { .. }) => (0, 0),
    }
}

fn in_words((architecture, matching): &(Architecture, NameMatch)) -> String {
    match matching.fits() {
        true => format!("{architecture}, usable here: {matching}"),
        false => format!("{}, not usable here: {matching}", matching.network),
    }
}

fn not_found(error: &NoMatch) -> String {
    match error {
        NoMatch::Nothing { .. } => "no tensor has a ResNet's name".to_owned(),
        NoMatch::Ambiguous { .. } => error.to_string(),
    }
}

fn first_word(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Tensors and their elements by the part of the network.
fn parts<'n>(sizes: impl Iterator<Item = (&'n str, u64)>) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::<String, (u64, u64)>::new();
    for (part, elements) in sizes {
        let part = parts.entry(part.to_owned()).or_default();
        *part = (part.0 + 1, part.1 + elements);
    }
    let told = |(tensors, elements)| json!({ "tensors": tensors, "elements": elements });
    parts.into_iter().map(|(part, sums)| (part, told(sums))).collect()
}

/// One line for a simple value, or one line for each part of a larger one.
fn lines(key: &str, value: &Value) -> String {
    let line = |text: &str| format!("{:28} {}\n", printable(key), printable(text));
    match value {
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(|item| line(item.as_str().unwrap_or_default())).collect(),
        Value::Object(part) if part.contains_key("tensors") => {
            line(&format!("{} tensors, {} elements", part["tensors"], part["elements"]))
        }
        Value::Object(parts) => {
            parts.iter().map(|(part, value)| lines(&format!("{key}.{part}"), value)).collect()
        }
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => line(text),
        value => line(&value.to_string()),
    }
}

/// Makes text safe to print, because a file name could otherwise move the terminal's cursor. Further lines are aligned
/// below the first.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' => format!("\n{:29}", ""),
        character if character.is_control() => character.escape_default().to_string(),
        character => character.to_string(),
    };
    text.chars().map(shown).collect()
}
