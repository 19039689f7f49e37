//! k-NN classification: kinds are folders, nothing is trained.

use image::{Rgb, RgbImage};

use crate::program::Place;

/// Two kinds of pictures that differ in colour, or in nothing.
fn pictures(place: &Place, name: &str, colours: [[u8; 3]; 2]) -> String {
    let root = place.path(name);
    for (kind, colour) in colours.into_iter().enumerate() {
        let folder = root.join(format!("kind{kind}"));
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..8u32 {
            let pixel = |x: u32, y: u32| {
                let seed = x * 31 + y * 17 + number * 101 + kind as u32 * 7;
                let noise = seed.wrapping_mul(2_654_435_761) >> 27;
                Rgb(colour.map(|value| value.saturating_add(noise as u8)))
            };
            RgbImage::from_fn(48, 40, pixel).save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
    format!("data.root={}", root.display())
}

#[test]
fn kinds_that_look_different_are_told_apart_by_random_weights_and_folders_are_the_kinds() {
    let place = Place::new();
    let small = ["knn.size=32", "knn.neighbours=3", "knn.batch_size=5", "run.threads=1"];
    let score = |root: &str| {
        let mut arguments = vec!["knn", "random", root, "--json"];
        arguments.extend(small);
        let answer = place.run(&arguments).succeeded().stdout();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()
    };
    let apart = score(&pictures(&place, "apart", [[200, 20, 20], [20, 20, 200]]));
    assert_eq!((&apart["kinds"], &apart["constant"]), (&2.into(), &0.5.into()));
    assert_eq!((&apart["scores"][0]["accuracy"], &apart["scores"][0]["pictures"]), (&1.0.into(), &16.into()));
    // Pictures that are all alike lie in no folder by their looks.
    let alike = score(&pictures(&place, "alike", [[90; 3]; 2]));
    assert!(alike["scores"][0]["accuracy"].as_f64().unwrap() < 1.0, "{alike}");

    let root = format!("data.root={}", place.path("apart/kind0").display());
    place.run(&["knn", "random", &root]).exited(2).says(&["one folder only"]);
    place.run(&["knn", "random"]).exited(2).says(&["data.root is not set"]);
}
