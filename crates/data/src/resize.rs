//! One antialiased resampling from a crop box straight to the output size, without an image in between.
//!
//! Bilinear (triangle) or bicubic kernel, widened where the picture shrinks, as Pillow and torchvision do with antialiasing.
//! The box is continuous; pixels just outside it take part in the outermost samples, as in Pillow's `resize(box=)`.

use densesiam_geometry::Region;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::image::RgbImage;

/// How pixels between pixels are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle of two pixels.
    #[default]
    Bilinear,
    /// Pillow's cubic of four pixels.
    Bicubic,
}

/// Why a resampling was refused: a bug of the caller, for crops are drawn inside their picture.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot resample {region:?} of a {width} x {height} picture ({reason}); the box must lie inside the picture"
)]
pub struct ResizeError {
    region: Region,
    width: u32,
    height: u32,
    reason: String,
}

/// The memory that resampling needs, kept between pictures; one for each worker.
#[derive(Debug, Default)]
pub struct ResizeScratch {
    resizer: Resizer,
}

/// Resamples the part `region` of a picture (image space, pixels) to `width x height`, into `out`
/// (`height * width * 3` bytes, interleaved).
///
/// # Errors
/// A [`ResizeError`] where the box does not lie in the picture or `out` has another length.
pub fn resize_region(
    image: &RgbImage,
    region: &Region,
    (width, height): (u32, u32),
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), ResizeError> {
    resize_region_by(Interpolation::Bilinear, image, region, (width, height), scratch, out)
}

/// As [`resize_region`], by another kernel.
///
/// # Errors
/// As [`resize_region`].
pub fn resize_region_by(
    interpolation: Interpolation,
    image: &RgbImage,
    region: &Region,
    to: (u32, u32),
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), ResizeError> {
    let size = (image.width, image.height);
    resample::<U8x3>(interpolation, (size, &image.pixels), region, to, scratch, out)
}

/// As [`resize_region`], of one level for each pixel in place of three: `height * width` bytes of a picture of `size`.
///
/// # Errors
/// A [`ResizeError`] where the box does not lie in the picture or `out` has another length.
pub fn resize_levels(
    size: (u32, u32),
    levels: &[u8],
    region: &Region,
    to: (u32, u32),
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), ResizeError> {
    resample::<U8>(Interpolation::Bilinear, (size, levels), region, to, scratch, out)
}

fn resample<P: PixelTrait>(
    interpolation: Interpolation,
    (size, pixels): ((u32, u32), &[u8]),
    region: &Region,
    (width, height): (u32, u32),
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), ResizeError> {
    let filter = match interpolation {
        Interpolation::Bilinear => FilterType::Bilinear,
        // Pillow's coefficient of -0.5 is that of Catmull and Rom.
        Interpolation::Bicubic => FilterType::CatmullRom,
    };
    let explain = |reason: String| ResizeError { region: *region, width: size.0, height: size.1, reason };
    let source = TypedImageRef::<P>::from_buffer(size.0, size.1, pixels)
        .map_err(|error| explain(error.to_string()))?;
    let mut target =
        TypedImage::<P>::from_buffer(width, height, out).map_err(|error| explain(error.to_string()))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        region.x0,
        region.y0,
        region.width(),
        region.height(),
    );
    scratch.resizer.resize_typed(&source, &mut target, &options).map_err(|error| explain(error.to_string()))
}

/// Resamples a whole picture to `width x height`; sides in pixels.
///
/// # Errors
/// A [`ResizeError`] where the picture has no pixels.
pub fn resize_to(
    image: &RgbImage,
    width: u32,
    height: u32,
    scratch: &mut ResizeScratch,
) -> Result<RgbImage, ResizeError> {
    let whole = Region { x0: 0.0, y0: 0.0, x1: image.width.into(), y1: image.height.into() };
    let mut out = RgbImage::new(width, height);
    resize_region(image, &whole, (width, height), scratch, &mut out.pixels)?;
    Ok(out)
}
