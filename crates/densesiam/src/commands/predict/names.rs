//! What the files of a picture are called.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The path, without `.png` or `.overlay.png`, of what is written for each picture: its own path without its
/// extension. In a folder where that would give two files one name (`a.jpg` and `a.png`, or `a.jpg` and
/// `a.overlay.jpg`), all pictures keep their extensions (`a.jpg.png`).
pub(super) fn stems(pictures: &[impl AsRef<Path>]) -> Vec<PathBuf> {
    let pictures = pictures.iter().map(AsRef::as_ref);
    let mut taken = HashSet::new();
    let mut ambiguous = HashSet::new();
    for picture in pictures.clone() {
        let stem = picture.with_extension("");
        for suffix in [".png", ".overlay.png"] {
            let mut name: OsString = stem.clone().into();
            name.push(suffix);
            if !taken.insert(name) {
                ambiguous.insert(picture.parent());
            }
        }
    }
    let stem = |picture: &Path| {
        if ambiguous.contains(&picture.parent()) { picture.to_owned() } else { picture.with_extension("") }
    };
    pictures.map(stem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pictures: &[&str]) -> Vec<String> {
        let stems = stems(pictures);
        stems.iter().map(|stem| stem.display().to_string()).collect()
    }

    #[test]
    fn names_keep_their_folders_and_lose_their_extensions() {
        assert_eq!(named(&["a.jpg", "b/a.jpg", "b/a.1.png", "b/c"]), ["a", "b/a", "b/a.1", "b/c"]);
    }

    #[test]
    fn where_two_would_have_one_name_all_of_the_folder_keep_their_extensions() {
        assert_eq!(
            named(&["a.jpg", "b/a.jpg", "b/a.png", "b/c.png"]),
            ["a", "b/a.jpg", "b/a.png", "b/c.png"]
        );
        assert_eq!(named(&["a.jpg", "a.overlay.jpg"]), ["a.jpg", "a.overlay.jpg"]);
    }
}
