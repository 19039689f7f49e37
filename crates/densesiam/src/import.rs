//! Bringing an encoder in: a safetensors file under torchvision's names, as this program and others write them.

use std::path::Path;

use densesiam_engine::checkpoint::read_safetensors;
use densesiam_nn::Store;
use tch::Tensor;

use crate::error::Error;

/// What became of the tensors of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Tensors that were taken.
    pub matched: usize,
    /// Tensors of the encoder that the file lacks; `num_batches_tracked` may be missing.
    pub missing: Vec<String>,
    /// Tensors of the file that are no part of an encoder: heads, classifiers.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub mismatched: Vec<String>,
}

/// Copies the encoder of a file into the tensors of `store` whose names start with `prefix` (`backbone.`). Names in
/// the file may start with `encoder.`, `backbone.` or `module.`.
///
/// # Errors
/// When the file cannot be read, or does not hold all of this encoder: nothing is copied then.
pub fn import_encoder(store: &Store, prefix: &str, path: &Path) -> Result<Imported, Error> {
    let file = read_safetensors(path)?;
    let named: Vec<(&str, &Tensor)> = file.iter().map(|(name, tensor)| (bare(name), tensor)).collect();
    let entries: Vec<_> = store
        .entries()
        .into_iter()
        .filter_map(|entry| Some((entry.name.strip_prefix(prefix)?.to_owned(), entry.tensor)))
        .collect();
    let mut imported = Imported::default();
    let mut pairs = Vec::new();
    for (name, tensor) in &entries {
        match named.iter().find(|(other, _)| other == name) {
            Some((_, found)) if found.size() == tensor.size() => pairs.push((tensor, *found)),
            Some(_) => imported.mismatched.push(name.clone()),
            None if name.ends_with("num_batches_tracked") => {}
            None => imported.missing.push(name.clone()),
        }
    }
    let known = |name: &str| entries.iter().any(|(other, _)| other == name);
    imported.unexpected =
        named.iter().map(|(name, _)| *name).filter(|name| !known(name)).map(str::to_owned).collect();
    imported.matched = pairs.len();
    if !imported.missing.is_empty() || !imported.mismatched.is_empty() {
        let first =
            |names: &[String]| names.first().map_or(String::new(), |name| format!(" (first: {name})"));
        return Err(Error::Usage(format!(
            "{} does not fit the encoder: {} tensors match, {} are missing{}, {} have another shape{}; is \
             encoder.architecture right?",
            path.display(),
            imported.matched,
            imported.missing.len(),
            first(&imported.missing),
            imported.mismatched.len(),
            first(&imported.mismatched)
        )));
    }
    tch::no_grad(|| pairs.iter().for_each(|(tensor, found)| tensor.shallow_clone().copy_(found)));
    Ok(imported)
}

fn bare(name: &str) -> &str {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.strip_prefix("encoder.").or_else(|| name.strip_prefix("backbone.")).unwrap_or(name)
}
