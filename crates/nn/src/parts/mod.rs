//! What several pre-training methods are made of: momentum encoders, queues of keys, contrast against negatives, and pooling
//! of boxes.

pub mod boxes;
pub mod detection;
mod embedding;
mod momentum;
mod negatives;
mod pairs;
mod pooling;
mod queue;
mod shuffle;
pub mod windows;

pub use embedding::Embedding;
pub use momentum::{Momentum, cosine_to_one};
pub use negatives::{Contrasted, info_nce, nt_xent};
pub use pairs::paired;
pub use pooling::{Reading, pool};
pub use queue::Queue;
pub(crate) use shuffle::{divides, order, shuffled, unshuffled};
