//! Files and names as other people have them: text with marks, names that act or are no text, formats that are not read.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::program::{Finished, Place};

/// A data set of 4 pictures in a folder called `name`, and their number.
fn pictures(place: &Place, name: &OsStr) {
    let folder = place.path("").join(name);
    fs::create_dir(&folder).unwrap();
    for number in 0..4 {
        let picture = format!("{number:04}.jpg");
        fs::copy(place.pictures().join(&picture), folder.join(picture)).unwrap();
    }
}

fn json(finished: Finished) -> Value {
    serde_json::from_str(&finished.succeeded().stdout()).unwrap()
}

#[test]
fn what_is_left_out_is_counted_before_anything_is_done_with_the_rest() {
    let place = Place::new();
    for name in ["a.heic", "b.HEIC", "c.avif", "d.txt"] {
        fs::write(place.pictures().join(name), "bytes").unwrap();
    }
    fs::copy(place.pictures().join("0000.jpg"), place.pictures().join("e.jfif")).unwrap();
    let counted = "1 .avif, 2 .heic (formats that are not read; convert them to JPEG or PNG)";
    let root = place.pictures().display().to_string();
    place.run(&["data", "check", &root]).succeeded().prints(&["pictures         17 in", counted]);
    let findings = json(place.run(&["data", "check", &root, "--json"]));
    assert_eq!(findings["skipped"]["formats"], serde_json::json!({"avif": 1, "heic": 2}));
    place.pretrain("plan", &["--dry-run"]).succeeded().says(&["skipped     ", counted]);
    place.run(&["data", "pack", &root, "--out", "shards"]).succeeded().says(&[counted]);
}

/// As root nothing is closed.
#[test]
fn a_folder_that_may_not_be_read_does_not_end_the_work() {
    let place = Place::new();
    let closed = place.pictures().join("lost+found");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        eprintln!("SKIPPED: this user may read everything");
        return;
    }
    let root = place.pictures().display().to_string();
    place.run(&["data", "check", &root]).succeeded().prints(&["16 in", "1 folder that cannot be read"]);
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn names_do_not_act_on_the_terminal_and_are_whole_in_json() {
    let place = Place::new();
    let odd = ["escape\u{1b}[31m.jpg", "line\nfeed.jpg", "return\rover.jpg", "turned\u{202e}.jpg"];
    for name in odd {
        fs::write(place.pictures().join(name), "").unwrap();
    }
    let root = place.pictures().display().to_string();
    let said = place.run(&["data", "check", &root]).succeeded().stdout();
    assert!(said.contains("line\\nfeed.jpg") && !said.contains(['\u{1b}', '\r', '\u{202e}']), "{said}");
    let findings = json(place.run(&["data", "check", &root, "--json"]));
    let names = findings["unreadable"].as_array().unwrap().iter().map(|bad| bad["name"].as_str().unwrap());
    assert!(names.zip(odd).all(|(name, odd)| name == place.pictures().join(odd).to_str().unwrap()));
    place.pretrain("bad", &["train.duration=5 epochs", "data.max_bad_share=0.5"]).succeeded();
    let listed = fs::read_to_string(place.path("runs/bad/bad_files.txt")).unwrap();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(!listed.contains(['\u{1b}', '\r', '\u{202e}']), "{listed}");
    // The run of a folder has its name.
    let folder = "red\u{1b}[31m";
    pictures(&place, OsStr::new(folder));
    let planned = place.run(&["pretrain", folder, "--dry-run"]).succeeded();
    let (chosen, said) = (planned.stdout(), planned.stderr());
    assert!(chosen.contains("red_[31m") && !chosen.contains('\u{1b}'), "{chosen}");
    assert!(said.contains("pictures    4 in") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn folders_whose_names_are_no_text_are_named_readably() {
    let place = Place::new();
    let folder = OsStr::from_bytes(b"latin\xe9");
    pictures(&place, folder);
    let run = |more: &[&str]| {
        let mut command = place.command(&["data", "check"]);
        Finished::of(command.arg(folder).args(more).spawn().unwrap())
    };
    run(&[]).succeeded().prints(&["4 in latin\u{fffd}"]);
    assert_eq!(json(run(&["--json"]))["root"], "latin\u{fffd}");
    // Within such a folder a run is made, resumed and looked at.
    let inside = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        Finished::of(command.current_dir(place.path("").join(folder)).spawn().unwrap())
    };
    fs::create_dir(place.path("").join(folder).join("in")).unwrap();
    for number in 0..4 {
        let name = format!("{number:04}.jpg");
        let inside = place.path("").join(folder);
        fs::rename(inside.join(&name), inside.join("in").join(name)).unwrap();
    }
    let instant = place.instant("odd", &["data.root=in"]);
    let instant: Vec<_> = instant.iter().map(String::as_str).collect();
    inside(&instant).succeeded();
    inside(&["pretrain", "runs/odd", "--resume"]).succeeded().says(&["finished"]);
    assert_eq!(json(inside(&["inspect", "runs/odd", "--json"]))["step"], 6);
}

#[test]
fn text_may_begin_with_a_byte_order_mark_and_what_is_no_text_is_named() {
    let place = Place::new();
    let root = format!("data.root={}", place.pictures().display());
    fs::write(place.path("marked.toml"), "\u{feff}[train]\nbatch_size = 4\n").unwrap();
    place.run(&["pretrain", "marked.toml", &root, "--dry-run"]).succeeded().prints(&["batch_size = 4"]);
    let list =
        "\u{feff}task = \"pretrain\"\nrecipe = \"folder_r18\"\n[[variant]]\nname = \"only\"\nsettings = []\n";
    fs::write(place.path("list.toml"), list).unwrap();
    place.run(&["ablate", "list.toml", &root, "--dry-run"]).succeeded().prints(&["runs/list/only_s1"]);
    for (name, bytes, words) in [
        ("wide.toml", &b"\xff\xfe[\0t\0]\0"[..], "UTF-16 text; save it as UTF-8"),
        ("weights.toml", b"PK\x03\x04\0\0\0\0", "a zip archive"),
        ("latin.toml", b"[run]\nname = 'caf\xe9'\n", "line 2 is not UTF-8"),
    ] {
        fs::write(place.path(name), bytes).unwrap();
        place.run(&["pretrain", name, &root]).exited(2).says(&[name, "is not a recipe", words]);
        place.run(&["ablate", name, &root]).exited(2).says(&[name, "is not a list of variants", words]);
    }
    fs::write(place.path("set.zip"), b"PK\x03\x04\0\0\0\0").unwrap();
    place
        .run(&["data", "check", "set.zip"])
        .exited(3)
        .says(&["set.zip is not a list", "a zip archive; unpack"]);
    place.pretrain("zip", &["data.root=set.zip"]).exited(3).says(&["a zip archive; unpack it"]);
}
