//! Errors when the pictures of a data set are searched for.

use std::io;
use std::path::PathBuf;

use densesiam_text::{Kind, NotText, Sort, shown};

use super::EXTENSIONS;
use super::skipped::Skipped;

/// Why there is no data set: the fault of the path in `data.root`, or of the file system.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Nothing exists at the path.
    #[error(
        "{} does not exist; data.root must name a folder of pictures or of tar shards, a list file, a .tar file, or \
         tar shards by a pattern such as shards/coco-{{000000..000127}}.tar",
        shown(path)
    )]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path should be one picture, but nothing exists there.
    #[error("{} does not exist; name a picture, or one in a tar shard as SHARD.tar:NAME", shown(path))]
    MissingPicture {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path should be one picture, but it holds many.
    #[error(
        "{} is {what}, and one picture is meant; name one in it, as {}{between}NAME",
        shown(path),
        shown(path)
    )]
    NotOnePicture {
        /// The path that was given.
        path: PathBuf,
        /// What the path is, with an article.
        what: &'static str,
        /// The character between the path and the name of a picture in it.
        between: char,
    },
    /// A single picture was given.
    #[error("{} is one picture; data.root must name the folder it lies in, or a list file", shown(path))]
    OnePicture {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds no picture.
    #[error(
        "no picture found in {} or its subfolders; looked for {}, and for .tar shards{}",
        shown(path),
        extensions(),
        in_its_place(skipped)
    )]
    NoPicture {
        /// The folder that was searched.
        path: PathBuf,
        /// Files that were found but are not read.
        skipped: Box<Skipped>,
    },
    /// The list file names no picture.
    #[error(
        "{} names no picture; a list file holds one path a line, relative to its own folder",
        shown(path)
    )]
    EmptyList {
        /// The list file.
        path: PathBuf,
    },
    /// The list file is not text.
    #[error("{} is not a list of pictures: {reason}{}", shown(path), remedy(reason))]
    NotAList {
        /// The file.
        path: PathBuf,
        /// What the file seems to be instead.
        reason: NotText,
    },
    /// A line of the list file is not a path.
    #[error(
        "{} is not a list of pictures: line {line} has {length} bytes, more than a path may have; a list file holds one \
         path a line, relative to its own folder",
        shown(path)
    )]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Its bytes.
        length: usize,
    },
    /// The file system refused to be read.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", shown(path))]
    Unreadable {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds pictures and shards, so it is unclear which of them are the data set.
    #[error(
        "{} holds both pictures ({}) and tar shards ({}), and only one of the two can be meant; move one elsewhere, \
         name the subfolder of the pictures, or name the shards by a pattern such as NAME-{{000000..000127}}.tar",
        shown(root),
        shown(picture),
        shown(shard)
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
        shown(path)
    )]
    CompressedShard {
        /// The shard.
        path: PathBuf,
        /// The program that unpacks it.
        compression: &'static str,
    },
    /// A shard is not a complete tar archive. The pictures before the fault are not used, because a data set that
    /// silently lost pictures would be another data set.
    #[error(
        "{} is no whole tar archive: at byte {byte}, {reason}; copy, download or pack it again",
        shown(path)
    )]
    DamagedShard {
        /// The shard.
        path: PathBuf,
        /// The position at which the faulty member begins.
        byte: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A shard holds a member whose bytes are not contiguous.
    #[error(
        "{} holds {member} as a sparse file, at byte {byte}; pack it again without tar's --sparse",
        shown(path)
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
        "no picture found in {shards} tar shards of {}; looked for members called {}{}",
        shown(root),
        extensions(),
        in_its_place(skipped)
    )]
    NoPictureInShards {
        /// The folder of the shards.
        root: PathBuf,
        /// How many shards were searched.
        shards: usize,
        /// Files that were found but are not read.
        skipped: Box<Skipped>,
    },
    /// A shard that a pattern names does not exist.
    #[error(
        "{} does not exist, which the pattern {} names; download it or correct the pattern",
        shown(path),
        shown(pattern)
    )]
    MissingShard {
        /// The shard.
        path: PathBuf,
        /// The pattern.
        pattern: PathBuf,
    },
    /// A pattern names so many shards that it must be a mistake.
    #[error("the pattern {} names more than {limit} shards; check its numbers", shown(pattern))]
    WidePattern {
        /// The pattern.
        pattern: PathBuf,
        /// How many shards a pattern may name.
        limit: usize,
    },
}

/// What to do with a file that is not a list.
fn remedy(reason: &NotText) -> String {
    let NotText::Kind(Kind { sort, .. }) = reason else { return String::new() };
    match sort {
        Sort::Compressed(program) => format!("; unpack it ({program} -d)"),
        Sort::Archive => "; unpack it, and name the folder that its pictures then lie in".into(),
        Sort::Arrays => "; write its pictures to files, and name their folder".into(),
        Sort::Picture => "; name a folder of pictures, or a list of them".into(),
        Sort::Film => "; write its frames to files, and name their folder".into(),
        Sort::Other => String::new(),
    }
}

fn in_its_place(skipped: &Skipped) -> String {
    if skipped.is_empty() { String::new() } else { format!("; there are {skipped}") }
}

fn extensions() -> String {
    EXTENSIONS.map(|extension| format!(".{extension}")).join(" ")
}
