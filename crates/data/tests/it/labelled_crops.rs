//! A labelled set is trained on through the loader, and its files are checked one by one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::labelled::{LabelCheck, LabelledSet};
use densesiam_data::loader::{Batch, Loader, LoaderSettings};
use densesiam_data::views::labelled::{CropSettings, LabelledCrop, LabelledCrops};
use densesiam_random::{Key, Purpose};
use tempfile::TempDir;

use crate::files::{write_label, write_picture};

fn data_set() -> (TempDir, Arc<LabelledSet>) {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path(), &DemoSettings { train: 9, val: 0, width: 60, height: 40, seed: 3 }).unwrap();
    let set = LabelledSet::open(folder.path(), None, "train", None).unwrap();
    (folder, Arc::new(set))
}

fn settings(set: &Arc<LabelledSet>) -> LoaderSettings<LabelledCrops> {
    let crops = CropSettings { size: 33, scale: [0, 0], ..CropSettings::default() };
    let augmentation =
        LabelledCrops { settings: crops, set: Arc::clone(set), limits: DecodeLimits::default() };
    LoaderSettings {
        augmentation,
        batch_size: 4,
        schedule: densesiam_data::order::Schedule::default(),
        part: densesiam_data::order::Part::WHOLE,
        seed: 5,
        workers: 1,
        prefetch_batches: 2,
        max_bad_share: 0.2,
        min_side: 1,
        limits: DecodeLimits::default(),
        patience: densesiam_data::loader::PATIENCE,
        start_step: 0,
        total_steps: 6,
        known_bad: Vec::new(),
    }
}

fn batches(loader: &mut Loader<LabelledCrops>) -> Vec<Batch<LabelledCrop>> {
    std::iter::from_fn(|| loader.next().unwrap()).collect()
}

#[test]
fn workers_change_nothing_and_labels_are_those_of_the_samples() {
    let (_folder, set) = data_set();
    let settings = settings(&set);
    let run = |settings| batches(&mut Loader::new(set.index().unwrap(), settings).unwrap());
    let reference = run(settings.clone());
    assert_eq!(reference.len(), 6);
    for (workers, start_step) in [(3, 0), (2, 4)] {
        let found = run(LoaderSettings { workers, start_step, ..settings.clone() });
        assert!(found == reference[start_step as usize..], "{workers} workers");
    }
    for batch in &reference {
        assert_eq!((batch.views.len(), batch.views[0].len()), (1, 4 * 33 * 33 * 3));
        for (drawn, &sample) in batch.drawn.iter().zip(&batch.samples) {
            let labels = set.label_map(sample as usize, [60, 40], &DecodeLimits::default()).unwrap();
            let key = Key::new(5, Purpose::Geometry).epoch(batch.epoch).sample(sample);
            assert!(*drawn == settings.augmentation.settings.draw(&labels, key));
            assert_eq!(drawn.labels.len(), 33 * 33);
        }
    }
}

#[test]
fn a_picture_whose_labels_cannot_be_used_is_replaced_and_named() {
    let (_folder, set) = data_set();
    fs::write(set.label(2).file().unwrap(), b"no label map").unwrap();
    let mut loader = Loader::new(set.index().unwrap(), settings(&set)).unwrap();
    let batches = batches(&mut loader);
    assert!(batches.iter().all(|batch| !batch.samples.contains(&2)));
    let bad = loader.bad_files();
    assert!(bad.len() == 1 && bad[0].0 == 2 && bad[0].1.contains("is not a readable PNG"), "{bad:?}");
}

#[test]
fn an_index_has_exactly_the_pictures_of_its_set() {
    let (_folder, set) = data_set();
    let thinned = |count| {
        let mut set = LabelledSet::clone(&set);
        set.thin_out(count);
        set
    };
    for set in [thinned(9), thinned(4), thinned(1)] {
        let index = set.index().unwrap();
        assert_eq!(index.len(), set.len());
        assert!((0..set.len()).all(|sample| index.place(sample) == set.picture(sample)));
    }
}

/// One fault of each kind, beside two pairs that are right.
fn faulty() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root: &Path = folder.path();
    for name in ["a", "b", "unreadable", "other_size", "outside", "no_png", "alone"] {
        write_picture(&root.join(format!("images/train/{name}.png")), (6, 4));
        write_label(&root.join(format!("labels/train/{name}.png")), (6, 4), &[1; 24]);
    }
    fs::write(root.join("classes.txt"), "ground\ncar\n").unwrap();
    fs::write(root.join("images/train/unreadable.png"), b"").unwrap();
    write_label(&root.join("labels/train/other_size.png"), (4, 6), &[0; 24]);
    write_label(&root.join("labels/train/outside.png"), (6, 4), &[2; 24]);
    fs::write(root.join("labels/train/no_png.png"), b"text").unwrap();
    fs::remove_file(root.join("labels/train/alone.png")).unwrap();
    write_label(&root.join("labels/train/spare.PNG"), (6, 4), &[0; 24]);
    fs::write(root.join("labels/train/notes.txt"), b"not a label map").unwrap();
    folder
}

#[test]
fn every_fault_of_a_labelled_set_is_counted_and_named() {
    let folder = faulty();
    let check = LabelCheck::open(folder.path(), None, "train", None).unwrap();
    assert_eq!(check.pairs(), 6);
    let missing: Vec<_> = check.missing.iter().map(|fault| (fault.kind, fault.why.as_str())).collect();
    let [(alone, why_alone), (spare, why_spare)] = missing[..] else { panic!("{missing:?}") };
    assert_eq!((alone, spare), ("pictures without label map", "label maps without picture"));
    assert!(why_alone.contains("images/train/alone.png") && why_spare.contains("labels/train/spare.PNG"));
    let limits = DecodeLimits::default();
    let all = check.examine(0..6, &limits, 1);
    let found: Vec<_> = all.iter().map(|fault| fault.kind).collect();
    let kinds =
        ["unreadable label maps", "sizes differ", "values outside the classes", "unreadable pictures"];
    assert_eq!(found, kinds);
    for (fault, name) in
        all.iter().zip(["labels/train/no_png.png", "other_size.png", "outside.png", "unreadable.png"])
    {
        assert!(fault.why.contains(name), "{fault:?}");
    }
    assert_eq!(check.examine(0..6, &limits, 4), all);
    assert_eq!([check.examine(0..3, &limits, 2), check.examine(3..6, &limits, 9)].concat(), all);
}

#[test]
fn a_sound_set_has_no_fault() {
    let (folder, set) = data_set();
    let check = LabelCheck::open(folder.path(), None, "train", None).unwrap();
    assert_eq!((check.pairs(), check.missing.len()), (set.len(), 0));
    assert!(check.examine(0..set.len(), &DecodeLimits::default(), 2).is_empty());
}
