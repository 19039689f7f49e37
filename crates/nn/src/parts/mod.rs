//! What pre-training methods are made of: momentum encoders, queues of keys, contrast against negatives, and a decoder.

mod decoder;
mod embedding;
mod momentum;
mod negatives;
mod points;
mod queue;
mod shuffle;

pub use decoder::{Decoder, Widths};
pub use embedding::Embedding;
pub use momentum::{Momentum, cosine_to_one};
pub use negatives::{Contrasted, info_nce, nt_xent};
pub use points::Points;
pub use queue::Queue;
pub(crate) use shuffle::{divides, order, shuffled};
