//! Features of pictures as files, whatever the format.

use std::fs;

use densesiam::embeddings::Embeddings;
use densesiam::encoder::Encoder;
use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::checkpoint::read_safetensors;
use tch::{Device, Kind, Tensor};

use crate::interop::python;
use crate::program::Place;

const SMALL: [&str; 3] = ["embed.size=64", "run.threads=1", "embed.batch_size=3"];

/// Writes embeddings of the pictures and one file that is no picture.
fn embed(place: &Place, out: &str, more: &[&str]) -> crate::program::Finished {
    fs::write(place.pictures().join("0000-broken.png"), b"no picture").unwrap();
    let pictures = place.pictures();
    let mut arguments = vec!["embed", pictures.to_str().unwrap(), "--encoder", "runs/a", "--out", out];
    arguments.extend(SMALL.iter().chain(more));
    place.run(&arguments)
}

fn tensor(place: &Place, file: &str, name: &str) -> Tensor {
    let tensors = read_safetensors(&place.path(file)).unwrap();
    tensors.into_iter().find(|(known, _)| known == name).unwrap().1
}

fn furthest(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one.to_kind(Kind::Double) - other.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn every_format_holds_what_the_encoder_sees_and_says_of_which_picture() {
    let place = Place::new();
    place.pretrain("a", &["train.duration=2 steps"]).succeeded();
    let pooled = embed(&place, "out/pooled.safetensors", &[]).succeeded().prints(&["out/pooled.safetensors"]);
    pooled.says(&["skipped: ", "broken.png", "16 rows", "1 pictures could not be read"]);
    embed(&place, "patches.safetensors", &["--patches"]).succeeded();
    embed(&place, "pooled.csv", &[]).succeeded();
    embed(&place, "patches.csv", &["--patches", "embed.stage=c4"]).succeeded();
    embed(&place, "pooled.npy", &[]).succeeded();
    embed(&place, "patches.npy", &["--patches"]).succeeded();

    // The library's own encoder, picture by picture.
    let encoder = Encoder::open(&place.path("runs/a"), Device::Cpu).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(place.pictures()).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|path| !path.ends_with("0000-broken.png"));
    names.sort();
    let maps: Vec<Tensor> = names
        .iter()
        .map(|path| {
            let picture = decode(&fs::read(path).unwrap(), &DecodeLimits::default()).unwrap();
            // 64 x 48 pixels, the shorter side at 64.
            let seen = resize_to(&picture, 85, 64, &mut ResizeScratch::default()).unwrap();
            encoder.features(&[&seen]).unwrap().last()
        })
        .collect();
    let maps = Tensor::cat(&maps, 0);
    assert_eq!(maps.size(), [16, 512, 2, 3]);
    let means = maps.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    assert!(furthest(&tensor(&place, "out/pooled.safetensors", "features"), &means) < 1e-5);

    let patches = Embeddings::read(&place.path("patches.safetensors")).unwrap();
    let rows = maps.permute([0, 2, 3, 1]).reshape([-1, 512]);
    let bound = 1e-5 + rows.abs().max().double_value(&[]) / 2048.0;
    assert!(furthest(&patches.patches, &rows) < bound && furthest(&patches.features, &means) < 1e-5);
    assert!(patches.cells.iter().all(|&cells| cells == [2, 3]) && patches.seen[15] == [85, 64]);
    assert_eq!((patches.about.stride, patches.about.size), (32, 64));
    // The picture that cannot be read is the first name of the index, and has no row.
    assert!(names[0] > place.pictures().join("0000-broken.png"));
    assert_eq!(patches.samples, (1..17).collect::<Vec<i64>>());

    let table = fs::read_to_string(place.path("pooled.csv")).unwrap();
    let first: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((table.lines().count(), first.len()), (17, 513));
    assert_eq!(first[0], names[0].file_name().unwrap().to_str().unwrap());
    assert!((first[1].parse::<f64>().unwrap() - means.double_value(&[0, 0])).abs() < 1e-5);
    let table = fs::read_to_string(place.path("patches.csv")).unwrap();
    assert!(table.starts_with("picture,row,column,f0,") && table.lines().count() == 1 + 16 * 4 * 6);
    assert!(table.lines().nth(8).unwrap().contains(",1,1,"));
    let rows = fs::read_to_string(place.path("patches.rows.csv")).unwrap();
    assert_eq!((rows.lines().count(), rows.lines().nth(4).unwrap().ends_with(",1,0")), (1 + 16 * 6, true));
    python(
        "embed",
        &[&place.path("patches.safetensors"), &place.path("patches.npy"), &place.path("pooled.npy")],
    );
}

#[test]
fn nothing_is_replaced_or_left_half_done() {
    let place = Place::new();
    let out = place.path("new");
    let pictures = place.pictures();
    let run = |more: &[&str]| {
        let mut arguments = vec!["embed", pictures.to_str().unwrap(), "--encoder", "random", "embed.size=32"];
        arguments.extend(more);
        place.run(&arguments)
    };
    run(&["--out", "new/x.txt"]).exited(2).says(&[".safetensors, .npy and .csv"]);
    run(&["--out", "new/x.npy", "embed.sise=9"]).exited(2).says(&["embed.size"]);
    run(&["--out", "new/x.npy", "embed.stage=c9"]).exited(2).says(&["embed.stage", "c5"]);
    run(&["--out", "new/x.npy", "encoder.architecture=resnet5"]).exited(2);
    assert!(!out.exists());
    run(&["--out", "new/x.npy"]).succeeded();
    run(&["--out", "new/x.npy"]).exited(2).says(&["x.npy exists", "--overwrite"]);
    fs::remove_file(place.path("new/x.npy")).unwrap();
    run(&["--out", "new/x.npy"]).exited(2).says(&["x.rows.csv exists"]);
    run(&["--out", "new/x.npy", "--overwrite"]).succeeded();
    let before = fs::read(place.path("new/x.npy")).unwrap();
    run(&["--out", "new/x.npy", "--overwrite", "run.seed=2"]).succeeded();
    assert_ne!(fs::read(place.path("new/x.npy")).unwrap(), before);
    run(&["--out", "new", "--overwrite"]).exited(2);
    // A list, tar shards and one picture are pictures too.
    fs::write(place.path("list.txt"), "pictures/train/images/0003.jpg\npictures/train/images/0001.jpg\n")
        .unwrap();
    place.run(&["data", "pack", pictures.to_str().unwrap(), "--out", "shards"]).succeeded();
    for (pictures, rows) in [("list.txt", 3), ("shards", 17), ("pictures/train/images/0002.jpg", 2)] {
        let embed =
            ["embed", pictures, "--encoder", "random", "embed.size=32", "--out", "of.csv", "--overwrite"];
        place.run(&embed).succeeded();
        assert_eq!(fs::read_to_string(place.path("of.csv")).unwrap().lines().count(), rows, "{pictures}");
    }
    fs::write(place.path("not.jpg"), b"none").unwrap();
    place
        .run(&["embed", "not.jpg", "--encoder", "random", "--out", "y.csv"])
        .exited(3)
        .says(&["no readable picture"]);
    assert!(!place.path("y.csv").exists());
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
