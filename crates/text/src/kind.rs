//! What a file is that is no text, by its first bytes.

use std::fmt;

/// A known format of files that are no text; shown as `a zip archive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, with an article.
    pub name: &'static str,
    /// What such files hold.
    pub sort: Sort,
}

/// What the files of a format hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// One file, compressed by the program of this name.
    Compressed(&'static str),
    /// Files, in an archive.
    Archive,
    /// Arrays, tables or records.
    Arrays,
    /// A picture.
    Picture,
    /// A film or sound.
    Film,
    /// Anything else.
    Other,
}

/// How many bytes at the beginning of a file [`Kind::of`] looks at.
pub(crate) const LOOKED_AT: usize = 512;

/// Where a format has its mark, the mark, and the format.
type Mark = (usize, &'static [u8], &'static str, Sort);

/// Of two marks that fit, the first counts.
const MARKS: &[Mark] = &[
    (0, b"\x1f\x8b", "compressed by gzip", Sort::Compressed("gzip")),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", Sort::Compressed("zstd")),
    (0, b"BZh", "compressed by bzip2", Sort::Compressed("bzip2")),
    (0, b"\xfd7zXZ\x00", "compressed by xz", Sort::Compressed("xz")),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4", Sort::Compressed("lz4")),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", Sort::Archive),
    (0, b"Rar!\x1a\x07", "a RAR archive", Sort::Archive),
    (0, b"!<arch>\n", "an ar archive", Sort::Archive),
    (257, b"ustar", "a tar archive", Sort::Archive),
    (0, b"hsqs", "a SquashFS image", Sort::Archive),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", Sort::Arrays),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", Sort::Arrays),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", Sort::Arrays),
    (0, b"PAR1", "a Parquet file", Sort::Arrays),
    (0, b"ARROW1\0\0", "an Arrow file", Sort::Arrays),
    (0, b"\xff\xff\xff\xff", "a stream of Arrow records", Sort::Arrays),
    (0, b"ORC", "an ORC file", Sort::Arrays),
    (0, b"Obj\x01", "an Avro file", Sort::Arrays),
    (0, b"SQLite format 3\0", "an SQLite database", Sort::Arrays),
    (16, b"\xde\xc0\xef\xbe", "an LMDB database", Sort::Arrays),
    (0, b"\x0a\x23\xd7\xce", "an MXNet RecordIO file", Sort::Arrays),
    (0, b"CDF", "a NetCDF file", Sort::Arrays),
    (0, b"\x80\x02", "a Python pickle", Sort::Arrays),
    (0, b"\x80\x03", "a Python pickle", Sort::Arrays),
    (0, b"\x80\x04", "a Python pickle", Sort::Arrays),
    (0, b"\x80\x05", "a Python pickle", Sort::Arrays),
    (0, b"\xff\xd8\xff", "a JPEG picture", Sort::Picture),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", Sort::Picture),
    (0, b"GIF8", "a GIF picture", Sort::Picture),
    (8, b"WEBP", "a WebP picture", Sort::Picture),
    (0, b"II*\0", "a TIFF picture", Sort::Picture),
    (0, b"MM\0*", "a TIFF picture", Sort::Picture),
    (0, b"II+\0", "a BigTIFF picture", Sort::Picture),
    (0, b"MM\0+", "a BigTIFF picture", Sort::Picture),
    (4, b"ftyphe", "an HEIC picture", Sort::Picture),
    (4, b"ftypmif1", "an HEIF picture", Sort::Picture),
    (4, b"ftypavi", "an AVIF picture", Sort::Picture),
    (0, b"\xff\x0a", "a JPEG XL picture", Sort::Picture),
    (4, b"JXL \r\n", "a JPEG XL picture", Sort::Picture),
    (4, b"jP  \r\n", "a JPEG 2000 picture", Sort::Picture),
    (0, b"8BPS", "a Photoshop picture", Sort::Picture),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", Sort::Picture),
    (128, b"DICM", "a DICOM picture", Sort::Picture),
    (0, b"BM", "a BMP picture", Sort::Picture),
    (4, b"ftyp", "an MP4 or QuickTime film", Sort::Film),
    (8, b"AVI ", "an AVI film", Sort::Film),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM film", Sort::Film),
    (0, b"OggS", "an Ogg film", Sort::Film),
    (0, b"%PDF", "a PDF document", Sort::Other),
    (0, b"\x7fELF", "a program", Sort::Other),
    (0, b"MZ", "a program for Windows", Sort::Other),
];

