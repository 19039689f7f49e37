//! Matches the tensors of a file with those of a model.
//!
//! Encoder and prefix are chosen once for the whole file. Stripping each name separately would mix the encoder of MoCo
//! with its momentum copy, and a projector's layers with the encoder's.

mod encoder;
mod layout;
mod network;
mod rank;
mod report;

use std::cmp::Reverse;
use std::collections::HashMap;

pub use layout::Layout;
pub(crate) use layout::to_detectron2;

use crate::Tensor;
use crate::error::readable;
use encoder::{Encoder, encoders};
use network::network;
use rank::Rank;

/// Names and shapes of tensors.
type Shapes<'a> = HashMap<&'a str, &'a [i64]>;

/// A tensor of the model and the tensor of the file that fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Name in the model.
    pub name: String,
    /// The index of the tensor in the file.
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

/// How a file fits a model; displays as a few lines. The file holds the model's network only if it
/// [`fits`](NameMatch::fits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameMatch {
    /// Tensors of the model that the file has, in the model's order.
    pub matched: Vec<Match>,
    /// Names of the model that the file lacks, except for `num_batches_tracked`, which it may lack.
    pub missing: Vec<String>,
    /// Names within the file's encoder that the model lacks, which means that it is another network: more blocks, other
    /// parts.
    pub foreign: Vec<String>,
    /// Names of the file that are not of its encoder: heads, momentum copies, queues.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub mismatched: Vec<Mismatch>,
    /// The prefix of the file's names, including its last dot; often empty.
    pub prefix: String,
    /// The program whose names the file uses.
    pub layout: Layout,
    /// Whether its names say that it is a momentum copy, a moving average or a teacher, and the original encoder is not
    /// in the file.
    pub is_copy: bool,
    /// The network of the file by its names and shapes (`ResNet-34`).
    pub network: String,
    /// The network of the model, in the same form.
    pub expected_network: String,
}

/// Why the tensors of a file cannot be matched with the model's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMatch {
    /// The file has no name of the model's blocks, with any prefix.
    #[error(
        "none of the {file_tensors} tensors of the file has a name of this model: the file has {}, the model has {}",
        .file_names.join(", "),
        .model_names.join(", ")
    )]
    Nothing {
        /// How many tensors the file has.
        file_tensors: usize,
        /// A few names of the file.
        file_names: Vec<String>,
        /// A few names of the model.
        model_names: Vec<String>,
    },
    /// The file has several encoders that fit, and it is unclear which one is meant.
    #[error(
        "the file holds encoders with different weights that fit equally well, one {first} and one {second}; \
         save the one that you mean alone"
    )]
    Ambiguous {
        /// Where the first one is.
        first: String,
        /// Where another one is.
        second: String,
    },
}

/// Finds each tensor of `model` (names as torchvision's, and shapes) among those of a file, whatever prefix their names
/// have there. Momentum copies, moving averages and teachers are only used if no other encoder is in the file.
///
/// # Errors
/// [`NoMatch`] when no encoder is found, or when two different encoders fit equally well.
pub fn match_names(model: &[(String, Vec<i64>)], file: &[Tensor]) -> Result<NameMatch, NoMatch> {
    let shapes = names_and_shapes(model);
    let found = encoders(file, &shapes).into_iter();
    let mut ranked: Vec<_> = found.map(|found| (Rank::of(&found, file, &shapes), found)).collect();
    // Among equals the one with the shortest prefix comes first, then the one that is first in the file.
    ranked.sort_by_key(|(rank, found)| (Reverse(*rank), found.prefix.len()));
    let Some(((rank, best), others)) = ranked.split_first() else { return Err(nothing(model, file)) };
    let mut equals = others.iter().take_while(|(other, _)| rank.fits && other == rank);
    if let Some((_, other)) = equals.find(|(_, other)| !best.holds_the_same_as(other, file)) {
        return Err(NoMatch::Ambiguous { first: best.place(), second: other.place() });
    }
    Ok(report(model, file, best))
}

/// Tensors that an encoder may lack: old files do not count batches, and nothing is computed from their number.
fn may_lack(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// Tensors that a tool for counting operations leaves in any module.
fn is_of_a_tool(name: &str) -> bool {
    name.ends_with("total_ops") || name.ends_with("total_params")
}

fn report(model: &[(String, Vec<i64>)], file: &[Tensor], found: &Encoder) -> NameMatch {
    let shapes = names_and_shapes(model);
    let mut matching = NameMatch {
        matched: Vec::new(),
        missing: Vec::new(),
        foreign: Vec::new(),
        unexpected: Vec::new(),
        mismatched: Vec::new(),
        prefix: found.prefix.to_owned(),
        layout: found.layout,
        is_copy: found.is_copy(),
        network: network(&found.shapes(file)),
        expected_network: network(&shapes),
    };
    for (name, expected) in model {
        match found.places.get(name) {
            Some(&index) if file[index].shape == *expected => {
                matching.matched.push(Match { name: name.clone(), index });
            }
            Some(&index) => {
                let (name, expected, found) = (name.clone(), expected.clone(), file[index].shape.clone());
                matching.mismatched.push(Mismatch { name, expected, found });
            }
            None if may_lack(name) => {}
            None => matching.missing.push(name.clone()),
        }
    }
    let of_encoder: HashMap<usize, &str> =
        found.places.iter().map(|(name, &place)| (place, name.as_str())).collect();
    for (place, tensor) in file.iter().enumerate() {
        match of_encoder.get(&place) {
            Some(name) if shapes.contains_key(name) => {}
            Some(name) if !is_of_a_tool(name) => matching.foreign.push(tensor.name.clone()),
            _ => matching.unexpected.push(tensor.name.clone()),
        }
    }
    matching
}

impl NameMatch {
    /// Whether the file holds the whole model, and holds exactly that network and no other.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty() && self.foreign.is_empty()
    }
}

fn names_and_shapes(model: &[(String, Vec<i64>)]) -> Shapes<'_> {
    model.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()
}

fn nothing(model: &[(String, Vec<i64>)], file: &[Tensor]) -> NoMatch {
    const SHOWN: usize = 4;
    NoMatch::Nothing {
        file_tensors: file.len(),
        file_names: file.iter().take(SHOWN).map(|tensor| readable(tensor.name.as_bytes())).collect(),
        model_names: model.iter().take(SHOWN).map(|(name, _)| name.clone()).collect(),
    }
}
