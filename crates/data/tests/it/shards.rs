//! Tar shards: what counts as a picture, where its bytes are, and what happens to archives that are wrong.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::index::{ImageIndex, IndexError, Place, Skipped};
use densesiam_data::labelled::{LabelledSet, training_pictures};
use densesiam_data::loader::{Loader, LoaderSettings};
use densesiam_data::pack::{PackSettings, Packed, ShardLimit, ShardWriter, extension, keys};
use densesiam_data::survey::Survey;
use densesiam_data::views::random::RandomViews;
use tar::{EntryType, Header};
use tempfile::TempDir;

const BLOCK: usize = 512;

/// A member's header with a right checksum.
fn header(name: &[u8], size: u64, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    header
}

/// A header and its content, filled up to whole blocks.
fn member(name: &str, kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name.as_bytes(), content.len() as u64, kind).as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name, EntryType::Regular, content)
}

/// The members and the zeros that end an archive.
fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

struct Shards(TempDir);

impl Shards {
    fn new(shards: &[(&str, Vec<u8>)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        shards.iter().for_each(|(name, bytes)| folder.write(name, bytes));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn scan(&self, name: &str) -> Result<ImageIndex, IndexError> {
        ImageIndex::scan(&self.path(name))
    }

    /// What is said of a shard of these bytes.
    fn refused(bytes: &[u8]) -> String {
        let shards = Self::new(&[("s.tar", bytes.to_vec())]);
        let message = shards.scan("s.tar").unwrap_err().to_string();
        assert!(message.contains("s.tar"), "{message}");
        message
    }
}

fn names(index: &ImageIndex) -> Vec<String> {
    let name = |i| match index.place(i) {
        Place::Member(member) => String::from_utf8_lossy(member.name()).into_owned(),
        Place::File(path) => panic!("{} is a file", path.display()),
    };
    (0..index.len()).map(name).collect()
}

fn read(index: &ImageIndex, number: usize) -> Vec<u8> {
    let mut bytes = vec![7; 1000];
    index.place(number).read_into(&mut bytes).unwrap();
    bytes
}

#[test]
fn pictures_are_the_members_that_readers_of_webdataset_take_for_pictures() {
    let shards = Shards::new(&[(
        "s.tar",
        archive(&[
            member("x/", EntryType::Directory, b""),
            file("x/1.jpg", b"one"),
            file("x/1.cls", b"5"),
            file("x/1.seg.png", b"mask"),
            file("x/1.json", &[b' '; 700]),
            file("./2.PNG", b"two"),
            file("._2.png", b"a Macintosh's"),
            file("__meta__/a.jpg", b"meta"),
            file("3.jpg.txt", b"text"),
            member("4.webp", EntryType::Continuous, b"four"),
        ]),
    )]);
    let index = shards.scan("s.tar").unwrap();
    assert_eq!(index.skipped(), Skipped { parts_of_samples: 1, ..Skipped::default() });
    assert_eq!(names(&index), ["x/1.jpg", "./2.PNG", "4.webp"]);
    assert_eq!([0, 1, 2].map(|i| read(&index, i)), [&b"one"[..], b"two", b"four"]);
    assert_eq!(index.place(0).to_string(), format!("{}:x/1.jpg", shards.path("s.tar").display()));
    assert_eq!((index.shards(), index.place(0).file()), (1, None));
}

/// Folders whose names have dots, packed by tar itself.
#[test]
fn members_with_dotted_names_are_pictures_and_other_formats_are_counted() {
    let first = ["a.b.jpg", "IMG.2020.01.JPG", "IMG.2020.02.JPG", "c.heic", "d.1.avif", "e.seg.png", "e.cls"];
    let second = ["x/e.jpg", "x/e.depth.png", "x/.f.g.jpg", "__meta__/a.b.jpg", "f.b.jfif", "g.b.txt"];
    let shard = |members: &[&str]| archive(&members.iter().map(|name| file(name, b"")).collect::<Vec<_>>());
    let shards = Shards::new(&[("d/0.tar", shard(&first)), ("d/1.tar", shard(&second))]);
    let index = shards.scan("d").unwrap();
    assert_eq!(
        names(&index),
        ["a.b.jpg", "IMG.2020.01.JPG", "IMG.2020.02.JPG", "e.seg.png", "x/e.jpg", "f.b.jfif"]
    );
    assert_eq!(index.place(5).to_string(), format!("{}:f.b.jfif", shards.path("d/1.tar").display()));
    let formats = [("avif", 1), ("heic", 1)].into();
    assert_eq!(index.skipped(), Skipped { formats, parts_of_samples: 1, ..Skipped::default() });
    shards.write("none.tar", &shard(&["a.heic", "b.HEIC"]));
    let message = shards.scan("none.tar").unwrap_err().to_string();
    assert!(message.contains("there are 2 .heic (formats that are not read"), "{message}");
}

#[test]
fn a_folder_a_pattern_and_a_file_name_the_same_shards_in_order() {
    let one = |name: &str, bytes: &[u8]| archive(&[file(name, bytes)]);
    let shards = Shards::new(&[
        ("d/c-01.tar", one("b.jpg", b"b")),
        ("d/c-00.tar", one("z.jpg", b"z")),
        ("d/c-02.tar", one("a.jpg", b"a")),
        ("d/.hidden.tar", one("h.jpg", b"h")),
        ("d/notes.txt", b"text".to_vec()),
    ]);
    let folder = shards.scan("d").unwrap();
    assert_eq!((names(&folder), folder.shards()), (vec!["z.jpg".into(), "b.jpg".into(), "a.jpg".into()], 3));
    assert_eq!([0, 1, 2].map(|i| read(&folder, i)), [b"z", b"b", b"a"]);
    assert_eq!(folder.relative_path(1), Path::new("c-01/b.jpg"));
    let pattern = shards.scan("d/c-{00..02}.tar").unwrap();
    assert_eq!((pattern.fingerprint(), pattern.root()), (folder.fingerprint(), folder.root()));
    let two = shards.scan("d/c-{00..01}.tar").unwrap();
    assert_ne!(two.fingerprint(), folder.fingerprint());
    assert_eq!(names(&shards.scan("d/c-02.tar").unwrap()), ["a.jpg"]);
    let parts = shards.scan("{d,d}/c-0{0,2}.tar").unwrap();
    assert_eq!(names(&parts), ["z.jpg", "a.jpg", "z.jpg", "a.jpg"]);
    assert_eq!(parts.place(0).to_string(), format!("{}:z.jpg", shards.path("d/c-00.tar").display()));
}

#[test]
fn labelled_pictures_are_files() {
    let root =
        Shards::new(&[("val/images/s.tar", archive(&[file("a.jpg", b"a")])), ("val/labels/a.png", vec![])]);
    root.write("classes.txt", b"ground\n");
    let message = LabelledSet::open(root.0.path(), None, "val", None).unwrap_err().to_string();
    assert!(message.contains("s.tar:a.jpg") && message.contains("unpack"), "{message}");
    assert_eq!(training_pictures(root.0.path(), None, "val").unwrap().len(), 1);
}

#[test]
fn what_is_no_set_of_shards_is_said_clearly() {
    let good = archive(&[file("a.jpg", b"a")]);
    let shards = Shards::new(&[
        ("mixed/a.tar", good.clone()),
        ("mixed/b/1.jpg", b"picture".to_vec()),
        ("zipped/a.tar.gz", b"\x1f\x8b".to_vec()),
        ("some/a.tar", good.clone()),
        ("some/b.tgz", b"\x1f\x8b".to_vec()),
        ("kept/1.jpg", b"picture".to_vec()),
        ("kept/backup.tar.gz", b"\x1f\x8b".to_vec()),
        ("gzip.tar", b"\x1f\x8b\x08rest".to_vec()),
        ("zstd.tar", b"\x28\xb5\x2f\xfdrest".to_vec()),
        ("text.tar", archive(&[file("a.txt", b"text")])),
        ("plain.tar.gz", good),
    ]);
    for (name, words) in [
        ("mixed", &["b/1.jpg", "a.tar", "pattern"][..]),
        ("zipped", &["a.tar.gz", "compressed (gzip)", "unpack"]),
        ("some", &["b.tgz", "compressed"]),
        ("gzip.tar", &["gzip.tar", "gzip -d"]),
        ("zstd.tar", &["zstd.tar", "zstd -d"]),
        ("text.tar", &["no picture", "1 tar shards", ".jpg"]),
        ("a-{0..3}.tar", &["a-0.tar does not exist", "a-{0..3}.tar"]),
        ("a-{0..9999999}.tar", &["more than 1000000 shards"]),
        ("missing.tar", &["does not exist", "data.root"]),
    ] {
        let message = shards.scan(name).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(message.contains(word), "{word} is not in {message}"));
    }
    assert_eq!(shards.scan("kept").unwrap().len(), 1, "an archive beside pictures is left alone");
    assert_eq!(shards.scan("plain.tar.gz").unwrap().len(), 1, "the content decides");
}

#[test]
fn long_and_odd_names_are_read_from_gnu_and_pax_headers() {
    let long = format!("{}/ü.jpg", "folder/".repeat(40));
    let gnu = [member("././@LongLink", EntryType::GNULongName, format!("{long}\0").as_bytes())].concat();
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let length = (rest.len()..).find(|n| n.to_string().len() + rest.len() == *n).unwrap();
        format!("{length}{rest}")
    };
    let pax = record("path", &format!("p/{long}")) + &record("mtime", "1.5");
    // PAX sizes stand over those of headers, which may be wrong where a file is large.
    let sized = record("size", "3");
    let mut oversized = header(b"s.jpg", 0, EntryType::Regular).as_bytes().to_vec();
    oversized.extend_from_slice(b"xyz");
    oversized.resize(2 * BLOCK, 0);
    let shards = Shards::new(&[(
        "s.tar",
        archive(&[
            member("g", EntryType::XGlobalHeader, record("comment", "a commit").as_bytes()),
            gnu,
            file("cut", b"gnu"),
            member("p", EntryType::XHeader, pax.as_bytes()),
            file("cut", b"pax"),
            member("p", EntryType::XHeader, sized.as_bytes()),
            oversized,
            file("\u{1b}[2J\n.jpg", b"escape"),
        ]),
    )]);
    let index = shards.scan("s.tar").unwrap();
    assert_eq!(names(&index), [long.clone(), format!("p/{long}"), "s.jpg".into(), "\u{1b}[2J\n.jpg".into()]);
    assert_eq!([0, 1, 2, 3].map(|i| read(&index, i)), [&b"gnu"[..], b"pax", b"xyz", b"escape"]);
    let named = format!("{}:p/{long}", shards.path("s.tar").display());
    let single = ImageIndex::single(Path::new(&named)).unwrap();
    assert_eq!(
        (single.len(), read(&single, 0), single.place(0).to_string()),
        (1, b"pax".to_vec(), named.clone())
    );
    assert!(matches!(ImageIndex::single(Path::new(&(named + "x"))), Err(IndexError::MissingPicture { .. })));
    assert!(index.place(3).to_string().ends_with(r":\u{1b}[2J\n.jpg"), "{}", index.place(3));
}

