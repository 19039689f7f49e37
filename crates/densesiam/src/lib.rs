//! DenseSiam: dense self-supervised learning from a folder of pictures, as a library. The program `densesiam`
//! (`crates/cli`) is a command line over it.
//!
//! ```no_run
//! use densesiam::recipe::find;
//! use densesiam::recipe::pretrain::PretrainRecipe;
//! use densesiam::tasks::pretrain::{Plan, pretrain};
//! use densesiam_engine::interrupt::Interrupt;
//! use densesiam_engine::log::Voice;
//! use densesiam_engine::run_dir::Start;
//!
//! # fn main() -> Result<(), densesiam::Error> {
//! let settings = ["data.root=MY_PICTURES".to_owned(), "run.name=mine".to_owned()];
//! let recipe: PretrainRecipe = find("folder_r18", &settings)?;
//! pretrain(&Plan::new(recipe)?, Start::New, &Voice::Terminal, &Interrupt::never())?;
//! # Ok(())
//! # }
//! ```
//!
//! What was trained is opened by [`encoder::Encoder`], [`segmentation::Segmentation`],
//! [`labelled_segmentation::LabelledSegmentation`] and [`detection::ObjectDetection`]. Nothing here prints: a task is given
//! a [`Voice`](densesiam_engine::log::Voice) for its messages and an
//! [`Interrupt`](densesiam_engine::interrupt::Interrupt) that can ask it to stop, and every failure is an [`Error`]. The folder `examples` has
//! four programs of a page each, among them one step of the method with every part in sight.
//!
//! From recipe to loss in four files: `recipes/*.toml`, `tasks/training.rs` (the training loop and its step),
//! [`densesiam_nn::pretrain::densesiam`] (both views, every stop-gradient), and its PixSim and RegionSim.

pub mod detection;
pub mod embeddings;
pub mod encoder;
pub mod error;
pub mod explore;
pub mod export;
pub mod file;
pub mod home;
pub mod import;
pub mod labelled_segmentation;
pub mod memory;
pub mod recipe;
pub mod run;
pub mod segmentation;
pub mod tasks;

pub use error::Error;
