//! Shards go both ways between this program and the webdataset package of Python.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use densesiam_data::index::{ImageIndex, Place};

use crate::interop::python;
use crate::program::Place as Folder;

/// What coreutils say of a file's content, which Python's hashlib says too.
fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn webdataset_reads_packed_shards() {
    let place = Folder::new();
    let long = format!("{}/日本語.jpg", "folder".repeat(40));
    for (number, name) in ["a.jpg", "a.png", "b.c.jpg", "d.e/a.jpg", "__m__/ü.JPG", &*long].iter().enumerate()
    {
        let path = place.path("mine").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(place.pictures().join(format!("{number:04}.jpg")), path).unwrap();
    }
    let arguments = ["data", "pack", "mine", "--out", "shards", "--pictures-per-shard", "4"];
    place.run(&arguments).succeeded().prints(&["mine-{000000..000001}.tar", "6 pictures"]);
    let Some(lines) = python("webdataset_read", &[&place.path("shards/mine-{000000..000001}.tar")]) else {
        return;
    };
    let read: BTreeMap<String, (String, String)> = lines
        .lines()
        .map(|line| {
            let sample: serde_json::Value = serde_json::from_str(line).unwrap();
            let parts = sample["parts"].as_object().unwrap();
            let (extension, hash) = parts.iter().next().unwrap();
            assert_eq!(parts.len(), 1, "{line}");
            (sample["key"].as_str().unwrap().into(), (extension.clone(), hash.as_str().unwrap().into()))
        })
        .collect();
    let long_key = long.trim_end_matches(".jpg");
    let expected = [
        ("a", "jpg", "a.jpg"),
        ("a_2", "png", "a.png"),
        ("b_c", "jpg", "b.c.jpg"),
        ("d_e/a", "jpg", "d.e/a.jpg"),
        ("x__m__/ü", "jpg", "__m__/ü.JPG"),
        (long_key, "jpg", &long),
    ]
    .map(|(key, extension, name)| (key.into(), (extension.into(), sha256(&place.path("mine").join(name)))));
    assert_eq!(read, BTreeMap::from(expected));
}

#[test]
fn shards_of_webdataset_are_read() {
    let place = Folder::new();
    fs::create_dir(place.path("few")).unwrap();
    fs::create_dir(place.path("shards")).unwrap();
    for number in 0..5 {
        let name = format!("{number:04}.jpg");
        fs::copy(place.pictures().join(&name), place.path("few").join(&name)).unwrap();
    }
    if python("webdataset_write", &[&place.path("few"), &place.path("shards")]).is_none() {
        return;
    }
    let long = format!("long/{}/003.jpg", "a".repeat(90));
    let longest = format!("{}/{}/004.jpg", "x".repeat(180), "b".repeat(120));
    let keys = ["000.jpg", "folder/001.jpg", "ümlaut 漢字/002.jpg", &long, &longest];
    let many = "shards/many-{000000..000002}.tar";
    let written = [
        ("shards/USTAR_FORMAT.tar", 4),
        ("shards/GNU_FORMAT.tar", 5),
        ("shards/PAX_FORMAT.tar", 5),
        (many, 5),
    ];
    for (shards, count) in written {
        let index = ImageIndex::scan(&place.path(shards)).unwrap();
        assert_eq!(index.len(), count, "{shards}");
        for (number, key) in keys.iter().take(count).enumerate() {
            let Place::Member(member) = index.place(number) else { panic!("no member") };
            assert_eq!(String::from_utf8_lossy(member.name()), *key, "{shards}");
            let mut bytes = Vec::new();
            index.place(number).read_into(&mut bytes).unwrap();
            assert!(
                bytes == fs::read(place.path(&format!("few/{number:04}.jpg"))).unwrap(),
                "{shards} {key}"
            );
        }
    }
    let root = format!("data.root={many}");
    place.pretrain("many", &[&root, "train.duration=2 steps"]).succeeded().says(&["5 in", "3 tar shards"]);
}
