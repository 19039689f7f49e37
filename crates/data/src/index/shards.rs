//! Pictures in uncompressed tar shards. Any number of threads can read the bytes of a picture at its position, without
//! reading the members before it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use densesiam_text::shown;

use super::members::Span;
use super::names::Names;
use super::skipped::Skipped;
use super::{IndexError, members, samples};

/// The most shards that stay open after they were read; others are opened for every picture, as separate files are.
/// Pictures are read in shuffled order, so keeping other shards open would not be better than keeping the first ones.
/// Systems allow at least 256 open files.
const KEPT_OPEN: usize = 128;

/// The shards of an index, and where each of its pictures lies in them.
#[derive(Debug)]
pub(super) struct Shards {
    /// In the order of the pictures.
    shards: Vec<Shard>,
    spans: Vec<Span>,
    /// What else the shards hold.
    pub(super) skipped: Skipped,
    /// How often a shard was kept open, or would have been.
    kept: AtomicUsize,
}

/// A tar file.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    /// Its path relative to the root of the index.
    name: PathBuf,
    /// Bytes of the whole file when it was indexed.
    length: u64,
    /// Number of the first picture after those of this shard.
    end: usize,
    file: OnceLock<File>,
}

impl Shards {
    /// Scans the shards at these paths, relative to `root`, in this order. The names of their pictures are kept
    /// separately.
    pub(super) fn scan(
        root: &Path,
        shards: impl IntoIterator<Item = PathBuf>,
    ) -> Result<(Names, Self), IndexError> {
        let mut names = Names::default();
        let mut all =
            Self { shards: vec![], spans: vec![], skipped: Skipped::default(), kept: AtomicUsize::new(0) };
        for name in shards {
            let path = root.join(&name);
            let scanned = members::scan(&path)?;
            let parts = samples::parts_of_samples(&scanned.names);
            names.extend_without(&scanned.names, &parts);
            let spans = scanned.spans.into_iter().enumerate().filter(|(number, _)| !parts.contains(number));
            all.spans.extend(spans.map(|(_, span)| span));
            all.skipped.add(scanned.skipped);
            all.skipped.parts_of_samples += parts.len();
            let (length, end) = (scanned.length, all.spans.len());
            all.shards.push(Shard { path, name, length, end, file: OnceLock::new() });
        }
        if all.spans.is_empty() {
            let (shards, skipped) = (all.shards.len(), Box::new(all.skipped));
            return Err(IndexError::NoPictureInShards { root: root.into(), shards, skipped });
        }
        names.shrink_to_fit();
        all.spans.shrink_to_fit();
        Ok((names, all))
    }

    /// Keeps only picture `index` of a single shard.
    pub(super) fn only(mut self, index: usize) -> Self {
        self.spans = vec![self.spans[index]];
        self.shards.iter_mut().for_each(|shard| shard.end = 1);
        self
    }

    /// The paths of the shards.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The position of picture `index`, which has this name.
    pub(super) fn member<'i>(&'i self, index: usize, name: &'i [u8]) -> Member<'i> {
        let shard = self.shards.partition_point(|shard| shard.end <= index);
        Member { shards: self, shard: &self.shards[shard], name, span: self.spans[index] }
    }

    /// A hash of the shards' names, how many pictures each has, and the pictures' names.
    pub(super) fn fingerprint(&self, names: u64) -> u64 {
        let mut text = names.to_le_bytes().to_vec();
        for shard in &self.shards {
            text.extend_from_slice(shard.name.as_os_str().as_bytes());
            text.extend_from_slice(format!("\t{}\n", shard.end).as_bytes());
        }
        densesiam_random::hash(&text)
    }

    fn read_at(&self, shard: &Shard, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if let Some(file) = shard.file.get() {
            return file.read_exact_at(bytes, offset);
        }
        let file = members::open(&shard.path)?;
        if file.metadata()?.len() != shard.length {
            return Err(io::Error::other("its shard is not the file that was indexed; begin again"));
        }
        if self.kept.fetch_add(1, Ordering::Relaxed) < KEPT_OPEN {
            shard.file.get_or_init(|| file).read_exact_at(bytes, offset)
        } else {
            file.read_exact_at(bytes, offset)
        }
    }
}

/// A picture in a shard; displayed as `FOLDER/shard-000003.tar:0000123.jpg`.
#[derive(Clone, Copy, Debug)]
pub struct Member<'i> {
    shards: &'i Shards,
    shard: &'i Shard,
    name: &'i [u8],
    span: Span,
}

impl<'i> Member<'i> {
    /// Bytes of the picture.
    pub fn length(&self) -> u64 {
        self.span.length
    }

    /// Its name in the archive, which may be anything: `../x`, `/x` and control characters may occur.
    pub fn name(&self) -> &'i [u8] {
        self.name
    }

    /// The shard.
    pub fn shard(&self) -> &'i Path {
        &self.shard.path
    }

    /// Reads its bytes into memory of the same length.
    pub(super) fn read_into(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.shards.read_at(self.shard, self.span.offset, bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("its shard ends before it does; begin again"),
            _ => error,
        })
    }

    /// A relative path for the member below any folder: the shard without its extension, and the parts of the name that
    /// do not lead out of the folder.
    pub(super) fn relative_path(&self) -> PathBuf {
        let name = Path::new(OsStr::from_bytes(self.name));
        let parts = name.components().filter(|part| matches!(part, Component::Normal(_)));
        self.shard.name.with_extension("").join(parts.collect::<PathBuf>())
    }
}

/// Two members are equal if they begin at the same byte of the same file.
impl PartialEq for Member<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.shard(), self.span.offset) == (other.shard(), other.span.offset)
    }
}

impl Eq for Member<'_> {}

impl Hash for Member<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.shard(), self.span.offset).hash(state);
    }
}

impl fmt::Display for Member<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", shown(&self.shard.path), shown(OsStr::from_bytes(self.name)))
    }
}
