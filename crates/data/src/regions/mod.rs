//! Regions of pictures, made once and used by methods that compare regions: segments, boxes of things, saliency.

mod box_filter;
mod felzenszwalb;
mod pattern;
mod raster;
mod selective_search;
mod smooth;

pub use box_filter::BoxFilter;
pub use felzenszwalb::Felzenszwalb;
pub use raster::Raster;
pub use selective_search::SelectiveSearch;

#[cfg(test)]
mod tests;