/// The program that unpacks a file which begins with these bytes, where they are compressed.
pub fn compression(start: &[u8]) -> Option<&'static str> {
    match marked(start)?.sort {
        Sort::Compressed(program) => Some(program),
        _ => None,
    }
}

impl Kind {
    /// The format of a file that begins with these bytes, of which the first 512 matter, where it is known. Text may begin
    /// like a format with a short mark: whether a file is text is to be asked first.
    pub fn of(start: &[u8]) -> Option<Self> {
        zip(start).or_else(|| marked(start)).or_else(|| records(start))
    }
}

fn marked(start: &[u8]) -> Option<Kind> {
    let fits = |&&(place, mark, ..): &&Mark| start.get(place..).is_some_and(|rest| rest.starts_with(mark));
    MARKS.iter().find(fits).map(|&(_, _, name, sort)| Kind { name, sort })
}

/// What a zip archive is for is told by the name of its first member.
fn zip(start: &[u8]) -> Option<Kind> {
    if start.starts_with(b"PK\x05\x06") {
        return Some(Kind { name: "an empty zip archive", sort: Sort::Archive });
    }
    if !start.starts_with(b"PK\x03\x04") {
        return None;
    }
    let length = start.get(26..28).map_or(0, |bytes| usize::from(bytes[0]) + 256 * usize::from(bytes[1]));
    let name = start.get(30..).map_or(&[][..], |rest| &rest[..length.min(rest.len())]);
    let (name, sort) = match name {
        name if name.ends_with(b".npy") => ("a NumPy archive (.npz)", Sort::Arrays),
        name if name.ends_with(b"/data.pkl") => ("a PyTorch file", Sort::Arrays),
        _ => ("a zip archive", Sort::Archive),
    };
    Some(Kind { name, sort })
}

/// TFRecord files begin with the length of their first record and its checksum.
fn records(start: &[u8]) -> Option<Kind> {
    let (length, rest) = start.split_first_chunk::<8>()?;
    let checksum = crc32c::crc32c(length).rotate_right(15).wrapping_add(0xa282_ead8);
    let fits = rest.first_chunk().is_some_and(|&bytes| u32::from_le_bytes(bytes) == checksum);
    fits.then_some(Kind { name: "a TFRecord file", sort: Sort::Arrays })
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(start: &[u8]) -> &'static str {
        Kind::of(start).map_or("nothing known", |kind| kind.name)
    }

    #[test]
    fn formats_are_known_by_their_marks() {
        let zip = |member: &str| {
            let length = (member.len() as u16).to_le_bytes();
            [b"PK\x03\x04", &[0; 22][..], &length, &[0, 0], member.as_bytes(), b"rest"].concat()
        };
        assert_eq!(name(&zip("images/a.jpg")), "a zip archive");
        assert_eq!(name(&zip("x.npy")), "a NumPy archive (.npz)");
        assert_eq!(name(&zip("resnet18/data.pkl")), "a PyTorch file");
        assert_eq!(name(b"PK\x03\x04"), "a zip archive", "one that is cut");
        assert_eq!(name(b"\x89HDF\r\n\x1a\n\0\0"), "an HDF5 file");
        assert_eq!(name(b"\0\0\0\x1cftypheic"), "an HEIC picture");
        assert_eq!(name(b"\0\0\0\x1cftypavif"), "an AVIF picture");
        assert_eq!(name(b"\0\0\0\x20ftypisom"), "an MP4 or QuickTime film");
        assert_eq!(name(b"RIFF\0\0\0\0WEBPVP8 "), "a WebP picture");
        assert_eq!(name(b"\0\x01\x02\x03"), "nothing known");
        assert_eq!(compression(b"\x1f\x8b\x08"), Some("gzip"));
        assert_eq!((compression(b"PAR1"), compression(b"")), (None, None));
    }

    /// The first twelve bytes of what TensorFlow writes for a record of 11 bytes.
    #[test]
    fn records_are_known_by_the_checksum_of_their_length() {
        let length = 11u64.to_le_bytes();
        let crc = crc32c::crc32c(&length);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        let start = [&length[..], &masked.to_le_bytes(), b"hello"].concat();
        assert_eq!(name(&start), "a TFRecord file");
        assert_eq!(name(&[&length[..], &[0; 4]].concat()), "nothing known");
    }
}
