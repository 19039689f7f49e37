//! What several pre-training methods are made of: momentum encoders, queues of keys, contrast against negatives, pooling of boxes,
//! and shuffled batch statistics. What one method alone needs is in that method's folder.

mod contrast;
mod embedding;
mod momentum;
mod negatives;
mod pairs;
mod pooling;
mod queue;
mod shuffle;

pub(crate) use contrast::{Contrast, contrast_keys};
pub use embedding::Embedding;
pub use momentum::{Momentum, cosine_to_one};
pub use negatives::{Contrasted, info_nce, nt_xent};
pub(crate) use negatives::{share_of_all, with_rows_of_others};
pub use pairs::paired;
pub use pooling::{Reading, pool};
pub use queue::Queue;
pub(crate) use shuffle::{divides, order, shuffled, unshuffled};
