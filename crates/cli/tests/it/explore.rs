//! The page of `densesiam explore`, asked as a browser asks it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};

use densesiam::embeddings::Embeddings;
use serde_json::Value;
use tch::Kind;

use crate::interop::python;
use crate::program::Place;

const SMALL: [&str; 3] = ["embed.size=64", "run.threads=1", "embed.batch_size=4"];

/// A page that is served.
struct Served {
    program: Child,
    port: u16,
}

impl Served {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let all = [&["explore"], arguments, &["--port", "0"], &SMALL].concat();
        let mut program = place.command(&all).stderr(std::process::Stdio::inherit()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        let port = address.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse();
        Self { program, port: port.unwrap_or_else(|_| panic!("{address:?} is no address")) }
    }

    /// Status line, headers and body of the answer.
    fn answer(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        (String::from_utf8_lossy(&bytes[..head]).into_owned(), bytes.split_off(head + 4))
    }

    fn get(&self, path: &str) -> (String, Vec<u8>) {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}", self.port))
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path);
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        serde_json::from_slice(&body).unwrap()
    }

    fn refuses(&self, request: &str, code: &str) {
        let (head, _) = self.answer(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{request}: {head}");
    }

    /// Ctrl-C is how it is ended, and no failure.
    fn end(mut self) {
        let asked = Command::new("kill").args(["-INT", &self.program.id().to_string()]).status();
        assert!(asked.unwrap().success());
        assert_eq!(self.program.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.program.kill();
    }
}

#[test]
fn a_point_is_found_again_where_its_cosine_is_largest() {
    let place = Place::new();
    place.pretrain("a", &["train.duration=2 steps"]).succeeded();
    let pictures = place.pictures();
    let pictures = pictures.to_str().unwrap();
    fs::write(place.pictures().join("0000-broken.png"), b"no picture").unwrap();
    // Without a folder the pictures are those of the run.
    let served = Served::start(&place, &["mine=runs/a", "--beside", "random", "--index", "index"]);
    let about = served.json("/about");
    assert_eq!((&about["pictures"], &about["encoders"][1]["name"]), (&17.into(), &"random".into()));
    assert_eq!(about["encoders"][0]["categories"], true);
    assert_eq!(about["encoders"][1]["categories"], false);
    let listed = served.json("/pictures?from=1&count=2&name=.JPG");
    assert_eq!((&listed["all"], listed["pictures"].as_array().unwrap().len()), (&16.into(), 2));

    // The same from the file of the patches.
    let out = ["embed", pictures, "--encoder", "runs/a", "--patches", "--out", "p.safetensors"];
    place.run(&[&out[..], &SMALL].concat()).succeeded();
    let patches = Embeddings::read(&place.path("p.safetensors")).unwrap().patches.to_kind(Kind::Double);
    let unit = &patches / patches.norm_scalaropt_dim(2, [1i64].as_slice(), true);
    let (sample, cell) = (5, [2, 1]);
    // Maps are of 2 x 3 cells; the first name is the picture that cannot be read.
    let cosines = unit.mv(&unit.get((sample - 1) * 6 + cell[1] * 3 + cell[0])).view([16, 6]);
    let like = served.json(&format!("/like?encoder=0&picture={sample}&x=0.9&y=0.7"));
    assert_eq!(like["cell"], serde_json::json!(cell));
    let map = like["map"].as_array().unwrap();
    for (found, cell) in map.iter().zip(0..) {
        assert!((found.as_f64().unwrap() - cosines.double_value(&[sample - 1, cell])).abs() < 2e-4);
    }
    let nearest = like["nearest"].as_array().unwrap();
    let (best, _) = cosines.max_dim(1, false);
    let mut order: Vec<(f64, i64)> = (0..16).map(|place| (best.double_value(&[place]), place + 1)).collect();
    order.retain(|&(_, picture)| picture != sample);
    order.sort_by(|one, other| other.0.total_cmp(&one.0));
    assert_eq!(nearest.len(), 15);
    for (found, (cosine, picture)) in nearest.iter().zip(order) {
        let told = found["cosine"].as_f64().unwrap();
        assert!((told - cosine).abs() < 2e-4, "{found} {picture}");
        let of_cell = found["cell"][1].as_i64().unwrap() * 3 + found["cell"][0].as_i64().unwrap();
        let place = found["picture"].as_i64().unwrap() - 1;
        assert!((cosines.double_value(&[place, of_cell]) - told).abs() < 2e-4, "{found}");
        assert!(found["name"].as_str().unwrap().ends_with(".jpg"));
    }

    let similar = served.json("/similar?encoder=1&picture=3");
    let cosines: Vec<f64> =
        similar["similar"].as_array().unwrap().iter().map(|one| one["cosine"].as_f64().unwrap()).collect();
    assert!(cosines.len() == 15 && cosines.is_sorted_by(|one, other| one >= other));
    assert_eq!(served.json("/colours?encoder=0&picture=3")["colours"].as_array().unwrap().len(), 6);
    let layer = served.json("/categories?encoder=0&picture=3");
    assert_eq!(layer["categories"].as_array().unwrap().len(), 9);
    let shares = layer["key"].as_array().unwrap().iter().map(|entry| entry["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-12);
    let (head, picture) = served.get("/picture?picture=3&side=32");
    assert!(head.contains("image/jpeg"));
    assert_eq!(image::load_from_memory(&picture).unwrap().height(), 32);
    served.end();

    // What was computed is there, for these weights and settings.
    let files = || {
        let files = fs::read_dir(place.path("index")).unwrap().map(|file| file.unwrap().path());
        files.map(|file| (file.metadata().unwrap().modified().unwrap(), file)).collect::<Vec<_>>()
    };
    let before = files();
    assert_eq!(before.len(), 2);
    Served::start(&place, &["mine=runs/a", pictures, "--index", "index"]).end();
    assert_eq!(files(), before);
    Served::start(&place, &["mine=runs/a", pictures, "--index", "index", "embed.stage=c4"]).end();
    assert_eq!(files().len(), 3);
    place.pretrain("a", &["train.duration=3 steps", "--overwrite"]).succeeded();
    Served::start(&place, &["mine=runs/a", pictures, "--index", "index"]).end();
    assert_eq!(files().len(), 4);
    // One that is damaged is written again.
    let damaged = &before[0].1;
    let bytes = fs::read(damaged).unwrap();
    fs::write(damaged, &bytes[..bytes.len() - 8]).unwrap();
    Served::start(&place, &["random", pictures, "--index", "index"]).end();
    Served::start(&place, &["mine=runs/a", pictures, "--index", "index"]).end();
    assert_eq!(files().len(), 4);
}

#[test]
fn only_this_machine_is_answered_and_only_pictures_are_shown() {
    let place = Place::new();
    let pictures = place.pictures();
    let served = Served::start(&place, &["random", pictures.to_str().unwrap(), "--index", "index"]);
    let listening = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{:04X}", served.port);
    let local: Vec<&str> = listening
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1).filter(|address| address.ends_with(&port)))
        .collect();
    assert!(listening.is_empty() || !local.is_empty());
    assert!(local.iter().all(|address| address.starts_with("0100007F")), "{local:?}");
    assert!(!fs::read_to_string("/proc/net/tcp6").unwrap_or_default().contains(&port));

    let get = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}");
    served.refuses(&get("/about", "evil.example"), "403");
    served.refuses(&get("/about", &format!("evil.example:{}", served.port)), "403");
    served.refuses("GET /about HTTP/1.1", "403");
    served.refuses(&get("/about", "localhost\r\nSec-Fetch-Site: cross-site"), "403");
    served.refuses("POST /about HTTP/1.1\r\nHost: localhost", "405");
    for path in [
        "/etc/passwd",
        "/../../etc/passwd",
        "/picture?picture=99&side=64",
        "/like?encoder=0&picture=99&x=0&y=0",
        "/like?encoder=7&picture=0&x=0&y=0",
        "/like?encoder=0&picture=0&x=2&y=0",
        "/like?encoder=0&picture=0&x=NaN&y=0",
        "/colours?encoder=0&picture=18446744073709551615",
        "/categories?encoder=0&picture=0",
    ] {
        served.refuses(&get(path, "localhost"), "404");
    }
    for path in ["/picture?picture=../../etc/passwd&side=64", "/similar?encoder=-1&picture=1", "/like"] {
        served.refuses(&get(path, "localhost"), "400");
    }
    let (head, page) = served.get("/");
    assert!(
        head.contains("content-security-policy: default-src 'none'") && page.starts_with(b"<!doctype html>")
    );
    for (file, text) in [("/page.css", "--paper"), ("/page.js", "'use strict'")] {
        let (head, body) = served.get(file);
        assert!(head.starts_with("HTTP/1.1 200") && String::from_utf8_lossy(&body).contains(text), "{file}");
        assert!(!String::from_utf8_lossy(&body).contains("http"), "{file} names another address");
    }
    let taken = served.port.to_string();
    place
        .run(&["explore", "random", pictures.to_str().unwrap(), "--port", &taken])
        .exited(2)
        .says(&["cannot be used", "--port 0"]);
    served.end();
    let misplaced =
        ["explore", "random", pictures.to_str().unwrap(), "--beside", "embed.size=32", "--port", "0"];
    place.run(&misplaced).exited(2).says(&["embed.size=32 is a setting"]);
    place.run(&["explore", "random"]).exited(2).says(&["name the pictures"]);
    place.run(&["explore", "random", "nowhere", "--port", "0"]).exited(3);
}

/// In a real browser, where there is one: `make interop` fetches what drives it.
#[test]
fn interop_the_page_works_by_mouse_and_by_keyboard_at_both_widths() {
    let place = Place::new();
    place.pretrain("a", &["train.duration=2 steps"]).succeeded();
    let pictures = place.pictures();
    let served = Served::start(&place, &["mine=runs/a", "--beside", "random", "--index", "index"]);
    let address = format!("http://127.0.0.1:{}/", served.port);
    let run = place.path("runs/a");
    python("explore", &[address.as_ref(), &pictures, &run]);
    served.end();
}
