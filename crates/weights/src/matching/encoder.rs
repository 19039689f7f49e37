//! Finds the encoders of a file by its names only: the names of a network's blocks are so characteristic that any text
//! before them is a prefix.

use std::collections::HashMap;

use super::{Layout, Shapes, may_lack};
use crate::Tensor;
use crate::error::readable;

/// The tensors of a file that form one network, judged by their names.
pub(super) struct Encoder<'a> {
    pub(super) layout: Layout,
    /// The prefix of its names, including the last dot.
    pub(super) prefix: &'a str,
    /// Indices of its tensors in the file, by torchvision's names, including tensors that a ResNet does not have
    /// (`layer1.0.se.fc1.weight`).
    pub(super) places: HashMap<String, usize>,
}

/// Every encoder of a file, in the order of their first blocks. A name belongs to at most one of them, the one with the
/// shortest prefix.
pub(super) fn encoders<'a>(file: &'a [Tensor], model: &Shapes) -> Vec<Encoder<'a>> {
    let mut encoders: Vec<Encoder> = Vec::new();
    let mut known = HashMap::new();
    for tensor in file {
        let of_block = |reading: &Reading| {
            reading.name.starts_with("layer") && model.contains_key(reading.name.as_str())
        };
        let Some(Reading { layout, prefix, .. }) = readings(&tensor.name).find(of_block) else { continue };
        known.entry((layout, prefix)).or_insert_with(|| {
            encoders.push(Encoder { layout, prefix, places: HashMap::new() });
            encoders.len() - 1
        });
    }
    for (place, tensor) in file.iter().enumerate() {
        let own = readings(&tensor.name)
            .filter(|reading| is_of_an_encoder(&reading.name) || model.contains_key(reading.name.as_str()))
            .find_map(|reading| Some((*known.get(&(reading.layout, reading.prefix))?, reading.name)));
        if let Some((encoder, name)) = own {
            encoders[encoder].places.entry(name).or_insert(place);
        }
    }
    // An encoder within another one has no tensors left.
    encoders.retain(|encoder| encoder.places.keys().any(|name| model.contains_key(name.as_str())));
    encoders
}

impl<'a> Encoder<'a> {
    /// Its names and shapes.
    pub(super) fn shapes(&'a self, file: &'a [Tensor]) -> Shapes<'a> {
        self.places.iter().map(|(name, &place)| (name.as_str(), file[place].shape.as_slice())).collect()
    }

    /// Whether both have the same weights, because a file may hold one encoder under two names. Both fit the model.
    pub(super) fn holds_the_same_as(&self, other: &Encoder, file: &[Tensor]) -> bool {
        self.places.iter().filter(|(name, _)| !may_lack(name)).all(|(name, &place)| {
            let theirs = other.places.get(name).map(|&place| &file[place]);
            theirs.is_some_and(|theirs| {
                (theirs.dtype, &theirs.bytes) == (file[place].dtype, &file[place].bytes)
            })
        })
    }

    /// Where it is, for a message.
    pub(super) fn place(&self) -> String {
        match self.prefix {
            "" => "without a prefix".to_owned(),
            prefix => format!("after {}", readable(prefix.as_bytes())),
        }
    }

    /// Whether its name says that it is a momentum copy, moving average or teacher of another encoder.
    pub(super) fn is_copy(&self) -> bool {
        names_a_copy(self.prefix)
    }
}

/// Whether the beginning of a name says that it is of a momentum copy, moving average or teacher: `module.encoder_k`.
pub(super) fn names_a_copy(beginning: &str) -> bool {
    const WORDS: [&str; 5] = ["ema", "swa", "avg", "k", "key"];
    const PARTS: [&str; 5] = ["momentum", "target", "teacher", "average", "shadow"];
    let beginning = beginning.to_ascii_lowercase();
    let mut words = beginning.split(|character: char| !character.is_ascii_alphabetic());
    words.any(|word| WORDS.contains(&word) || PARTS.iter().any(|part| word.contains(part)))
}

/// One way to read the name of a tensor.
struct Reading<'a> {
    layout: Layout,
    prefix: &'a str,
    /// The name in torchvision.
    name: String,
}

/// The ways to read a name as that of an encoder's tensor, the shortest prefix first.
fn readings(name: &str) -> impl Iterator<Item = Reading<'_>> {
    splits(name).flat_map(|(prefix, rest)| {
        let bare = without_wrappers(rest);
        Layout::ALL.into_iter().filter_map(move |layout| {
            let name = layout.to_torchvision(bare.as_deref()?)?;
            Some(Reading { layout, prefix, name })
        })
    })
}

/// Prefixes of a name and the rest of it, which has at most as many words as the name of an encoder's tensor.
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    const MOST_WORDS: usize = 12;
    let starts = name.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]).take(MOST_WORDS);
    let mut splits: Vec<_> = starts.map(|start| name.split_at(start)).collect();
    splits.reverse();
    splits.into_iter()
}

/// Removes the wrapper modules of PyTorch, which begin with an underscore: `_orig_mod` of `torch.compile`,
/// `_fsdp_wrapped_module`, `_checkpoint_wrapped_module`. At the front they are part of the prefix.
fn without_wrappers(name: &str) -> Option<String> {
    let words: Vec<_> = name.split('.').filter(|word| !word.starts_with('_')).collect();
    (!name.starts_with('_')).then(|| words.join("."))
}

/// Whether a tensor of this name belongs to an encoder in torchvision, either to a ResNet or to a related network.
fn is_of_an_encoder(name: &str) -> bool {
    const MODULES: [&str; 7] = ["conv1.", "bn1.", "stem.", "layer1.", "layer2.", "layer3.", "layer4."];
    MODULES.iter().any(|module| name.starts_with(module))
}
