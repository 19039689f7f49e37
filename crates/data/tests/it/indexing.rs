//! What the index finds and how it says that there is nothing to find.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use densesiam_data::index::{ImageIndex, IndexError, Skipped};

fn touch(root: &Path, names: &[&str]) {
    for name in names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
}

fn names(index: &ImageIndex) -> Vec<String> {
    (0..index.len()).map(|i| index.relative_path(i).to_string_lossy().into_owned()).collect()
}

#[test]
fn pictures_of_all_subfolders_are_found_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    touch(&root, &["b/2.JPEG", "a/1.png", "a.tif", "notes.txt", ".hidden/3.jpg", "b/.4.jpg", "b/c/5.webp"]);
    let index = ImageIndex::scan(&root).unwrap();
    assert_eq!(names(&index), ["a.tif", "a/1.png", "b/2.JPEG", "b/c/5.webp"]);
    assert_eq!(index.place(2).file(), Some(&*root.join("b/2.JPEG")));
    assert_eq!((index.len(), index.is_empty(), index.root()), (4, false, &*root));
}

#[test]
fn links_are_followed_and_their_loops_and_breaks_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    touch(&root, &["a/1.jpg"]);
    touch(folder.path(), &["elsewhere/2.jpg"]);
    let link =
        |target: &Path, name: &str| std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
    link(&folder.path().join("elsewhere"), "data/linked");
    link(&root, "data/a/loop");
    link(Path::new("nowhere.jpg"), "data/broken.jpg");
    link(&root, "root");
    let index = ImageIndex::scan(&folder.path().join("root")).unwrap();
    assert_eq!(names(&index), ["a/1.jpg", "linked/2.jpg"]);
    assert_eq!(index.skipped(), Skipped { links: 1, ..Skipped::default() });
    assert_eq!(index.fingerprint(), ImageIndex::scan(&root).unwrap().fingerprint());
}

#[test]
fn the_fingerprint_tells_sets_of_paths_apart() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["one/a.jpg", "one/b.jpg", "two/a.jpg", "two/b.jpg", "three/ab.jpg"]);
    let fingerprint = |name: &str| ImageIndex::scan(&folder.path().join(name)).unwrap().fingerprint();
    assert_eq!(fingerprint("one"), fingerprint("two"));
    assert_ne!(fingerprint("one"), fingerprint("three"));
}

#[test]
fn a_list_file_names_paths_relative_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("train.txt");
    fs::write(&list, "b/2.jpg\r\n\n a 1.jpg \n/absolute/3.jpg\n").unwrap();
    let index = ImageIndex::scan(&list).unwrap();
    assert_eq!(names(&index), ["/absolute/3.jpg", "a 1.jpg", "b/2.jpg"]);
    assert_eq!(index.place(0).file(), Some(Path::new("/absolute/3.jpg")));
    assert_eq!(index.place(1).file(), Some(&*folder.path().join("a 1.jpg")));
}

#[test]
fn nothing_to_index_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["empty.txt", "one.jpg", "texts/readme.md"]);
    let error = |name: &str| ImageIndex::scan(&folder.path().join(name)).unwrap_err();
    assert!(matches!(error("missing"), IndexError::Missing { .. }));
    assert!(matches!(error("empty.txt"), IndexError::EmptyList { .. }));
    assert!(matches!(error("one.jpg"), IndexError::OnePicture { .. }));
    let message = error("texts").to_string();
    assert!(message.contains("texts") && message.contains(".jpeg"), "{message}");
}

#[test]
fn other_names_of_the_formats_are_read_and_other_formats_counted() {
    let folder = tempfile::tempdir().unwrap();
    let read = ["1.jfif", "2.JPE", "3.pjpeg", "4.PJP", "5.apng", "6.dib", "7.jif", "8.mpo", "9.btf"];
    touch(folder.path(), &read);
    touch(
        folder.path(),
        &["a.heic", "b/c.HEIC", "d.avif", "e.cr2", "f.svg", "g.txt", "h", "heic", ".i.heic"],
    );
    let index = ImageIndex::scan(folder.path()).unwrap();
    assert_eq!(names(&index), read);
    let formats = [("avif", 1), ("cr2", 1), ("heic", 2), ("svg", 1)].into();
    assert_eq!(index.skipped(), Skipped { formats, ..Skipped::default() });
    read.iter().for_each(|name| fs::remove_file(folder.path().join(name)).unwrap());
    let message = ImageIndex::scan(folder.path()).unwrap_err().to_string();
    assert!(message.contains("2 .heic, 1 .svg (formats that are not read; convert them"), "{message}");
}

