//! Random numbers come from keys, never from state.
//!
//! Every random choice of a run is a function of `(seed, epoch, sample, view, purpose)`. The key is written, field by
//! field and unhashed, into the 256-bit key of a ChaCha8 generator: two keys that differ anywhere give independent
//! streams, a view can be recomputed from its key alone, the number of worker threads changes nothing, and resuming a
//! run needs no saved generator. To repeat a picture's augmentation in every epoch, leave `epoch` at 0.

use rand::SeedableRng;
pub use rand::{Rng, RngExt};
pub use rand_chacha::ChaCha8Rng;

/// What a random choice is for. Choices of different purpose never share a stream, so that adding a draw to one leaves
/// all others unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// The order in which an epoch visits the samples.
    Order = 1,
    /// Crop box and flip of a view.
    Geometry = 2,
    /// Colour jitter, grayscale and blur of a view.
    Photometric = 3,
    /// The sample that stands in for an unreadable one.
    Replacement = 4,
    /// Points of the overlap at which dense outputs are compared.
    Points = 5,
    /// Initial value of a parameter; `sample` holds the hash of its name.
    Weights = 6,
    /// Made-up pictures of the demonstration.
    Demo = 7,
    /// The order in which a batch is normalised in parts; `sample` holds the step.
    Shuffle = 8,
    /// Boxes of the overlap that are compared.
    Boxes = 9,
    /// Points of the overlap whose embeddings are contrasted with a queue.
    Pixels = 10,
    /// Regions of a view that are contrasted.
    Ids = 11,
    /// Patches of a picture that stand beside a view.
    Patches = 12,
    /// Crops of three views, and the proposals of objects that are compared in them.
    Proposals = 13,
    /// Features from which clusters begin; also those that are held of a picture.
    Clusters = 14,
    /// Channels that drop out.
    Dropout = 20,
    /// Anchors of a detector that are learned from.
    Anchors = 21,
    /// Boxes of a detector's second stage that are learned from.
    RegionsOfInterest = 22,
}

/// The key of one stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Seed of the run (`run.seed`).
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Index of the sample in its data set.
    pub sample: u64,
    /// View of the sample, 0 or 1; also the number of the attempt if a draw is repeated.
    pub view: u32,
    /// The purpose of the numbers.
    pub purpose: Purpose,
}

impl Key {
    /// A key for `purpose` with epoch, sample and view at 0.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, epoch: 0, sample: 0, view: 0, purpose }
    }

    /// The same key in another epoch.
    pub fn epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// The same key for another sample.
    pub fn sample(self, sample: u64) -> Self {
        Self { sample, ..self }
    }

    /// The same key for another view (or attempt).
    pub fn view(self, view: u32) -> Self {
        Self { view, ..self }
    }

    /// The stream of random numbers that belongs to this key.
    pub fn rng(self) -> ChaCha8Rng {
        let mut bytes = [0u8; 32];
        bytes[0..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sample.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.view.to_le_bytes());
        bytes[28] = self.purpose as u8;
        ChaCha8Rng::from_seed(bytes)
    }
}

/// FNV-1a, 64 bits: a name (of a parameter, of a file) as the `sample` of a key, and fingerprints of lists.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |state, &byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_key_selects_another_stream() {
        let key = Key::new(1, Purpose::Geometry);
        let others = [
            Key { seed: 2, ..key },
            key.epoch(1),
            key.sample(1),
            key.view(1),
            Key { purpose: Purpose::Photometric, ..key },
        ];
        let first: u64 = key.rng().random();
        assert_eq!(first, key.rng().random::<u64>(), "the same key must give the same stream");
        for other in others {
            assert_ne!(first, other.rng().random::<u64>(), "{other:?}");
        }
    }

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(hash(b"encoder.conv1.weight"), 0x18af_8f52_a40e_e846);
    }
}
