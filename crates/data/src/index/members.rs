//! Finds the members of a tar shard that may be pictures, and their positions. The headers are read once; the contents
//! are not read.
//!
//! Whatever the bytes are, memory stays bounded and nothing is extracted; names of members are never used as paths
//! here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use densesiam_text::{compression, shown};
use tar::EntryType;

use super::names::Names;
use super::skipped::Skipped;
use super::{IndexError, formats, samples};

/// Tar's unit: each header has this length, and contents are padded to a multiple of it.
const BLOCK: u64 = 512;

/// The most bytes for one header together with the description of the next member (a long name, PAX records). Real ones
/// take a few kilobytes; without a limit a shard of one hollow gigabyte would take a gigabyte of memory.
const LONGEST_HEADER: u64 = 1 << 20;

/// The endings of the names of compressed archives, in lower case, and the program that unpacks each.
const COMPRESSED_NAMES: [(&str, &str); 9] = [
    (".tar.gz", "gzip"),
    (".tgz", "gzip"),
    (".tar.zst", "zstd"),
    (".tzst", "zstd"),
    (".tar.bz2", "bzip2"),
    (".tbz2", "bzip2"),
    (".tar.xz", "xz"),
    (".txz", "xz"),
    (".tar.lz4", "lz4"),
];

/// Whether the name of a file is that of a shard.
pub(super) fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// The program that unpacks the archive, if its name says that it is compressed.
pub(super) fn compression_by_name(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    COMPRESSED_NAMES.iter().find(|(end, _)| name.ends_with(end)).map(|&(_, program)| program)
}

/// The contents of a shard.
pub(super) struct Scanned {
    /// Bytes of the whole shard.
    pub(super) length: u64,
    /// The names of its members that may be pictures, in their order.
    pub(super) names: Names,
    /// Where the bytes of each lie.
    pub(super) spans: Vec<Span>,
    pub(super) skipped: Skipped,
}

/// Where a picture's bytes lie in its shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Scanned {
    fn take(&mut self, name: &[u8], kind: EntryType, span: Span) {
        let Some(extension) = samples::extension(name) else { return };
        if formats::read(extension).is_none() {
            self.skipped.note_extension(extension);
        } else if kind.is_file() || kind.is_contiguous() {
            self.names.push(name);
            self.spans.push(span);
        } else if kind.is_symlink() || kind.is_hard_link() {
            self.skipped.links += 1;
        }
    }
}

/// Reads the headers of a shard.
pub(super) fn scan(path: &Path) -> Result<Scanned, IndexError> {
    let unreadable = |source| IndexError::Unreadable { path: path.into(), source };
    let damaged = |byte, reason: String| IndexError::DamagedShard { path: path.into(), byte, reason };
    let file = open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    refuse_compressed(path, &file)?;

    let mut archive = tar::Archive::new(Headers { file: &file, position: 0, left: LONGEST_HEADER });
    let mut scanned = Scanned { length, names: Names::default(), spans: vec![], skipped: Skipped::default() };
    let mut next = 0;
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(|error| damaged(next, error.to_string()))?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_sparse() || is_pax_sparse(&mut entry) {
            let member = shown(OsStr::from_bytes(&entry.path_bytes())).to_string();
            return Err(IndexError::SparseMember { path: path.into(), byte: next, member });
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let Some(end) = offset.checked_add(size).filter(|&end| end <= length) else {
            let name = entry.path_bytes();
            let name = shown(OsStr::from_bytes(&name));
            let reason = format!("{name} of {size} bytes begins, but the file has only {length} bytes");
            return Err(damaged(next, reason));
        };
        let name = entry.path_bytes();
        // Bytes after a NUL are not part of a name.
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        scanned.take(name, kind, Span { offset, length: size });
        next = end.next_multiple_of(BLOCK);
    }
    // Tar archives end in zeros. If the file ends before them, the program that wrote it was stopped.
    if next + BLOCK > length {
        return Err(damaged(next, "it ends without the mark that ends an archive".into()));
    }
    Ok(scanned)
}

/// Opens a regular file; a pipe could block forever.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

fn refuse_compressed(path: &Path, file: &File) -> Result<(), IndexError> {
    let mut start = [0; 6];
    let read = file.read_at(&mut start, 0);
    read.map_err(|source| IndexError::Unreadable { path: path.into(), source })?;
    match compression(&start) {
        Some(compression) => Err(IndexError::CompressedShard { path: path.into(), compression }),
        None => Ok(()),
    }
}

/// Sparse files of PAX archives look like ordinary files, except for these records.
fn is_pax_sparse(entry: &mut tar::Entry<'_, Headers<'_>>) -> bool {
    // Global records, which have a separate header, would be read here; they do not describe a sparse file.
    if entry.header().entry_type().is_pax_global_extensions() {
        return false;
    }
    let records = entry.pax_extensions().ok().flatten();
    records.is_some_and(|mut records| {
        records.any(|record| record.is_ok_and(|record| record.key_bytes().starts_with(b"GNU.sparse.")))
    })
}

/// The reader that the tar crate uses for a shard. It keeps its own position, so seeking needs no system call. The
/// crate seeks past the contents before every header. Between two seeks it reads a header and the description of the
/// next member, which must be within [`LONGEST_HEADER`].
struct Headers<'f> {
    file: &'f File,
    position: u64,
    left: u64,
}

impl Read for Headers<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !bytes.is_empty() {
            let message = format!("a header announces a name or records of more than {LONGEST_HEADER} bytes");
            return Err(io::Error::other(message));
        }
        let most = bytes.len().min(self.left as usize);
        let read = self.file.read_at(&mut bytes[..most], self.position)?;
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.left = LONGEST_HEADER;
        Ok(self.position)
    }
}
