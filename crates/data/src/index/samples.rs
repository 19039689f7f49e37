//! Decides by its name what a member of a shard is, as readers of WebDataset group members into samples.

use std::collections::HashSet;

use super::formats;
use super::names::Names;

/// The key of a member and the rest of its name. The key ends at the first dot of the base name, and members with the
/// same key are parts of one sample. `None` for names without a key, which begin with a dot, and for metadata of the
/// archive.
fn key_and_extensions(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let base = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let dot = name[base..].iter().position(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
    (!is_metadata(name)).then(|| (&name[..base + dot], &name[base + dot + 1..]))
}

/// The extension, after the last dot, of a member that may be a picture, or a picture in another format.
pub(super) fn extension(name: &[u8]) -> Option<&[u8]> {
    let (_, extensions) = key_and_extensions(name)?;
    extensions.rsplit(|&byte| byte == b'.').next()
}

/// Whether a member is the picture of its sample beyond doubt: its key is followed only by a picture's extension.
pub(crate) fn is_picture_member(name: &[u8]) -> bool {
    key_and_extensions(name).is_some_and(|(_, extensions)| formats::read(extensions).is_some())
}

/// Whether a member lies in a folder `__NAME__`, which readers of WebDataset skip.
pub(crate) fn is_metadata(name: &[u8]) -> bool {
    let first = name.iter().position(|&byte| byte == b'/').map_or(&[][..], |slash| &name[..slash]);
    first.len() >= 4 && first.starts_with(b"__") && first.ends_with(b"__")
}

/// The numbers of the members that end in a picture's extension but are not separate pictures. If `a.jpg` is the
/// picture of the sample `a`, then `a.seg.png` is another part of that sample. If the sample has no such picture,
/// `a.b.jpg` is a picture that was called `a.b` before it was packed.
pub(super) fn parts_of_samples(names: &Names) -> HashSet<usize> {
    let named = || (0..names.len()).map(|number| (number, names.get(number)));
    let hash = |name: &[u8]| key_and_extensions(name).map(|(key, _)| densesiam_random::hash(key));
    let dotted: Vec<_> = named().filter(|(_, name)| !is_picture_member(name)).collect();
    if dotted.is_empty() {
        return HashSet::new();
    }
    let pictured: HashSet<_> =
        named().filter(|(_, name)| is_picture_member(name)).filter_map(|(_, name)| hash(name)).collect();
    let is_part = |&(_, name): &(usize, &[u8])| hash(name).is_some_and(|key| pictured.contains(&key));
    dotted.into_iter().filter(is_part).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_members_whose_only_extension_is_a_pictures() {
        for name in
            ["a.jpg", "a.JPEG", "./a.webp", "x.y/a.png", "/a.tiff", "../a.gif", "__m__.jpg", "__x/a.jpg"]
        {
            assert!(is_picture_member(name.as_bytes()), "{name}");
        }
        for name in [
            "a",
            "a.seg.png",
            "a.jpg.txt",
            "a.json",
            ".a.jpg",
            ".jpg",
            "x/._a.jpg",
            "a.jpg/",
            "__meta__/a.jpg",
            "",
        ] {
            assert!(!is_picture_member(name.as_bytes()), "{name}");
        }
        assert_eq!(extension(b"x.y/a.b.JPG"), Some(&b"JPG"[..]));
        assert_eq!((extension(b"x/.a.jpg"), extension(b"x.y/a")), (None, None));
    }

    #[test]
    fn dotted_names_are_pictures_unless_their_sample_has_one() {
        let mut names = Names::default();
        for name in ["a.seg.png", "a.jpg", "b.1.jpg", "b.2.jpg", "x/a.b.c.png", "d.png", "d.depth.png"] {
            names.push(name.as_bytes());
        }
        assert_eq!(parts_of_samples(&names), HashSet::from([0, 6]));
    }
}