#[test]
fn names_that_lead_out_are_names_alone() {
    let members = ["../../etc/a.jpg", "/b.jpg", "x/../c.jpg"].map(|name| file(name, name.as_bytes()));
    let shards = Shards::new(&[("s.tar", archive(&members))]);
    let index = shards.scan("s.tar").unwrap();
    assert_eq!(read(&index, 0), b"../../etc/a.jpg");
    let paths = [0, 1, 2].map(|i| index.relative_path(i).into_owned());
    assert_eq!(paths.map(|path| path.display().to_string()), ["s/etc/a.jpg", "s/b.jpg", "s/x/c.jpg"]);
    assert_eq!(keys(&index), ["etc/a", "b", "x/c"]);
}

#[test]
fn links_are_counted_and_passed_over_and_equal_names_are_pictures_each() {
    let mut link = header(b"l.jpg", 0, EntryType::Symlink);
    link.set_link_name("/etc/passwd").unwrap();
    link.set_cksum();
    let shards = Shards::new(&[(
        "s.tar",
        archive(&[
            file("a.jpg", b"first"),
            link.as_bytes().to_vec(),
            member("h.png", EntryType::Link, b""),
            member("l.txt", EntryType::Symlink, b""),
            file("a.jpg", b"second"),
            file("empty.jpg", b""),
        ]),
    )]);
    let index = shards.scan("s.tar").unwrap();
    assert_eq!(
        (names(&index), index.skipped().links),
        (vec!["a.jpg".into(), "a.jpg".into(), "empty.jpg".into()], 2)
    );
    assert_eq!([0, 1, 2].map(|i| read(&index, i)), [&b"first"[..], b"second", b""]);
    assert!(index.place(0) == index.place(0) && index.place(0) != index.place(1));
    let survey = Survey::of_range(&index, 0..3, &DecodeLimits::default(), 2);
    assert_eq!(
        survey.unreadable.iter().map(|bad| bad.kind).collect::<Vec<_>>(),
        ["not a picture", "not a picture", "empty"]
    );
    assert_eq!((survey.looked_at, survey.bytes, survey.unreadable[2].sample), (3, 11, 2));
}

