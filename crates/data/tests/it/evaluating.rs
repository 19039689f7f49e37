//! Evaluation reads every picture once, in order, with labels at the same places, and stops at the first bad file.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::labelled::{
    Extent, LabelledBatch, LabelledLoader, LabelledSet, ReadingScratch, ReadingSettings, read_sample,
};
use tempfile::TempDir;

use crate::files::{write_label, write_picture};

fn data_set() -> (TempDir, LabelledSet) {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path(), &DemoSettings { train: 0, val: 7, width: 40, height: 30, seed: 2 }).unwrap();
    let set = LabelledSet::open(folder.path(), None, "val", None).unwrap();
    (folder, set)
}

fn settings() -> ReadingSettings {
    ReadingSettings { extent: Extent::Centred(16), batch_size: 3, ..ReadingSettings::default() }
}

fn batches(set: &LabelledSet, settings: ReadingSettings) -> Vec<LabelledBatch> {
    LabelledLoader::new(Arc::new(set.clone()), settings).unwrap().map(|batch| batch.unwrap()).collect()
}

#[test]
fn every_picture_comes_once_and_in_order_for_any_workers() {
    let (_folder, set) = data_set();
    let reference = batches(&set, settings());
    let samples: Vec<_> = reference.iter().map(|batch| batch.samples.clone()).collect();
    assert_eq!(samples, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    for batch in &reference {
        let count = batch.samples.len() * 16 * 16;
        assert_eq!((batch.width, batch.height), (16, 16));
        assert_eq!((batch.images.len(), batch.labels.len()), (count * 3, count));
    }
    for (workers, prefetch_batches) in [(2, 1), (5, 3)] {
        assert!(batches(&set, ReadingSettings { workers, prefetch_batches, ..settings() }) == reference);
    }
}

#[test]
fn one_sample_alone_is_what_the_loader_delivers() {
    let (_folder, set) = data_set();
    let whole = ReadingSettings { extent: Extent::Scaled(16), ..settings() };
    for (sample, batch) in batches(&set, whole).iter().enumerate() {
        let alone = read_sample(&set, sample, &whole, &mut ReadingScratch::default()).unwrap();
        // 40 x 30 at a shorter side of 16: 21 x 16.
        assert_eq!((batch.width, batch.height, batch.samples.clone()), (21, 16, vec![sample]));
        assert!(alone.image.pixels == batch.images && alone.labels.classes == batch.labels);
    }
}

#[test]
fn at_its_own_size_a_picture_keeps_its_pixels_and_labels() {
    let (_folder, set) = data_set();
    let same = ReadingSettings { extent: Extent::Centred(30), ..settings() };
    let sample = read_sample(&set, 3, &same, &mut ReadingScratch::default()).unwrap();
    let picture = image::open(set.label(3).file().unwrap()).unwrap().into_luma8();
    let expected = (0..900).map(|i| picture.get_pixel(i % 30 + 5, i / 30).0[0]);
    assert!(sample.labels.classes.iter().copied().eq(expected));
}

#[test]
fn fitted_pictures_have_labels_of_their_own_size() {
    let (_folder, set) = data_set();
    for (scale, size) in [([0, 0], (40, 30)), ([80, 75], (80, 60)), ([45, 100], (60, 45)), ([13, 9], (12, 9))]
    {
        let settings = ReadingSettings { extent: Extent::Fitted(scale), ..settings() };
        let batches = batches(&set, settings);
        assert_eq!(batches.len(), 7);
        for (sample, batch) in batches.iter().enumerate() {
            let label = image::open(set.label(sample).file().unwrap()).unwrap().into_luma8();
            assert_eq!((batch.width, batch.height, batch.label_size), (size.0, size.1, [40, 30]));
            assert!(batch.labels == label.into_raw() && batch.samples == [sample]);
            let alone = read_sample(&set, sample, &settings, &mut ReadingScratch::default()).unwrap();
            assert!(alone.image.pixels == batch.images);
            let same = densesiam_data::decode::decode(
                &std::fs::read(set.picture(sample).file().unwrap()).unwrap(),
                &settings.limits,
            );
            assert_eq!(same.unwrap() == alone.image, scale == [0, 0]);
        }
    }
}

/// One folder data set of one picture with the given label map.
fn single(label_size: (u32, u32), values: &[u8]) -> (TempDir, LabelledSet) {
    let folder = tempfile::tempdir().unwrap();
    let root: &Path = folder.path();
    write_picture(&root.join("images/a.png"), (6, 4));
    write_label(&root.join("labels/a.png"), label_size, values);
    std::fs::write(root.join("classes.txt"), "ground\ncar thing\n").unwrap();
    let set = LabelledSet::open(root, None, "val", None).unwrap();
    (folder, set)
}

fn failure(set: LabelledSet) -> String {
    let mut loader = LabelledLoader::new(Arc::new(set), settings()).unwrap();
    let message = loader.next().unwrap().unwrap_err().to_string();
    assert!(loader.next().is_none());
    message
}

#[test]
fn labels_of_another_size_are_refused_with_both_files() {
    let (_folder, set) = single((4, 6), &[0; 24]);
    let message = failure(set);
    assert!(message.contains("images/a.png has 6 x 4"), "{message}");
    assert!(message.contains("labels/a.png has 4 x 6"), "{message}");
}

#[test]
fn values_outside_the_taxonomy_and_unreadable_pictures_end_it() {
    let (_folder, set) = single((6, 4), &[2; 24]);
    let message = failure(set);
    assert!(message.contains("label value 2 in column 0, row 0"), "{message}");
    let (_folder, set) = single((6, 4), &[1; 24]);
    std::fs::write(set.picture(0).file().unwrap(), b"").unwrap();
    let message = failure(set);
    assert!(message.contains("images/a.png: the file is empty"), "{message}");
}

#[test]
fn pipes_are_refused_rather_than_waited_for() {
    for is_label in [false, true] {
        let (_folder, set) = single((6, 4), &[1; 24]);
        let place = if is_label { set.label(0) } else { set.picture(0) };
        let path = place.file().unwrap().to_owned();
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let message = failure(set);
        assert!(message.contains(path.to_str().unwrap()) && message.contains("no regular file"), "{message}");
    }
}

#[test]
fn void_stays_void() {
    let (_folder, set) = single((6, 4), &[255; 24]);
    let sample = read_sample(&set, 0, &settings(), &mut ReadingScratch::default()).unwrap();
    assert!(sample.labels.classes.iter().all(|&class| class == 255) && sample.labels.classes.len() == 256);
}

#[test]
fn settings_out_of_range_are_named() {
    let (_folder, set) = data_set();
    let set = Arc::new(set);
    let message = |settings| LabelledLoader::new(Arc::clone(&set), settings).err().unwrap().to_string();
    assert!(
        message(ReadingSettings { extent: Extent::Centred(0), ..settings() }).contains("evaluate.size = 0")
    );
    assert!(
        message(ReadingSettings { extent: Extent::Fitted([0, 9]), ..settings() })
            .contains("evaluate.scale = [0, 9]")
    );
    assert!(message(ReadingSettings { batch_size: 0, ..settings() }).contains("evaluate.batch_size = 0"));
}
