//! The layers of a detector that are pre-trained with the encoder (SoCo, section 3.3): a feature pyramid with norms and the head of
//! its boxes.

use crate::detect::{BoxHead, NormedPyramid};
use crate::encoder::Architecture;
use crate::layers::Linear;
use crate::normed_convolution::NormedConvolution;
use crate::store::{Initial, Scope};

/// `0` and `1` below `scope`.
fn normed_convolution(scope: &Scope, channels: [i64; 2], kernel: i64) -> NormedConvolution {
    let initial = Initial::UniformFanIn(channels[0] * kernel * kernel);
    NormedConvolution::new([&(scope / "0"), &(scope / "1")], channels, kernel, initial)
}

/// The pyramid below `scope`, with `width` channels: `laterals.0` (of C2) to `laterals.3`, and `outputs` alike.
pub(super) fn pyramid(scope: &Scope, architecture: Architecture, width: i64) -> NormedPyramid {
    let channels = architecture.channels();
    let layer = |name: &str, level: usize, channels: i64, kernel: i64| {
        let scope = scope / format!("{name}.{level}").as_str();
        normed_convolution(&scope, [channels, width], kernel)
    };
    NormedPyramid::new(
        |level| layer("laterals", level, channels[level], 1),
        |level| layer("outputs", level, width, 3),
    )
}

/// The head below `scope`, from `width` channels of `bins x bins` values to `out` channels: `convs.0` to `convs.3`, and `linear`.
pub(super) fn box_head(scope: &Scope, width: i64, bins: i64, out: i64) -> BoxHead {
    let convolution = |index: usize| {
        let scope = scope / format!("convs.{index}").as_str();
        normed_convolution(&scope, [width; 2], 3)
    };
    BoxHead::new(convolution, || Linear::new(&(scope / "linear"), [width * bins * bins, out], true))
}
