//! The text of a recipe or of a list of variants, from a file that may be something else.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use densesiam_data::index::names_shards;

use crate::error::Error;

/// No recipe is longer; a file of weights is not read to its end to find that it is none.
const MOST_BYTES: u64 = 1 << 20;

/// The text of a file, without a byte order mark.
///
/// # Errors
/// When the file cannot be read, or is no text; then with what it seems to be, and how that is given.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| Error::file(path, source))?;
    let refused = |what: &str| Error::Usage(format!("{} {what}", path.display()));
    match str::from_utf8(&bytes) {
        Ok(text) if text.contains('\0') => Err(refused(&what_it_is(path, &bytes))),
        Ok(_) if bytes.len() as u64 > MOST_BYTES => Err(refused("is longer than a recipe can be")),
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(_) => Err(refused(&what_it_is(path, &bytes))),
    }
}

/// What a file is that is no text in UTF-8, as the rest of a sentence.
fn what_it_is(path: &Path, bytes: &[u8]) -> String {
    let shown = path.display();
    if image::guess_format(bytes).is_ok() {
        return "is one picture; name the folder it lies in, or data.root=FOLDER behind a recipe".to_owned();
    }
    if names_shards(path) {
        return format!("holds pictures and is no recipe; name it behind a recipe, as data.root={shown}");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "is text in UTF-16; save it as UTF-8".to_owned();
    }
    if bytes.contains(&0) {
        return format!(
            "is no text, and so no recipe; weights that an encoder starts from are given to `densesiam segment` as \
             encoder.weights={shown}"
        );
    }
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    format!("is not UTF-8 in its line {}; save it as UTF-8", text.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(name: &str, bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| error.to_string())
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
            ("a.pth", b"PK\x03\x04\0\0\0\0", "encoder.weights="),
            ("a.safetensors", safetensors, "encoder.weights="),
            ("latin.toml", b"[run]\n# caf\xe9\n", "is not UTF-8 in its line 2"),
        ] {
            let refused = read_back(name, bytes).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
        let long = "# \n".repeat(1 << 19);
        assert!(read_back("long.toml", long.as_bytes()).unwrap_err().contains("longer"));
    }
}
