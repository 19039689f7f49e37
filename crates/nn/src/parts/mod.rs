//! What pre-training methods are made of: momentum encoders, queues of keys, contrast against negatives, points, boxes, regions,
//! and the networks between an encoder and a loss.

mod attention;
pub mod boxes;
mod decoder;
pub mod detection;
mod embedding;
mod momentum;
mod negatives;
mod pairs;
mod points;
mod pooling;
mod queue;
mod regions;
mod shuffle;
pub mod windows;

pub use attention::Projector;
pub use decoder::{Decoder, Widths};
pub use embedding::Embedding;
pub use momentum::{Momentum, cosine_to_one};
pub use negatives::{Contrasted, RegionContrast, info_nce, nt_xent, region_contrast};
pub(crate) use negatives::{share_of_all, with_rows_of_others};
pub use pairs::paired;
pub use points::Points;
pub use pooling::{Reading, pool};
pub use queue::Queue;
pub use regions::Regions;
pub(crate) use shuffle::{divides, order, shuffled, unshuffled};
