//! Reads the text of a recipe or of a list of variants, from a file that may turn out to be something else.

use std::path::Path;

use densesiam_data::index::names_shards;
use densesiam_text::{Kind, NotText, ReadError, Sort, shown};

use crate::error::Error;

/// The text, without a byte order mark, of a file that should be `what` (`a recipe`).
///
/// # Errors
/// When the file cannot be read, or is not text. In the latter case the error says what the file seems to be, and how
/// such a file is passed to the program.
pub(super) fn read(path: &Path, what: &'static str) -> Result<String, Error> {
    densesiam_text::read(path).map_err(|error| match error {
        ReadError::NotText(reason) => refused(path, what, reason),
        ReadError::System(source) => Error::file(path, source),
    })
}

fn refused(path: &Path, what: &'static str, reason: NotText) -> Error {
    let name = shown(path);
    match reason {
        NotText::Kind(Kind { sort: Sort::Picture, .. }) => Error::Usage(format!(
            "{name} is one picture; name the folder it lies in, or data.root=FOLDER behind a recipe"
        )),
        NotText::Kind(_) | NotText::Binary { .. } if names_shards(path) => Error::Usage(format!(
            "{name} holds pictures and is not {what}; name it behind a recipe, as data.root={name}"
        )),
        NotText::Binary { .. } | NotText::Kind(Kind { sort: Sort::Arrays, .. }) => Error::Usage(format!(
            "{name} is not text, and so not {what}; weights that an encoder starts from are given as encoder.weights={name}"
        )),
        reason => Error::NotText { path: path.into(), what, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(name: &str, bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, "a recipe").map_err(|error| error.to_string())
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(read_back("a.toml", b"\xef\xbb\xbf[train]\n").unwrap(), "[train]\n");
        assert_eq!(read_back("a.toml", b"[train]\n").unwrap(), "[train]\n");
    }

    #[test]
    fn what_is_no_text_is_called_what_it_is() {
        let utf16: Vec<u8> = "\u{feff}[train]".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut tar = vec![0; 1024];
        tar[..5].copy_from_slice(b"a.jpg");
        let safetensors = b"\x08\0\0\0\0\0\0\0{}      ";
        for (name, bytes, said) in [
            ("a.jpg", &b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], "a.jpg is one picture; name the folder"),
            ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is one picture"),
            ("a.tar", &tar, "data.root="),
            ("a.toml", &utf16, "UTF-16"),
            ("a.pth", b"\x80\x02}q\x00.", "encoder.weights="),
            ("a.zip", b"PK\x03\x04\0\0\0\0", "a zip archive"),
            ("a.safetensors", safetensors, "encoder.weights="),
            ("latin.toml", b"[run]\n# caf\xe9\n", "line 2 is not UTF-8"),
        ] {
            let refused = read_back(name, bytes).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
