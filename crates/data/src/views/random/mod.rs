//! Two random views of a picture, each with a crop, a flip and colours of its own: what pre-training compares.
//!
//! The recipe is that of the paper's appendix (SimSiam's), with the distributions of torchvision's transforms.

mod draw;
mod settings;

pub use draw::RandomPair;
pub use settings::RandomViews;
