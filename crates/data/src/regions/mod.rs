//! Regions of pictures: segments, boxes that may hold things, saliency. Methods that compare regions need them of every
//! picture of a data set.
//!
//! [`RegionSettings`] says how regions are found: segments by [`Felzenszwalb`], boxes by [`SelectiveSearch`], saliency by
//! [`SymmetricSurround`] or from a folder of somebody's maps. That takes longer than a step of training, so that
//! [`write_regions`] does it once, into a file that [`RegionFile`] reads while a model trains. A view shows a part of the
//! picture: [`Raster::nearest_in`], [`Raster::bilinear_in`], [`Raster::cells`] and [`box_in`] say what it shows of the
//! regions.

mod box_filter;
mod entry;
mod error;
mod felzenszwalb;
mod file;
mod method;
mod pattern;
mod raster;
mod saliency;
mod selective_search;
mod smooth;
mod view;
mod write;

pub use box_filter::BoxFilter;
pub use error::RegionError;
pub use felzenszwalb::Felzenszwalb;
pub use file::RegionFile;
pub use method::{RegionFault, RegionKind, RegionMethod, RegionSettings, Regions};
pub use raster::Raster;
pub use saliency::SymmetricSurround;
pub use selective_search::SelectiveSearch;
pub use view::box_in;
pub use write::{RegionWriteSettings, WrittenRegions, write_regions};

#[cfg(test)]
mod tests;
