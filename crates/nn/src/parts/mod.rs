//! What several pre-training methods are made of: momentum encoders, queues of keys, and contrast against negatives.

mod embedding;
mod momentum;
mod negatives;
mod queue;
mod shuffle;

pub use embedding::Embedding;
pub use momentum::{Momentum, cosine_to_one};
pub use negatives::{Contrasted, info_nce, nt_xent};
pub use queue::Queue;
pub(crate) use shuffle::{divides, order, shuffled};
