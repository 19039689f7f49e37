//! The examples, run on made-up pictures: what the documentation shows is what works.

use std::path::Path;

use densesiam::Error;
use densesiam::recipe::find;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::tasks::segment;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::log::Voice;
use densesiam_engine::run_dir::Start;

#[path = "../examples/features.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not called")]
mod features;
#[path = "../examples/one_step.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not called")]
mod one_step;
#[path = "../examples/pretrain.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not called")]
mod pretrain;
#[path = "../examples/segment.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not called")]
mod segment_picture;

#[test]
fn the_examples_do_what_they_say() {
    let place = tempfile::tempdir().unwrap();
    let pictures = place.path().join("pictures");
    let demo = DemoSettings { train: 16, val: 2, width: 96, height: 64, seed: 5 };
    write_demo(&pictures, &demo).unwrap();
    let train = pictures.join("train/images");
    let picture = std::fs::read_dir(&train).unwrap().next().unwrap().unwrap().path();
    let run_in = |name: &str| {
        let dir = format!("run.dir={}", place.path().display());
        vec![dir, format!("run.name={name}"), "run.threads=1".to_owned()]
    };
    let run = place.path().join("pretrained");

    let small = ["train.batch_size=4", "train.duration=2 steps", "augment.size=32", "train.pictures=1"];
    let mut settings = run_in("pretrained");
    settings.extend(small.map(str::to_owned));
    let encoder = pretrain::pretrain_on(train.to_str().unwrap(), &settings, &Voice::Nobody).unwrap();
    assert_eq!(encoder, run.join("encoder.safetensors"));

    // The run and the file that it left are one encoder.
    let [of_run, of_file] = [&run, &encoder].map(|encoder| features::features(encoder, &picture).unwrap());
    assert_eq!(of_run.strides, [4, 8, 16, 32]);
    assert_eq!(of_run.maps[0].size(), [1, 64, 16, 24]);
    assert!(of_run.maps.iter().zip(&of_file.maps).all(|(one, other)| one.equal(other)));

    let said = segment_two_steps(&pictures, &run_in("segmented")).unwrap();
    assert!(said.iter().any(|line| line.contains("mIoU")), "{said:?}");
    let shares = segment_picture::shares(&place.path().join("segmented"), &picture).unwrap();
    assert!((shares.values().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");

    let losses = one_step::one_step(&train).unwrap();
    let names: Vec<_> = losses.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["loss", "loss_global", "loss_pixel", "loss_region"]);
    assert!(losses.iter().all(|(_, value)| value.is_finite() && *value != 0.0), "{losses:?}");
}

/// Trains a segmentation, and returns what it said to its channel.
fn segment_two_steps(pictures: &Path, settings: &[String]) -> Result<Vec<String>, Error> {
    let mut all = settings.to_vec();
    all.extend(["train.batch_size=4", "train.duration=2 steps", "augment.size=32"].map(str::to_owned));
    all.push(format!("data.root={}", pictures.display()));
    let recipe: SegmentRecipe = find("demo_segment", &all)?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let plan = segment::Plan::new(recipe)?;
    segment::segment(&plan, Start::New, &Voice::Channel(sender), &Interrupt::never())?;
    Ok(receiver.iter().collect())
}
