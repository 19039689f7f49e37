//! Two random views of a picture: first every parameter is drawn from a key, then it is applied.
//!
//! Drawing apart from applying is what makes a view reproducible, drawable and testable: [`draw_views`] touches no
//! pixels, [`ViewMaker::apply`] no random numbers. The recipe is that of the paper's appendix (SimSiam's), with
//! the semantics of torchvision on Pillow pictures.

mod apply;
mod blur;
mod colour;
mod draw;
mod settings;

pub use densesiam_settings::SettingError;

pub use apply::{ApplyError, ViewMaker};
pub use draw::{Jitter, JitterOperation, Photometric, ViewPair, ViewParameters, draw_views};
pub(crate) use draw::{chance, uniform};
pub use settings::Augmentation;
pub(crate) use settings::{require_photometric, require_range};
