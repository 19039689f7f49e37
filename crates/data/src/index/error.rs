//! Why there is no data set.

use std::io;
use std::path::PathBuf;

use super::EXTENSIONS;

/// Why there is no data set: the fault of what `data.root` names, or of the file system.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Nothing exists at the path.
    #[error(
        "{} does not exist; data.root must name a folder of pictures or of tar shards, a list file, a .tar file, or \
         tar shards by a pattern such as shards/coco-{{000000..000127}}.tar",
        path.display()
    )]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// A single picture was given.
    #[error("{} is one picture; data.root must name the folder it lies in, or a list file", path.display())]
    OnePicture {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds no picture.
    #[error("no picture found in {} or its subfolders; looked for {}, and for .tar shards", path.display(), extensions())]
    NoPicture {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The list file names no picture.
    #[error("{} names no picture; a list file holds one path a line, relative to its own folder", path.display())]
    EmptyList {
        /// The list file.
        path: PathBuf,
    },
    /// The file system refused to be read.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", path.display())]
    Unreadable {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds pictures and shards, and nothing says which of them are the data set.
    #[error(
        "{} holds both pictures ({}) and tar shards ({}), and only one of the two can be meant; move one elsewhere, \
         name the subfolder of the pictures, or name the shards by a pattern such as NAME-{{000000..000127}}.tar",
        root.display(), picture.display(), shard.display()
    )]
    PicturesAndShards {
        /// The folder.
        root: PathBuf,
        /// The first picture in it.
        picture: PathBuf,
        /// The first shard in it.
        shard: PathBuf,
    },
    /// A shard is compressed, so that its pictures cannot be read one by one.
    #[error(
        "{} is compressed ({compression}), and pictures cannot be read from its middle; unpack it to a plain .tar once \
         ({compression} -d; pictures are compressed already, so that it hardly grows)",
        path.display()
    )]
    CompressedShard {
        /// The shard.
        path: PathBuf,
        /// The program that unpacks it.
        compression: &'static str,
    },
    /// A shard is no whole tar archive. What came before the fault is not used: a data set that silently lost
    /// pictures would be another data set.
    #[error("{} is no whole tar archive: at byte {byte}, {reason}; copy, download or pack it again", path.display())]
    DamagedShard {
        /// The shard.
        path: PathBuf,
        /// Where the member begins that is at fault.
        byte: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A shard holds a member whose bytes do not lie in one piece.
    #[error(
        "{} holds {member} as a sparse file, at byte {byte}; pack it again without tar's --sparse",
        path.display()
    )]
    SparseMember {
        /// The shard.
        path: PathBuf,
        /// Where the member begins.
        byte: u64,
        /// The member's name.
        member: String,
    },
    /// The shards hold no picture.
    #[error(
        "no picture found in {shards} tar shards of {}; looked for members KEY{}",
        root.display(), EXTENSIONS.map(|e| format!(".{e}")).join(", KEY")
    )]
    NoPictureInShards {
        /// The folder of the shards.
        root: PathBuf,
        /// How many shards were searched.
        shards: usize,
    },
    /// A shard that a pattern names does not exist.
    #[error("{} does not exist, which the pattern {} names; download it or correct the pattern", path.display(), pattern.display())]
    MissingShard {
        /// The shard.
        path: PathBuf,
        /// The pattern.
        pattern: PathBuf,
    },
    /// A pattern names too many shards to be meant.
    #[error("the pattern {} names more than {limit} shards; check its numbers", pattern.display())]
    WidePattern {
        /// The pattern.
        pattern: PathBuf,
        /// How many shards a pattern may name.
        limit: usize,
    },
}

fn extensions() -> String {
    EXTENSIONS.map(|extension| format!(".{extension}")).join(" ")
}
