//! Shows the results of a run. [`page`] is `report.html`: a verdict, curves, scores by class and contact sheets.
//! [`pictures`] draws: label maps over pictures, views with their points, contact sheets with a key.
//!
//! The crate takes numbers, names and pixels, and does not need libtorch, so the page builds and tests in seconds.

pub mod page;
pub mod pictures;
