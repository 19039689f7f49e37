//! Text files as people write them, and files that are none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::{memchr, memchr_iter};

use crate::kind::{Kind, LOOKED_AT};

/// What some editors write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why bytes are no text; shown as what the file is, and what to do about it where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// They are of another format.
    #[error("it is {0}")]
    Kind(Kind),
    /// They are text in an encoding of wide letters.
    #[error("it is {0} text; save it as UTF-8")]
    Wide(&'static str),
    /// They are binary.
    #[error("byte {place} is NUL, which no text has")]
    Binary {
        /// Where the first NUL is, from 0.
        place: usize,
    },
    /// They are not UTF-8.
    #[error("line {line} is not UTF-8; save it as UTF-8")]
    NotUtf8 {
        /// The first such line, from 1.
        line: usize,
    },
}

/// Why a text file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The file is no text.
    #[error(transparent)]
    NotText(#[from] NotText),
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// A [`ReadError`] where the system refuses or the file is no UTF-8 text.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let bytes = read_bytes(path)?;
    let text = String::from_utf8(bytes);
    Ok(text.map_err(|error| not_utf8(error.as_bytes(), error.utf8_error().valid_up_to()))?)
}

/// As [`read`], of a file whose lines may be names that are not UTF-8. Of what is no text only the beginning is read.
///
/// # Errors
/// A [`ReadError`] where the system refuses or the file is no text.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ReadError> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(LOOKED_AT as u64).read_to_end(&mut bytes)?;
    content(&bytes)?;
    file.read_to_end(&mut bytes)?;
    let mark = bytes.len() - content(&bytes)?.len();
    bytes.drain(..mark);
    Ok(bytes)
}

/// The text of a file's bytes, without a byte order mark.
///
/// # Errors
/// A [`NotText`] that says what the bytes are.
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    let content = content(bytes)?;
    std::str::from_utf8(content).map_err(|error| not_utf8(content, error.valid_up_to()))
}

/// The bytes of a text file without a byte order mark; its lines may be names that are not UTF-8.
///
/// # Errors
/// A [`NotText`] that says what the bytes are.
pub fn content(bytes: &[u8]) -> Result<&[u8], NotText> {
    if let Some(encoding) = wide(bytes) {
        return Err(NotText::Wide(encoding));
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let nul = memchr(0, bytes);
    // A format may have a short mark, and text of some letters begin with it: text has neither NULs nor other controls.
    let binary = |byte: &u8| *byte < b'\t' || (0x0e..0x20).contains(byte) && *byte != 0x1b || *byte >= 0xf8;
    if (nul.is_some() || start.iter().any(binary))
        && let Some(kind) = Kind::of(start)
    {
        return Err(NotText::Kind(kind));
    }
    match nul {
        Some(place) => Err(NotText::Binary { place }),
        None => Ok(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
    }
}

/// The encoding of text in wide letters, by its mark or by the NULs between Latin letters.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [first, 0, second, 0, third, 0, ..] | [0, first, 0, second, 0, third, ..] => {
            let letters =
                [first, second, third].iter().all(|byte| matches!(byte, b'\t'..=b'\r' | b' '..=b'~'));
            letters.then_some("UTF-16")
        }
        _ => None,
    }
}

fn not_utf8(bytes: &[u8], place: usize) -> NotText {
    NotText::NotUtf8 { line: memchr_iter(b'\n', &bytes[..place]).count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_content() {
        assert_eq!(text(b"\xef\xbb\xbfa.jpg\n"), Ok("a.jpg\n"));
        assert_eq!(text(b"\xef\xbb\xbf"), Ok(""));
        assert_eq!(text("ü\u{feff}".as_bytes()), Ok("ü\u{feff}"), "one within the text is content");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xef\xbb\xbfground\r\n").unwrap();
        assert_eq!(read(file.path()).unwrap(), "ground\r\n");
    }

    #[test]
    fn what_is_no_utf8_is_named() {
        assert_eq!(text(b"\xff\xfea\0\n\0"), Err(NotText::Wide("UTF-16")));
        assert_eq!(text(b"\xfe\xff\0a\0\n"), Err(NotText::Wide("UTF-16")));
        assert_eq!(text(b"a\0b\0.\0j\0"), Err(NotText::Wide("UTF-16")));
        assert_eq!(text(b"\0a\0b\0.\0j"), Err(NotText::Wide("UTF-16")));
        assert_eq!(text(b"\xff\xfe\0\0a\0\0\0"), Err(NotText::Wide("UTF-32")));
        assert_eq!(text(b"a\nb\nlatin\xe9\n"), Err(NotText::NotUtf8 { line: 3 }));
        assert_eq!(content(b"latin\xe9.jpg"), Ok(&b"latin\xe9.jpg"[..]), "a name may be so");
        assert_eq!(text(b"a.jpg\0b.jpg\0"), Err(NotText::Binary { place: 5 }));
    }

    #[test]
    fn formats_are_named_and_text_that_begins_alike_is_text() {
        let kind = |bytes: &[u8]| match content(bytes) {
            Err(NotText::Kind(kind)) => kind.name,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(b"PK\x03\x04\x14\0\0\0"), "a zip archive");
        assert_eq!(kind(b"\x1f\x8b\x08\x08abcd"), "compressed by gzip");
        assert_eq!(kind(b"\x80\x04\x95"), "a Python pickle");
        assert_eq!(kind(b"BM\x36\0\0\0"), "a BMP picture");
        for plain in [&b"BMW/a.jpg\n"[..], b"MZ/a.jpg", b"CDF.jpg", b"PAR1/x.png", b"ORC.png", b"BZh.jpg\x1b"]
        {
            assert_eq!(content(plain), Ok(plain));
        }
    }

    #[test]
    fn of_what_is_no_text_the_beginning_is_enough() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\x89HDF\r\n\x1a\n\0\0\0").unwrap();
        // Hollow, and more than any memory holds.
        File::options().write(true).open(file.path()).unwrap().set_len(1 << 40).unwrap();
        let error = read_bytes(file.path()).unwrap_err().to_string();
        assert_eq!(error, "it is an HDF5 file");
    }
}
