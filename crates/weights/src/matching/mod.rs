//! Which tensors of a file are which of a model.
//!
//! A prefix is chosen once for the whole file, as the one under which most tensors fit. Stripping each name by itself
//! would mix the encoder of MoCo with its momentum copy, and a projector's layers with the encoder's.

mod layout;
mod report;

use std::collections::HashMap;

pub use layout::Layout;

use crate::Tensor;
use crate::error::readable;
use layout::PREFIXES;

/// A tensor of the model and the tensor of the file that fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Name in the model.
    pub name: String,
    /// Where the tensor is among those of the file.
    pub index: usize,
}

/// A tensor that both sides have, in different shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name in the model.
    pub name: String,
    /// Shape in the model.
    pub expected: Vec<i64>,
    /// Shape in the file.
    pub found: Vec<i64>,
}

/// How a file fits a model; prints as a few lines. Whether missing tensors are an error is for the caller to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// Tensors of the model that the file has, in the model's order.
    pub matched: Vec<Match>,
    /// Names of the model that the file lacks. `num_batches_tracked` may lack and is not among them: old files have
    /// none, and nothing is computed from it.
    pub missing: Vec<String>,
    /// Names of the file that are not of the model: heads, momentum copies, queues.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub mismatched: Vec<Mismatch>,
    /// What stood before the names of the file, with its last dot; often nothing.
    pub prefix: String,
    /// Whose names the file has.
    pub layout: Layout,
    /// Whether the file's network begins with three small convolutions (`ResNetV1c`, `resnet50d`) instead of one of
    /// 7 x 7. Its first layers cannot be taken then, and the others were trained behind different ones.
    pub deep_stem: bool,
}

/// No tensor of the file has a name of the model, under any prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the {file_tensors} tensors of the file has a name of this model: the file has {}, the model has {}",
    .file_names.join(", "),
    .model_names.join(", ")
)]
pub struct NothingMatches {
    /// How many tensors the file has.
    pub file_tensors: usize,
    /// A few names of the file.
    pub file_names: Vec<String>,
    /// A few names of the model.
    pub model_names: Vec<String>,
}

/// Finds each tensor of `model` (names as torchvision's, and shapes) among those of a file.
///
/// # Errors
/// [`NothingMatches`] when not a single name is on both sides.
pub fn match_names(model: &[(String, Vec<i64>)], file: &[Tensor]) -> Result<Matching, NothingMatches> {
    let shapes: HashMap<&str, &[i64]> =
        model.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    let readings =
        Layout::ALL.iter().flat_map(|&layout| PREFIXES.iter().map(move |prefix| (layout, *prefix)));
    let readings = readings.map(|(layout, prefix)| Reading::of(file, layout, prefix, &shapes));
    // The first of equals is kept: the lists are in order of preference.
    let best = readings.reduce(|best, next| if next.fits > best.fits { next } else { best });
    match best {
        Some(reading) if reading.fits > Fits::default() => Ok(report(model, file, &reading)),
        _ => Err(nothing_matches(model, file)),
    }
}

/// How many tensors have a name of the model and its shape, and how many a name alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Fits {
    shapes: usize,
    names: usize,
}

/// A file under one assumption about its names.
struct Reading<'a> {
    layout: Layout,
    prefix: &'static str,
    /// Places in the file, by the model's names.
    places: HashMap<String, usize>,
    fits: Fits,
    file: &'a [Tensor],
}

impl<'a> Reading<'a> {
    fn of(file: &'a [Tensor], layout: Layout, prefix: &'static str, shapes: &HashMap<&str, &[i64]>) -> Self {
        let mut reading = Self { layout, prefix, places: HashMap::new(), fits: Fits::default(), file };
        for (place, tensor) in file.iter().enumerate() {
            let Some(name) = reading.name_in_model(place) else { continue };
            let Some(&shape) = shapes.get(name.as_str()) else { continue };
            if reading.places.contains_key(&name) {
                continue;
            }
            reading.places.insert(name, place);
            reading.fits.names += 1;
            reading.fits.shapes += usize::from(tensor.shape == shape);
        }
        reading
    }

    fn name_in_model(&self, place: usize) -> Option<String> {
        self.layout.to_torchvision(self.file[place].name.strip_prefix(self.prefix)?)
    }

    fn has_deep_stem(&self) -> bool {
        let bare = self.file.iter().filter_map(|tensor| tensor.name.strip_prefix(self.prefix));
        bare.into_iter().any(|name| matches!(name, "stem.0.weight" | "conv1.0.weight"))
    }
}

fn report(model: &[(String, Vec<i64>)], file: &[Tensor], reading: &Reading) -> Matching {
    let (mut matched, mut missing, mut mismatched) = (Vec::new(), Vec::new(), Vec::new());
    let mut used = vec![false; file.len()];
    for (name, expected) in model {
        let Some(&index) = reading.places.get(name) else {
            if !name.ends_with("num_batches_tracked") {
                missing.push(name.clone());
            }
            continue;
        };
        used[index] = true;
        let found = &file[index].shape;
        if found == expected {
            matched.push(Match { name: name.clone(), index });
        } else {
            let (name, expected, found) = (name.clone(), expected.clone(), found.clone());
            mismatched.push(Mismatch { name, expected, found });
        }
    }
    let unexpected = file.iter().zip(used).filter(|(_, used)| !used).map(|(tensor, _)| tensor.name.clone());
    Matching {
        matched,
        missing,
        unexpected: unexpected.collect(),
        mismatched,
        prefix: reading.prefix.to_owned(),
        layout: reading.layout,
        deep_stem: reading.has_deep_stem(),
    }
}

fn nothing_matches(model: &[(String, Vec<i64>)], file: &[Tensor]) -> NothingMatches {
    const SHOWN: usize = 4;
    NothingMatches {
        file_tensors: file.len(),
        file_names: file.iter().take(SHOWN).map(|tensor| readable(tensor.name.as_bytes())).collect(),
        model_names: model.iter().take(SHOWN).map(|(name, _)| name.clone()).collect(),
    }
}