#[test]
fn archives_that_are_cut_name_the_byte() {
    let whole = archive(&[file("a.jpg", &[1; 700]), file("b.jpg", &[2; 700])]);
    let second = 3 * BLOCK;
    for (length, words) in [
        (0, "at byte 0, it ends"),
        (100, "at byte 0, "),
        (BLOCK + 300, "at byte 0, a.jpg of 700 bytes"),
        // The content is whole and its padding is cut: nothing follows, which no archive ends in.
        (BLOCK + 700, "at byte 1536, it ends"),
        (second, "at byte 1536, it ends"),
        (second + 10, "at byte 1536, "),
        (second + BLOCK + 699, "at byte 1536, b.jpg of 700 bytes"),
        (2 * second, "at byte 3072, it ends"),
    ] {
        let message = Shards::refused(&whole[..length]);
        assert!(message.contains(words), "{length}: {message}");
    }
    let shards = Shards::new(&[("s.tar", whole[..2 * second + BLOCK].to_vec())]);
    assert_eq!(shards.scan("s.tar").unwrap().len(), 2, "one block of zeros is an end");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let sized = |field: &[u8; 12]| {
        let mut header = header(b"a.jpg", 0, EntryType::Regular);
        header.as_old_mut().size = *field;
        header.set_cksum();
        archive(&[header.as_bytes().to_vec()])
    };
    for field in [
        b"77777777777\0",
        b"-0000000001\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\0",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
        b"not a number",
    ] {
        let message = Shards::refused(&sized(field));
        assert!(message.contains("at byte 0") || message.contains("cannot read"), "{field:?}: {message}");
    }
    for value in ["18446744073709551615", "9223372036854775807", "5000"] {
        let record = format!("{} size={value}\n", value.len() + 9);
        let members = [member("p", EntryType::XHeader, record.as_bytes()), file("a.jpg", b"a")];
        let message = Shards::refused(&archive(&members));
        assert!(message.contains("at byte 0"), "{value}: {message}");
    }
}

