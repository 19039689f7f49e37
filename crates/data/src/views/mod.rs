//! Views of a picture: first every parameter is drawn from a key, then the views are made as drawn.
//!
//! Because drawing and making are separate, a view can be reproduced, displayed and tested: [`Augmentation::draw`] uses
//! no pixels, [`Augmentation::apply`] no random numbers. [`random`] has the views of pre-training, [`aligned`] those of
//! unsupervised segmentation. Both make their pixels with [`ViewMaker`], with the semantics of torchvision on Pillow
//! pictures. [`labelled`] has those of segmentation with labels, with the semantics of OpenCV.

pub mod aligned;
mod apply;
pub mod beside;
mod blur;
mod colour;
pub mod labelled;
mod photometric;
pub mod proposals;
pub mod random;

use std::fmt::Debug;

use densesiam_geometry::View;
use densesiam_random::Key;
use densesiam_settings::SettingError;

pub use apply::{ApplyError, ViewMaker};
pub(crate) use photometric::chance;
pub use photometric::{Jitter, JitterOperation, PerView, Photometric};

use crate::image::RgbImage;
use crate::labelled::LabelError;
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

    /// Side of each square view in pixels; there are as many views as sides. None if there is one view whose size is drawn.
    fn sizes(&self) -> Vec<u32>;

    /// Width and height in pixels of the view that was drawn, if [`Augmentation::sizes`] has none.
    fn drawn_size(&self, _drawn: &Self::Drawn) -> Option<[u32; 2]> {
        None
    }

    /// Draws the views of a picture of `(width, height)` pixels, as a function of the key only. `key` names seed, epoch
    /// and sample.
    ///
    /// # Errors
    /// A [`DrawError`] where the views need regions or labels of the picture, and no file has them.
    fn draw(&self, size: (u32, u32), key: Key) -> Result<Self::Drawn, DrawError>;

    /// Makes one of the views that were drawn for `image`: number `view`, below the number of [`Augmentation::sizes`], into
    /// `out`, `size * size * 3` bytes of interleaved RGB. `maker` makes views of that size. If sizes are drawn, it makes view 0,
    /// `height * width * 3` bytes.
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

/// Why the views of a picture cannot be drawn: what belongs to the picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// Its regions.
    #[error(transparent)]
    Regions(#[from] RegionError),
    /// Its labels.
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// Everything that makes one view out of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewParameters {
    /// Crop box and flip.
    pub view: View,
    /// Colours and blur.
    pub photometric: Photometric,
}
