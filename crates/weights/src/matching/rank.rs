//! Decides which of several encoders in a file is meant.

use super::encoder::Encoder;
use super::{Shapes, is_of_a_tool, may_lack};
use crate::Tensor;

/// How well an encoder fits the model; the one with the greatest rank is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// It is not just a stray layer with a name of the model.
    substantial: bool,
    /// An original is preferred to its copy, even if the original lacks a tensor.
    original: bool,
    /// Nothing is missing and nothing is left over.
    pub(super) fits: bool,
    shapes: usize,
    names: usize,
}

impl Rank {
    pub(super) fn of(found: &Encoder, file: &[Tensor], model: &Shapes) -> Self {
        let (mut names, mut shapes, mut foreign) = (0, 0, 0);
        for (name, &place) in &found.places {
            match model.get(name.as_str()) {
                Some(shape) => {
                    names += 1;
                    shapes += usize::from(*shape == file[place].shape);
                }
                None => foreign += usize::from(!is_of_a_tool(name)),
            }
        }
        let is_missing = |name: &&&str| !may_lack(name) && !found.places.contains_key(**name);
        let missing = model.keys().filter(is_missing).count();
        Self {
            substantial: 4 * names >= model.len(),
            original: !found.is_copy(),
            fits: names == shapes && foreign == 0 && missing == 0,
            shapes,
            names,
        }
    }
}