#[test]
fn a_list_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, b"\xef\xbb\xbfa.jpg\r\nb.jpg\nlatin\xe9.jpg\n").unwrap();
    let index = ImageIndex::scan(&list).unwrap();
    assert_eq!(names(&index), ["a.jpg", "b.jpg", "latin\u{fffd}.jpg"]);
    assert_eq!(index.place(2).file(), Some(&*folder.path().join(OsStr::from_bytes(b"latin\xe9.jpg"))));
}

#[test]
fn a_file_that_is_no_list_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = ImageIndex::scan(&path).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(name) && !message.chars().any(char::is_control), "{message}");
        message
    };
    for (name, bytes, words) in [
        ("p.zip", &b"PK\x03\x04\x14\0\0\0"[..], "a zip archive; unpack it"),
        ("p.h5", b"\x89HDF\r\n\x1a\n\0", "an HDF5 file; write its pictures to files"),
        ("p.parquet", b"PAR1\x15\0", "a Parquet file; write"),
        ("p.gz", b"\x1f\x8b\x08\0", "compressed by gzip; unpack it (gzip -d)"),
        ("photo", b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture; name a folder"),
        ("p.heic", b"\0\0\0\x18ftypheic\0", "an HEIC picture; name a folder"),
        ("film", b"\0\0\0\x18ftypisom\0", "film; write its frames"),
        ("print0", b"a.jpg\0b.jpg\0", "byte 5 is NUL"),
        ("wide.txt", b"\xff\xfea\0.\0j\0p\0g\0", "UTF-16 text; save it as UTF-8"),
    ] {
        let message = message(name, bytes);
        assert!(message.contains("not a list of pictures") && message.contains(words), "{message}");
    }
    let annotations = format!("{{\"images\": [{}]}}", "1,".repeat(4000));
    let message = message("annotations.json", annotations.as_bytes());
    assert!(message.contains("line 1 has 8014 bytes") && message.len() < 300, "{message}");
}

#[test]
fn names_do_not_act_where_they_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("red\u{1b}[31m");
    let odd =
        ["escape\u{1b}[31m.jpg", "line\nfeed.jpg", "return\rover.jpg", "turned\u{202e}.jpg", "\u{9b}1m.jpg"];
    touch(&root, &odd);
    let index = ImageIndex::scan(&root).unwrap();
    let acts = |letter: char| letter.is_control() || letter == '\u{202e}';
    for number in 0..index.len() {
        let place = index.place(number);
        assert!(!place.to_string().contains(acts), "{place}");
        assert_eq!(place.name(), place.file().unwrap().to_str().unwrap());
    }
    assert!(index.place(1).to_string().ends_with("line\\nfeed.jpg"), "{}", index.place(1));
    let error = ImageIndex::scan(&root.join(odd[1])).unwrap_err().to_string();
    assert!(!error.contains(acts), "{error}");
}

/// As root nothing is closed.
#[test]
fn folders_that_cannot_be_read_are_noted_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("disk");
    touch(&root, &["1.jpg", "a/2.jpg", "lost+found/3.jpg"]);
    let close = |closed: &Path, mode| fs::set_permissions(closed, Permissions::from_mode(mode)).unwrap();
    close(&root.join("lost+found"), 0o000);
    if fs::read_dir(root.join("lost+found")).is_ok() {
        eprintln!("SKIPPED: this user may read everything");
        return;
    }
    let index = ImageIndex::scan(&root).unwrap();
    assert_eq!(names(&index), ["1.jpg", "a/2.jpg"]);
    let skipped = index.skipped().to_string();
    assert!(
        skipped.contains("1 folder that cannot be read (") && skipped.contains("lost+found: "),
        "{skipped}"
    );
    let error = ImageIndex::scan(&root.join("lost+found")).unwrap_err();
    assert!(matches!(error, IndexError::Unreadable { .. }), "{error}");
    fs::remove_file(root.join("1.jpg")).unwrap();
    fs::remove_dir_all(root.join("a")).unwrap();
    let error = ImageIndex::scan(&root).unwrap_err().to_string();
    assert!(error.contains("no picture found") && error.contains("1 folder that cannot be read"), "{error}");
    close(&root.join("lost+found"), 0o755);
}