#[test]
fn rubbish_is_refused_whatever_it_is() {
    let whole = archive(&[file("a.jpg", &[1; 700])]);
    let mut spoilt = whole.clone();
    spoilt[5] ^= 1;
    assert!(Shards::refused(&spoilt).contains("checksum"));
    assert!(Shards::refused(b"<html>not found</html>").contains("at byte 0"));
    for byte in 0..BLOCK {
        let mut spoilt = whole.clone();
        spoilt[byte] = spoilt[byte].wrapping_add(0x55);
        let shards = Shards::new(&[("s.tar", spoilt)]);
        assert!(shards.scan("s.tar").is_err(), "byte {byte}");
    }
}

#[test]
fn what_announces_the_next_member_takes_little_memory_whatever_it_claims() {
    const HOLLOW: u64 = 4 << 30;
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let shards = Shards::new(&[("s.tar", header(b"x", HOLLOW, kind).as_bytes().to_vec())]);
        // The file is as long as it says, and takes no room on the disk.
        File::options().write(true).open(shards.path("s.tar")).unwrap().set_len(HOLLOW + 4096).unwrap();
        let message = shards.scan("s.tar").unwrap_err().to_string();
        assert!(message.contains("more than 1048576 bytes"), "{message}");
    }
    let bare = header(b"x", HOLLOW, EntryType::GNULongName).as_bytes().to_vec();
    Shards::refused(&archive(&[bare]));
    let twice = [0, 1].map(|_| member("x", EntryType::XHeader, b"11 uid=1000\n"));
    assert!(Shards::refused(&archive(&twice)).contains("two pax"));
}

