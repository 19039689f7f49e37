//! What the index finds and how it says that there is nothing to find.

use std::fs;
use std::path::Path;

use densesiam_data::index::{ImageIndex, IndexError};

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
