//! `densesiam data`: pictures packed into shards, and whole data sets checked.

mod check;
mod pack;
mod regions;
mod size;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::path;
use densesiam::error::Error;

/// What can be done with a data set.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Write the pictures of a folder, a list or other shards into tar shards, as WebDataset reads them
    ///
    /// The bytes of the pictures are copied unchanged, and two packs of the same pictures are equal to the last bit. A
    /// picture's key is its path below PICTURES without its extension, with _ for every dot, since readers end a key at
    /// the first dot of a name; where two pictures would share a key the later gets a number, as in a_2.
    ///
    /// Example: densesiam data pack IMAGENET/train --out shards --name imagenet --seed 1
    Pack(PackArguments),
    /// Find regions of every picture, once, for the methods of pre-training that compare them
    ///
    /// Segments (DetCon) are those of Felzenszwalb and Huttenlocher, boxes (SoCo) those of selective search, saliency (CAST) the
    /// maximum symmetric surround, or somebody's maps. The file is a zip archive with a grey PNG, or a list of boxes, for each
    /// picture; a stopped command goes on when it is typed again.
    ///
    /// Example: densesiam data regions MY_PICTURES --kind segments --out regions.zip
    Regions(RegionArguments),
    /// Read and decode every picture, with its boxes or label map where there are such, and say what is wrong
    ///
    /// Of pictures alone it says how many there are, how large, and which cannot be read. Objects (VOC, COCO) and label maps are
    /// recognised by their folders and held against the pictures: what is missing, empty, outside, unknown or of another size is
    /// counted by kind, and the first of each is named. If anything is wrong with annotated pictures the exit code is 3.
    ///
    /// Example: densesiam data check VOCdevkit --split 2007/trainval
    Check(check::CheckArguments),
}

/// `densesiam data pack`
#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// A folder of pictures, a list file, or tar shards
    pub pictures: String,
    /// The folder to write to
    #[arg(long, value_parser = path())]
    pub out: PathBuf,
    /// What the shards are called, NAME-000000.tar and on [default: the name of PICTURES]
    #[arg(long)]
    pub name: Option<String>,
    /// Largest size of a shard
    #[arg(long, default_value = "1 GB", value_parser = size::parse, conflicts_with = "pictures_per_shard")]
    pub shard_size: u64,
    /// Most pictures in a shard, instead of a largest size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub pictures_per_shard: Option<u64>,
    /// Write the pictures in an order drawn from this seed instead of the order of their paths
    ///
    /// This program shuffles over all shards anyway. Readers that stream shards shuffle only what a buffer holds, and
    /// would see the pictures of one folder, hence of one class, together.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Decode every picture, and leave out those that cannot be decoded
    #[arg(long)]
    pub check: bool,
    /// Replace all shards of this name in the folder
    #[arg(long)]
    pub overwrite: bool,
}

/// `densesiam data regions`
#[derive(Debug, Args)]
pub(crate) struct RegionArguments {
    /// A folder of pictures, a list file, or tar shards
    pub pictures: String,
    /// What is found
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// The file to write
    #[arg(long, value_parser = path())]
    pub out: PathBuf,
    /// A folder with a saliency map for each picture, MAPS/NAME.png, instead of finding one
    #[arg(long, value_parser = path())]
    pub maps: Option<PathBuf>,
    /// Segments and boxes: how large segments are; larger is fewer [default: 1000 for segments, 300 for boxes]
    #[arg(long)]
    pub scale: Option<f64>,
    /// Segments and boxes: pixels of the smallest segment [default: 1000 for segments, 100 for boxes]
    #[arg(long)]
    pub min_size: Option<u32>,
    /// Larger pictures are reduced to this side first [default: 640 for boxes, else 2048]
    #[arg(long)]
    pub longest_side: Option<u32>,
    /// Threads that find regions [default: all cores]
    #[arg(long)]
    pub workers: Option<usize>,
    /// Replace the file
    #[arg(long)]
    pub overwrite: bool,
}

/// Kinds of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The number of a segment for each pixel
    #[value(alias = "fh")]
    Segments,
    /// Boxes that may each hold a thing
    #[value(alias = "selective_search")]
    Boxes,
    /// How much each pixel stands out
    Saliency,
}

/// Does what the command line says.
pub(super) fn run(command: &Data) -> Result<(), Error> {
    match command {
        Data::Pack(arguments) => pack::run(arguments),
        Data::Regions(arguments) => regions::run(arguments),
        Data::Check(arguments) => check::run(arguments),
    }
}
