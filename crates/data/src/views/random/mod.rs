//! Two random views of a picture, which pre-training compares, each with its own crop, flip and colours.
//!
//! The recipe is that of the paper's appendix (SimSiam's), with the distributions of torchvision's transforms.

mod draw;
mod settings;

pub use draw::RandomPair;
pub(super) use draw::{crop_of, draw_photometric as photometric_of};
pub use settings::RandomViews;
