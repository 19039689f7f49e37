//! Views of a picture: first every parameter is drawn from a key, then the views are made as drawn.
//!
//! Because drawing and making are separate, a view can be reproduced, displayed and tested: [`Augmentation::draw`] uses
//! no pixels, [`Augmentation::apply`] no random numbers. [`random`] has the views of pre-training, [`aligned`] those of
//! unsupervised segmentation. Both make their pixels with [`ViewMaker`], with the semantics of torchvision on Pillow
//! pictures.

pub mod aligned;
mod apply;
pub mod beside;
mod blur;
mod colour;
mod photometric;
pub mod proposals;
pub mod random;

use std::fmt::Debug;

use densesiam_geometry::View;
use densesiam_random::Key;
use densesiam_settings::SettingError;

pub use apply::{ApplyError, ViewMaker};
pub use photometric::{Jitter, JitterOperation, PerView, Photometric};

use crate::image::RgbImage;
use crate::regions::RegionError;

/// The settings of one way to make views of a picture: how many, how large, and what is drawn for them.
pub trait Augmentation: Clone + Debug + Send + Sync + 'static {
    /// Everything that is drawn for one picture: the parameters of its views, and what a method must know about them.
    type Drawn: Clone + Send;

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    fn validate(&self) -> Result<(), SettingError>;

    /// Side of each square view in pixels; there are as many views as sides.
    fn sizes(&self) -> Vec<u32>;

    /// Draws the views of a picture of `(width, height)` pixels, as a function of the key only. `key` names seed, epoch
    /// and sample.
    ///
    /// # Errors
    /// Where the views need regions of the picture, and a file does not have them.
    fn draw(&self, size: (u32, u32), key: Key) -> Result<Self::Drawn, RegionError>;

    /// Makes one of the views that were drawn for `image`: number `view`, below the number of [`Augmentation::sizes`], into
    /// `out`, `size * size * 3` bytes of interleaved RGB. `maker` makes views of that size.
    ///
    /// # Errors
    /// An [`ApplyError`] if a crop lies outside the picture or `out` has another length.
    fn apply(
        &self,
        drawn: &Self::Drawn,
        view: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError>;
}

/// Everything that makes one view out of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewParameters {
    /// Crop box and flip.
    pub view: View,
    /// Colours and blur.
    pub photometric: Photometric,
}
