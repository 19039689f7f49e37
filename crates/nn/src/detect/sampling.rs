//! Which boxes a step learns from: most are background, so a part of them is drawn.

use densesiam_geometry::boxes::Label;
use densesiam_random::{Key, RngExt};

/// How boxes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// At random, as a function of a key.
    Random,
    /// The first ones, so that test vectors do not depend on a generator.
    First,
}

/// The indices of drawn boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) objects: Vec<usize>,
    pub(super) background: Vec<usize>,
}

impl Sampling {
    /// Draws `count` boxes without repetition, of which at most `share` are objects; fewer if there are fewer.
    pub(super) fn draw(self, labels: &[Label], count: usize, share: f64, key: Key) -> Drawn {
        let indices = |wanted: fn(&Label) -> bool| -> Vec<usize> {
            let labels = labels.iter().enumerate();
            labels.filter(|(_, label)| wanted(label)).map(|(index, _)| index).collect()
        };
        let mut stream = key.rng();
        let mut some = |mut indices: Vec<usize>, count: usize| {
            let count = count.min(indices.len());
            if self == Self::Random {
                for place in 0..count {
                    let other = stream.random_range(place..indices.len());
                    indices.swap(place, other);
                }
            }
            indices.truncate(count);
            indices
        };
        let most_objects = (count as f64 * share) as usize;
        let objects = some(indices(|label| matches!(label, Label::Object(_))), most_objects);
        let background = some(indices(|label| *label == Label::Background), count - objects.len());
        Drawn { objects, background }
    }
}
