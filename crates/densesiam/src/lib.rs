//! DenseSiam: dense self-supervised learning from a folder of pictures, as a program and a library.
//!
//! From recipe to loss in four files: `recipes/*.toml`, [`tasks::pretrain`] (the whole loop in sight),
//! `densesiam_nn::pretrain::densesiam` (both views, every stop-gradient), and its PixSim and RegionSim.

pub mod error;
pub mod export;
pub mod file;
pub mod home;
pub mod import;
pub mod memory;
pub mod recipe;
pub mod run;
pub mod tasks;