#[test]
fn many_members_without_content_are_no_endless_header() {
    let mut members: Vec<_> = (0..5000).map(|i| file(&format!("{i}.txt"), b"")).collect();
    members.push(file("a.jpg", b"a"));
    let shards = Shards::new(&[("s.tar", archive(&members))]);
    assert_eq!(shards.scan("s.tar").unwrap().len(), 1);
}

#[test]
fn sparse_files_are_refused_by_name() {
    let mut old = header(b"a.jpg", 512, EntryType::GNUSparse);
    let gnu = old.as_gnu_mut().unwrap();
    gnu.set_real_size(4096 + 512);
    gnu.sparse[0].set_offset(4096);
    gnu.sparse[0].set_length(512);
    old.set_cksum();
    let content = vec![1; 512];
    let message = Shards::refused(&archive(&[old.as_bytes().to_vec(), content]));
    assert!(message.contains("a.jpg as a sparse file"), "{message}");
    let records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n";
    let members = [member("p", EntryType::XHeader, records), file("b.jpg", &[b'0'; 600])];
    let message = Shards::refused(&archive(&members));
    assert!(message.contains("b.jpg as a sparse file"), "{message}");
}

#[test]
fn a_picture_of_more_than_a_gigabyte_takes_no_memory() {
    let size = (1 << 30) + 1;
    let shards = Shards::new(&[("s.tar", header(b"a.jpg", size, EntryType::Regular).as_bytes().to_vec())]);
    File::options().write(true).open(shards.path("s.tar")).unwrap().set_len(size + 4096).unwrap();
    let index = shards.scan("s.tar").unwrap();
    let mut bytes = Vec::new();
    let error = index.place(0).read_into(&mut bytes).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    assert_eq!(bytes.capacity(), 0);
}

#[test]
fn a_shard_that_vanishes_shrinks_or_changes_makes_its_pictures_unreadable() {
    let bytes = archive(&[file("a.jpg", &[1; 700]), file("b.jpg", &[2; 700])]);
    let names = ["gone.tar", "cut.tar", "other.tar", "open.tar"];
    let shards = Shards::new(&names.map(|name| (name, bytes.clone())));
    let [gone, cut, other, open] = names.map(|name| shards.scan(name).unwrap());
    assert_eq!(read(&open, 0), [1; 700]);
    fs::remove_file(shards.path("gone.tar")).unwrap();
    shards.write("cut.tar", &bytes[..2000]);
    shards.write("other.tar", &[&bytes[..], &[0; 512]].concat());
    File::options().write(true).open(shards.path("open.tar")).unwrap().set_len(2000).unwrap();
    for (index, words) in [
        (&gone, "No such file"),
        (&cut, "not the file that was indexed"),
        (&other, "indexed"),
        (&open, "ends before"),
    ] {
        let survey = Survey::of_range(index, 1..2, &DecodeLimits::default(), 1);
        let bad = &survey.unreadable[0];
        assert_eq!((bad.sample, bad.kind), (1, "cannot be read"));
        assert!(bad.why.contains(words), "{}", bad.why);
    }
    assert_eq!(read(&open, 0), [1; 700], "what is still there is still read");
}

