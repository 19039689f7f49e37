//! From picture files to batches of views whose geometry is known.
//!
//! [`index`] finds the pictures, as files or in tar shards, [`decode`] reads them, [`views`] draws and makes views of each,
//! for pre-training or for segmentation, [`loader`] runs all of it on worker threads in the order that [`order`] lays down.
//! Every random choice is a function of a key (crate `densesiam-random`), every view keeps its crop (crate
//! `densesiam-geometry`), and no result depends on the number of threads or on the processor's instruction set.
//! [`labelled`] knows labelled data sets and reads their pictures and label maps in one geometry, [`reader`] reads whole
//! pictures for prediction. [`detection`] knows data sets of objects with boxes and masks. [`regions`] finds segments, boxes and saliency of pictures. [`check`] is what all checks of a data set find. [`pack`] writes tar shards, [`demo`] draws a data set for trying it all out.

pub mod check;
pub mod decode;
pub mod demo;
pub mod detection;
pub mod frame;
pub mod image;
pub mod index;
pub mod labelled;
pub mod loader;
pub mod opencv;
pub mod order;
pub mod pack;
mod panics;
pub mod reader;
pub mod regions;
pub mod resize;
pub mod survey;
pub mod views;
