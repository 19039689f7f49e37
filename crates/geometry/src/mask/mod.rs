//! Masks of objects, as COCO writes, draws and compares them.
//!
//! [`RunLengths`] is a mask in little memory; areas, boxes, unions and overlaps are computed from the runs. Polygons become
//! masks by COCO's own rule ([`RunLengths::from_polygon`]), which is not the share of a pixel that the polygon covers.
//! A model learns and predicts masks of `28 x 28` cells in a box: [`target_from_polygons`] and [`target_from_bits`] make
//! what it should learn, [`paste`] and [`paste_mask`] put what it predicts into the picture.
//!
//! Sizes are `[height, width]`. Pictures of bits are row by row, as pictures are everywhere else; runs go down the columns.

mod error;
mod overlap;
mod paste;
mod polygon;
mod runs;
mod string;
mod target;

#[cfg(test)]
mod tests;

pub use error::MaskError;
pub use paste::{paste, paste_mask};
pub use runs::RunLengths;
pub use target::{target_from_bits, target_from_polygons, target_from_runs};
