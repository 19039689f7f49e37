//! `densesiam inspect`: what a weights file, a checkpoint or a run is.

use std::collections::BTreeMap;
use std::path::Path;

use densesiam_nn::{Architecture, ResNet, Store};
use densesiam_weights::{Limits, Matching, match_names, read};
use serde_json::{Value, json};
use tch::{Device, Kind};

use crate::answer::{answer, answer_line};
use crate::error::Error;
use crate::run::locate;

/// Every encoder that a file may hold.
const ARCHITECTURES: [Architecture; 4] =
    [Architecture::ResNet18, Architecture::ResNet34, Architecture::ResNet50, Architecture::ResNet101];

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

/// A run directory, by its newest checkpoint, or a checkpoint's folder.
fn of_checkpoint(path: &Path) -> Result<Value, Error> {
    let (_, checkpoint) = locate(path)?;
    let sizes = checkpoint.model.iter().map(|(name, tensor)| (name.as_str(), tensor.numel() as u64));
    Ok(json!({
        "kind": "checkpoint of this program",
        "checkpoint": checkpoint.path.to_string_lossy(),
        "step": checkpoint.manifest.step,
        "written": checkpoint.manifest.created,
        "run": checkpoint.manifest.run,
        "parts": parts(sizes),
    }))
}

/// A weights file of any format that is read.
fn of_file(path: &Path) -> Result<Value, Error> {
    let file = read(path, &Limits::default())
        .map_err(|error| Error::Weights { path: path.to_owned(), reason: error.to_string() })?;
    let mut kinds = BTreeMap::<String, usize>::new();
    for tensor in &file.tensors {
        *kinds.entry(tensor.dtype.to_string()).or_default() += 1;
    }
    let best = ARCHITECTURES.into_iter().filter_map(|architecture| {
        Some((architecture, match_names(&shapes(architecture), &file.tensors).ok()?))
    });
    // Of two encoders that are wholly there the larger one is meant.
    let best = best.max_by_key(|(_, matching)| {
        let absent = matching.missing.len() + matching.mismatched.len();
        (absent == 0, matching.matched.len() as i64 - absent as i64)
    });
    let elements = |shape: &[i64]| shape.iter().product::<i64>().unsigned_abs();
    let sizes = file.tensors.iter().map(|tensor| (tensor.name.as_str(), elements(&tensor.shape)));
    Ok(json!({
        "kind": format!("{} file", file.format),
        "found_under": file.found_under,
        "encoder": best.map_or_else(
            || "no tensor has a ResNet's name".to_owned(),
            |(architecture, matching)| in_words(architecture, &matching),
        ),
        "kinds": kinds,
        "parts": parts(sizes),
        "objects_not_read": file.unread,
    }))
}

/// Names and shapes of an encoder's tensors.
fn shapes(architecture: Architecture) -> Vec<(String, Vec<i64>)> {
    let store = Store::new(Kind::Float, Device::Cpu, 0);
    ResNet::new(&store.root(), architecture, false);
    store.entries().into_iter().map(|entry| (entry.name, entry.tensor.size())).collect()
}

fn in_words(architecture: Architecture, matching: &Matching) -> String {
    let whole = matching.missing.is_empty() && matching.mismatched.is_empty() && !matching.deep_stem;
    let (name, fits) = (format!("{architecture:?}"), if whole { "usable here" } else { "not usable here" });
    format!("{name}, {fits}: {matching}")
}

/// Tensors and their elements by the first word of their names.
fn parts<'n>(sizes: impl Iterator<Item = (&'n str, u64)>) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::<String, (u64, u64)>::new();
    for (name, elements) in sizes {
        let name = name.strip_prefix("module.").unwrap_or(name);
        let part = parts.entry(name.split('.').next().unwrap_or(name).to_owned()).or_default();
        *part = (part.0 + 1, part.1 + elements);
    }
    let told = |(tensors, elements)| json!({ "tensors": tensors, "elements": elements });
    parts.into_iter().map(|(part, sums)| (part, told(sums))).collect()
}

/// One line for a plain value, one for each part of a larger one.
fn lines(key: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(items) => {
            items.iter().map(|item| format!("{key:28} {}
", item.as_str().unwrap_or_default())).collect()
        }
        Value::Object(part) if part.contains_key("tensors") => {
            format!("{key:28} {} tensors, {} elements\n", part["tensors"], part["elements"])
        }
        Value::Object(parts) => {
            parts.iter().map(|(part, value)| lines(&format!("{key}.{part}"), value)).collect()
        }
        Value::String(text) => format!("{key:28} {}\n", text.replace('\n', &format!("\n{:29}", ""))),
        value => format!("{key:28} {value}\n"),
    }
}
