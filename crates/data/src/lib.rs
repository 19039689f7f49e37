//! From picture files to batches of view pairs whose geometry is known.
//!
//! [`index`] finds the pictures, as files or in tar shards, [`decode`] reads them, [`augment`] draws and makes two views
//! of each, [`loader`] runs all of it on worker threads in the order that [`order`] lays down. Every random choice is a
//! function of a key (crate `densesiam-random`), every view keeps its crop (crate `densesiam-geometry`), and no result
//! depends on the number of threads or on the processor's instruction set. [`segment`] makes the views of unsupervised
//! segmentation in the same loader; [`labelled`], [`label`] and [`taxonomy`] know labelled data sets, [`evaluation`]
//! pairs their pictures with their labels in one geometry. [`reader`] reads whole pictures for prediction. [`pack`] writes tar shards, [`demo`] draws a data set for
//! trying it all out.

pub mod augment;
pub mod decode;
pub mod demo;
pub mod evaluation;
pub mod frame;
pub mod image;
pub mod index;
pub mod label;
pub mod labelled;
pub mod loader;
pub mod order;
pub mod pack;
mod panics;
pub mod reader;
pub mod resize;
pub mod segment;
pub mod survey;
pub mod taxonomy;
