//! The names of the files that are written for a picture.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes in a file name, on nearly all file systems of Linux.
const LONGEST: usize = 255;
/// The longest ending that is appended to a picture's stem, while a file is being written.
const SUFFIX: &str = ".overlay.png.partial";

/// The path, without `.png` or `.overlay.png`, of the files that are written for each picture: the picture's path
/// without its extension. In a folder where that would give two files one name (`a.jpg` and `a.png`, or `a.jpg` and
/// `a.overlay.jpg`), all pictures keep their extensions (`a.jpg.png`). Names that would be too long for a file are
/// shortened ([`is_shortened`]).
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
    pictures.map(|picture| fitting(&stem(picture))).collect()
}

/// Whether this stem is shorter than the picture's own name.
pub(super) fn is_shortened(stem: &Path, picture: &Path) -> bool {
    !picture.as_os_str().as_bytes().starts_with(stem.as_os_str().as_bytes())
}

/// The same stem, in which each part that is too long for a file name is shortened to its beginning and a unique
/// number.
fn fitting(stem: &Path) -> PathBuf {
    let last = stem.iter().count().saturating_sub(1);
    let number = densesiam_random::hash(stem.as_os_str().as_bytes());
    let parts = stem.iter().enumerate().map(|(place, part)| {
        let most = if place == last { LONGEST - SUFFIX.len() } else { LONGEST };
        if part.len() <= most { part.to_owned() } else { shortened(part, most, number) }
    });
    parts.collect()
}

fn shortened(part: &OsStr, most: usize, number: u64) -> OsString {
    let mark = format!("~{number:016x}");
    let bytes = part.as_bytes();
    let inside_a_letter = |place: usize| bytes[place] & 0b1100_0000 == 0b1000_0000;
    let end = (0..=most - mark.len()).rev().find(|&place| !inside_a_letter(place)).unwrap_or_default();
    let mut name = OsStr::from_bytes(&bytes[..end]).to_owned();
    name.push(mark);
    name
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
    fn names_too_long_for_a_file_are_shortened_and_stay_apart() {
        let long = |letter: &str, count: usize| format!("{}.jpg", letter.repeat(count));
        let folder = format!("{}/b.jpg", "f".repeat(300));
        let pictures = [long("a", 251), long("a", 235), long("ü", 120), folder, long("a", 250)];
        let stems = stems(&pictures);
        for (stem, picture) in stems.iter().zip(&pictures) {
            assert_eq!(
                is_shortened(stem, picture.as_ref()),
                !picture.starts_with(&*long("a", 235)),
                "{picture}"
            );
            let parts: Vec<_> = stem.iter().map(OsStr::len).collect();
            assert!(parts.iter().all(|length| *length <= 255) && parts[parts.len() - 1] <= 235, "{parts:?}");
            assert!(stem.to_str().is_some(), "no letter is cut");
        }
        assert_eq!(stems.iter().collect::<HashSet<_>>().len(), 5);
        assert_eq!(stems[1].as_os_str().len(), 235);
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