#[test]
fn more_shards_than_may_stay_open_are_read_by_all_threads() {
    let shards = Shards::new(&[]);
    for i in 0..300 {
        shards.write(&format!("{i:03}.tar"), &archive(&[file("a.jpg", &[i as u8; 600])]));
    }
    let index = ImageIndex::scan(shards.0.path()).unwrap();
    std::thread::scope(|scope| {
        for start in 0..8 {
            let index = &index;
            scope.spawn(move || {
                for i in (0..900).map(|i| (i * 7 + start * 37) % 300) {
                    assert_eq!(read(index, i), [i as u8; 600]);
                }
            });
        }
    });
    let held = fs::read_dir("/proc/self/fd").map_or(0, |held| {
        let target = |fd: fs::DirEntry| fs::read_link(fd.path()).unwrap_or_default();
        held.flatten().map(target).filter(|target| target.starts_with(shards.0.path())).count()
    });
    assert!(held <= 128, "{held} shards are open");
}

/// The pictures of a folder packed with a command's defaults.
fn pack(index: &ImageIndex, folder: &Path, limit: ShardLimit, order: impl Iterator<Item = usize>) -> Packed {
    let settings = PackSettings { folder: folder.into(), name: "s".into(), limit, overwrite: false };
    let mut writer = ShardWriter::new(settings).unwrap();
    let keys = keys(index);
    for i in order {
        let bytes = {
            let mut bytes = Vec::new();
            index.place(i).read_into(&mut bytes).unwrap();
            bytes
        };
        let extension = extension(&index.relative_path(i), &bytes).unwrap();
        writer.append(&keys[i], extension, &bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn loose() -> Shards {
    let folder = Shards::new(&[]);
    let long = format!("deep/{}/a.jpg", "x".repeat(150));
    for (name, length) in [
        ("a.jpg", 600),
        ("a.png", 10),
        ("a.webp", 20),
        ("b.c.jpg", 512),
        ("b_c.JPG", 0),
        ("cats.v2/a.jpg", 1),
        (&*long, 700),
    ] {
        folder.write(name, &vec![name.len() as u8; length]);
    }
    folder
}

#[test]
fn packed_pictures_have_their_bytes_order_and_a_key_each() {
    let (folder, out) = (loose(), tempfile::tempdir().unwrap());
    let before = ImageIndex::scan(folder.0.path()).unwrap();
    let packed = pack(&before, out.path(), ShardLimit::Pictures(4), 0..before.len());
    assert_eq!((packed.shards.len(), packed.pictures), (2, 7));
    assert_eq!(packed.bytes, contents(out.path()).iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    let after = ImageIndex::scan(out.path()).unwrap();
    let long = format!("deep/{}/a.jpg", "x".repeat(150));
    assert_eq!(
        names(&after),
        ["a.jpg", "a_2.png", "a_3.webp", "b_c.jpg", "b_c_2.jpg", "cats_v2/a.jpg", &long]
    );
    for i in 0..before.len() {
        assert_eq!(read(&before, i), read(&after, i), "{}", before.place(i));
    }
}

#[test]
fn two_packs_are_equal_and_packing_shards_again_changes_nothing() {
    let (folder, out) = (loose(), Shards::new(&[]));
    let index = ImageIndex::scan(folder.0.path()).unwrap();
    let limit = ShardLimit::Bytes(4096);
    pack(&index, &out.path("one"), limit, 0..index.len());
    pack(&index, &out.path("two"), limit, 0..index.len());
    let packed = out.scan("one").unwrap();
    pack(&packed, &out.path("three"), limit, 0..index.len());
    let one = contents(&out.path("one"));
    assert_eq!(one, contents(&out.path("two")));
    assert_eq!(one, contents(&out.path("three")));
    assert!(one.len() > 1 && one.iter().all(|(_, bytes)| bytes.len() <= 4096));
    let shuffled = pack(&index, &out.path("four"), limit, [4, 1, 6, 0, 2, 5, 3].into_iter());
    assert_eq!(shuffled.pictures, 7);
    let shuffled = out.scan("four").unwrap();
    assert_eq!(read(&shuffled, 0), read(&index, 4));
    assert_eq!(names(&shuffled)[0], "b_c_2.jpg", "a key is the picture's, in whatever order it is written");
}

#[test]
fn a_pack_is_complete_or_absent() {
    let out = tempfile::tempdir().unwrap();
    let settings = |overwrite, limit| PackSettings {
        folder: out.path().into(),
        name: "s".into(),
        limit: ShardLimit::Pictures(limit),
        overwrite,
    };
    let begun = |overwrite, limit| {
        let mut writer = ShardWriter::new(settings(overwrite, limit)).unwrap();
        (0..4).for_each(|i| writer.append(&i.to_string(), "jpg", b"bytes").unwrap());
        writer
    };
    let listed = || contents(out.path()).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let writer = begun(false, 1);
    assert!(listed().iter().all(|name| name.ends_with(".partial")), "nothing half done has its name");
    drop(writer);
    assert_eq!(listed(), [""; 0]);
    // An earlier pack was killed, and had more shards.
    File::create(out.path().join("s-000009.tar.partial")).unwrap().write_all(b"half").unwrap();
    fs::write(out.path().join("s-train-000000.tar"), b"another name").unwrap();
    begun(false, 1).finish().unwrap();
    assert_eq!(listed().len(), 5);
    let message = ShardWriter::new(settings(false, 2)).err().unwrap().to_string();
    assert!(message.contains("s-000000.tar exists") && message.contains("--overwrite"), "{message}");
    begun(true, 2).finish().unwrap();
    assert_eq!(listed(), ["s-000000.tar", "s-000001.tar", "s-train-000000.tar"], "no old shard is left over");
    assert!(ShardWriter::new(settings(true, 2)).unwrap().finish().is_err(), "nothing replaces something");
    assert_eq!(listed().len(), 3);
    let name = "a/b".to_owned();
    assert!(ShardWriter::new(PackSettings { name, ..settings(true, 1) }).is_err());
}

#[test]
fn batches_over_shards_equal_those_over_the_folder_they_were_packed_from() {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path(), &DemoSettings { train: 13, val: 0, width: 48, height: 36, seed: 9 }).unwrap();
    let loose = ImageIndex::scan(&folder.path().join("train/images")).unwrap();
    fs::write(loose.place(4).file().unwrap(), b"no picture").unwrap();
    let out = folder.path().join("shards");
    pack(&loose, &out, ShardLimit::Pictures(5), 0..loose.len());
    let shards = ImageIndex::scan(&out).unwrap();
    let batches = |index: ImageIndex, workers| {
        let augmentation = RandomViews { size: 24, ..RandomViews::default() };
        let settings = LoaderSettings {
            augmentation,
            batch_size: 4,
            workers,
            total_steps: 9,
            ..LoaderSettings::default()
        };
        let mut loader = Loader::new(Arc::new(index), settings).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| loader.next().unwrap()).collect();
        (all, loader.bad_files())
    };
    let (over_files, over_shards) = (batches(loose, 1), batches(shards, 3));
    assert!(over_files == over_shards);
    assert_eq!(over_files.1.len(), 1);
}
