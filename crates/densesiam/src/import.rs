//! Imports an encoder from any weights file that names a ResNet's tensors as some known tool does.

use std::path::{Path, PathBuf};

use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::RunLayout;
use densesiam_nn::{Architecture, ResNet, Store, rescale};
use densesiam_weights::{DType, Limits, NameMatch, NoMatch, WeightsFile, match_names, read};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::recipe::{Beginning, Training};

/// Fills the encoder of a new model, below `prefix`, from the file that the recipe names, and prints what became of the
/// file's tensors. Without a file the encoder keeps its random weights.
///
/// # Errors
/// As [`import_encoder`].
pub fn begin_encoder(store: &Store, prefix: &str, beginning: &Beginning, voice: &Voice) -> Result<(), Error> {
    if let Some(weights) = beginning.given() {
        let imported = import_encoder(store, prefix, weights.as_ref())?;
        if beginning.rescale {
            let of_encoder =
                |(name, tensor): (String, Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor));
            rescale(&store.state().into_iter().filter_map(of_encoder).collect());
        }
        store.begin_teacher();
        let scaled = if beginning.rescale { ", at the scale of random weights" } else { "" };
        voice.say(format_args!("{weights}: {imported}{scaled}"));
    }
    Ok(())
}

/// Checks that the weights that the recipe names, if any, hold an encoder of the recipe's architecture.
///
/// # Errors
/// As [`import_encoder`].
pub fn check_encoder(recipe: &impl Training) -> Result<(), Error> {
    let architecture = recipe.architecture();
    let store = Store::new(Kind::Float, Device::Cpu, 0);
    if let Some(weights) = recipe.beginning().given() {
        ResNet::new(&store.root(), architecture, false);
        import_encoder(&store, "", weights.as_ref())?;
    }
    Ok(())
}

/// Copies the encoder of a file (safetensors, `.pth` or `.pkl`, see `densesiam_weights`), or of a run directory, into
/// the tensors of `store` whose names start with `prefix` (`backbone.`), and returns a few lines to print, about what
/// became of the file's tensors.
///
/// # Errors
/// When the file cannot be read, lacks a part of this encoder, or holds another network. Nothing is copied then.
pub fn import_encoder(store: &Store, prefix: &str, path: &Path) -> Result<String, Error> {
    let path = &of_run(path)?;
    fill_encoder(store, prefix, path, &read_weights(path)?)
}

/// Reads a weights file of any tool.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read_weights(path: &Path) -> Result<WeightsFile, Error> {
    read(path, &Limits::default())
        .map_err(|error| Error::Weights { path: path.to_owned(), reason: error.to_string() })
}

/// As [`import_encoder`], from a file that was read.
///
/// # Errors
/// As [`import_encoder`].
pub(crate) fn fill_encoder(
    store: &Store,
    prefix: &str,
    path: &Path,
    file: &WeightsFile,
) -> Result<String, Error> {
    let refused = |reason: String| Error::Weights { path: path.to_owned(), reason };
    let entries: Vec<_> = store
        .entries()
        .into_iter()
        .filter_map(|entry| Some((entry.name.strip_prefix(prefix)?.to_owned(), entry.tensor)))
        .collect();
    let model: Vec<_> = entries.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
    let matching =
        match_names(&model, &file.tensors).map_err(|error| refused(with_unread(error.to_string(), file)))?;
    if !matching.fits() {
        let reason = format!("{}\n{matching}", another_network(file, &matching));
        return Err(refused(with_unread(reason, file)));
    }
    for matched in &matching.matched {
        let found = &file.tensors[matched.index];
        let target = entries.iter().find(|(name, _)| *name == matched.name).map(|(_, tensor)| tensor);
        let value = Tensor::from_data_size(&found.bytes, &found.shape, kind(found.dtype));
        if let Some(target) = target {
            tch::no_grad(|| target.shallow_clone().copy_(&value));
        }
    }
    Ok(with_unread(format!("{}, {matching}", matching.network), file))
}

/// The file itself or, for a run directory, its exported encoder.
fn of_run(path: &Path) -> Result<PathBuf, Error> {
    let encoder = RunLayout::new(path).encoder();
    match path.is_dir() {
        false => Ok(path.to_owned()),
        true if encoder.is_file() => Ok(encoder),
        true => {
            let reason = "it is a folder without an encoder.safetensors, which a run has once it ended or was stopped; \
                          name a run that has one or a weights file, or write one with `densesiam export`";
            Err(Error::Weights { path: path.to_owned(), reason: reason.into() })
        }
    }
}

/// How a file fits each architecture.
pub fn matchings(file: &WeightsFile) -> impl Iterator<Item = Result<(Architecture, NameMatch), NoMatch>> {
    Architecture::ALL.into_iter().map(|architecture| {
        let matching = match_names(&shapes(architecture), &file.tensors)?;
        Ok((architecture, matching))
    })
}

/// Names and shapes of an encoder's tensors.
fn shapes(architecture: Architecture) -> Vec<(String, Vec<i64>)> {
    let store = Store::new(Kind::Float, Device::Cpu, 0);
    ResNet::new(&store.root(), architecture, false);
    store.entries().into_iter().map(|entry| (entry.name, entry.tensor.size())).collect()
}

/// Which other network the file holds instead of the encoder, and what to do about it.
fn another_network(file: &WeightsFile, NameMatch { network, expected_network, .. }: &NameMatch) -> String {
    let fitting = matchings(file).flatten().find(|(_, matching)| matching.fits());
    match fitting.map(|(architecture, _)| architecture.key()) {
        None if network == expected_network => format!("its network is not a whole and plain {network}"),
        None => {
            let known = Architecture::ALL.map(Architecture::key).join(", ");
            format!(
                "its network is {network}, where {expected_network} was expected; those of {known} can be taken"
            )
        }
        Some(fitting) => format!(
            "its network is {network}, where {expected_network} was expected; set encoder.architecture={fitting}"
        ),
    }
}

fn with_unread(said: String, file: &WeightsFile) -> String {
    match file.not_read() {
        Some(unread) => format!("{said}\nnot read: {unread}"),
        None => said,
    }
}

fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::F64 => Kind::Double,
        DType::F32 => Kind::Float,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::I64 => Kind::Int64,
        DType::I32 => Kind::Int,
        DType::I16 => Kind::Int16,
        DType::I8 => Kind::Int8,
        DType::U8 => Kind::Uint8,
        DType::Bool => Kind::Bool,
    }
}
