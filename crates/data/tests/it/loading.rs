//! The laws of the loader: batches depend on settings and step alone, and bad files are replaced and reported.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{
    Batch, LoadError, Loader, LoaderSettings, SampleScratch, SampleSource, load_sample,
};
use densesiam_data::views::random::{RandomPair, RandomViews};
use densesiam_data::views::{ApplyError, Augmentation, DrawError, Photometric, ViewMaker, ViewParameters};
use densesiam_geometry::{Region, View};
use densesiam_random::Key;
use densesiam_settings::SettingError;
use tempfile::TempDir;

/// 23 small pictures, of which those numbered in `broken` are made unreadable in different ways.
fn data_set(broken: &[usize]) -> (TempDir, Arc<ImageIndex>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = DemoSettings { train: 23, val: 0, width: 48, height: 36, seed: 9 };
    write_demo(folder.path(), &settings).unwrap();
    let index = Arc::new(ImageIndex::scan(&folder.path().join("train/images")).unwrap());
    for &number in broken {
        damage(index.place(number).file().unwrap(), number);
    }
    (folder, index)
}

fn damage(path: &Path, number: usize) {
    match number % 5 {
        0 => fs::write(path, b"").unwrap(),
        1 => fs::write(path, b"not a picture").unwrap(),
        2 => fs::remove_file(path).unwrap(),
        3 => {
            // Whoever opens a pipe for reading waits for someone to write to it.
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        _ => {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
}

fn settings() -> LoaderSettings<RandomViews> {
    let augmentation = RandomViews { size: 24, ..RandomViews::default() };
    LoaderSettings { augmentation, batch_size: 5, seed: 11, total_steps: 11, ..LoaderSettings::default() }
}

fn all_batches(
    index: &Arc<ImageIndex>,
    settings: LoaderSettings<RandomViews>,
) -> (Vec<Batch<RandomPair>>, Vec<(u64, String)>) {
    let mut loader = Loader::new(Arc::clone(index), settings).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = loader.next().unwrap() {
        batches.push(batch.clone());
        loader.recycle(batch);
    }
    (batches, loader.bad_files())
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let (_folder, index) = data_set(&[3, 8]);
    let reference = all_batches(&index, settings());
    assert_eq!(reference.0.len(), 11);
    assert_eq!(reference.1.iter().map(|(sample, _)| *sample).collect::<Vec<_>>(), [3, 8]);
    for (workers, prefetch_batches) in [(2, 1), (3, 2), (7, 4)] {
        let found = all_batches(&index, LoaderSettings { workers, prefetch_batches, ..settings() });
        assert!(reference == found, "{workers} workers");
    }
}

#[test]
fn starting_at_a_step_continues_the_run() {
    let (_folder, index) = data_set(&[3]);
    let (reference, _) = all_batches(&index, settings());
    for start_step in [1, 4, 6, 11] {
        let (found, _) = all_batches(&index, LoaderSettings { start_step, workers: 2, ..settings() });
        assert!(found == reference[start_step as usize..], "from step {start_step}");
    }
}

#[test]
fn an_epoch_visits_no_sample_twice_and_the_next_differs() {
    let (_folder, index) = data_set(&[]);
    let (batches, bad) = all_batches(&index, settings());
    assert!(bad.is_empty());
    let epoch = |epoch: u64| -> Vec<u64> {
        batches.iter().filter(|batch| batch.epoch == epoch).flat_map(|batch| batch.samples.clone()).collect()
    };
    let mut first = epoch(0);
    assert_eq!(first.len(), 20);
    assert_ne!(first, epoch(1));
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), 20);
    assert!(batches.iter().enumerate().all(|(step, batch)| batch.step == step as u64));
}

#[test]
fn one_sample_alone_is_what_the_loader_delivers() {
    let (_folder, index) = data_set(&[3]);
    let settings = settings();
    let (batches, _) = all_batches(&index, settings.clone());
    let source = SampleSource {
        index: &index,
        augmentation: &settings.augmentation,
        seed: settings.seed,
        limits: settings.limits,
        min_side: settings.min_side,
    };
    let mut scratch = SampleScratch::new(&settings.augmentation.sizes());
    for batch in &batches {
        for (slot, &sample) in batch.samples.iter().enumerate() {
            let pair = load_sample(&source, sample, batch.epoch, &mut scratch).unwrap();
            assert_eq!(pair.overlap, batch.drawn[slot].overlap);
            assert_eq!(pair.geometry(), batch.drawn[slot].geometry());
            for (views, view) in batch.views.iter().zip(scratch.views()) {
                assert!(views.chunks(24 * 24 * 3).nth(slot) == Some(view));
            }
        }
    }
}

#[test]
fn crops_without_overlap_are_counted() {
    let (_folder, index) = data_set(&[]);
    let augmentation = RandomViews { scale: [0.001, 0.002], overlap_tries: 3, ..settings().augmentation };
    let (batches, _) = all_batches(&index, LoaderSettings { augmentation, ..settings() });
    let pairs = || batches.iter().flat_map(|batch| &batch.drawn);
    let missing = pairs().filter(|pair| pair.overlap.is_none()).count() as u64;
    let redraws: u64 = pairs().map(|pair| u64::from(pair.redraws)).sum();
    assert!(missing > 0 && redraws >= 3 * missing, "{missing} {redraws}");
}

/// Whole pictures in three sizes, the second mirrored.
#[derive(Clone, Debug, Default)]
struct ThreeSizes;

impl Augmentation for ThreeSizes {
    type Drawn = [ViewParameters; 3];

    fn validate(&self) -> Result<(), SettingError> {
        Ok(())
    }

    fn sizes(&self) -> Vec<u32> {
        vec![8, 24, 16]
    }

    fn draw(&self, (width, height): (u32, u32), _: Key) -> Result<Self::Drawn, DrawError> {
        let crop = Region { x0: 0.0, y0: 0.0, x1: width.into(), y1: height.into() };
        let view = |flip| ViewParameters { view: View { crop, flip }, photometric: Photometric::IDENTITY };
        Ok([view(false), view(true), view(false)])
    }

    fn apply(
        &self,
        drawn: &Self::Drawn,
        view: usize,
        image: &RgbImage,
        maker: &mut ViewMaker,
        out: &mut [u8],
    ) -> Result<(), ApplyError> {
        maker.apply(image, &drawn[view], out)
    }
}

#[test]
fn views_may_be_any_number_of_any_size() {
    let (_folder, index) = data_set(&[]);
    let settings: LoaderSettings<ThreeSizes> =
        LoaderSettings { batch_size: 5, workers: 3, total_steps: 6, ..LoaderSettings::default() };
    let mut loader = Loader::new(Arc::clone(&index), settings).unwrap();
    while let Some(batch) = loader.next().unwrap() {
        assert_eq!((batch.views.len(), batch.drawn.len()), (3, 5));
        for (slot, &sample) in batch.samples.iter().enumerate() {
            let bytes = fs::read(index.place(sample as usize).file().unwrap()).unwrap();
            let image = decode(&bytes, &DecodeLimits::default()).unwrap();
            for (view, size) in [8, 24, 16].into_iter().enumerate() {
                let mut alone = vec![0; (size * size * 3) as usize];
                ViewMaker::new(size).apply(&image, &batch.drawn[slot][view], &mut alone).unwrap();
                assert!(batch.views[view].chunks(alone.len()).nth(slot) == Some(&alone[..]), "view {view}");
            }
        }
        loader.recycle(batch);
    }
}

/// The step at which a run fails, and what it says.
fn failure(index: &Arc<ImageIndex>, settings: LoaderSettings<RandomViews>) -> (u64, String) {
    let mut step = settings.start_step;
    let mut loader = Loader::new(Arc::clone(index), settings).unwrap();
    loop {
        match loader.next() {
            Ok(batch) => assert!(batch.is_some(), "the run went through"),
            Err(error) => return (step, error.to_string()),
        }
        step += 1;
    }
}

#[test]
fn too_many_bad_files_end_the_loading_at_the_same_step_for_any_workers() {
    let (_folder, index) = data_set(&[1, 2, 4, 7, 12, 15]);
    let outcome = |workers: usize| failure(&index, LoaderSettings { workers, ..settings() });
    let (_, message) = outcome(1);
    assert_eq!(outcome(1), outcome(4));
    assert!(message.contains("of 23 pictures") && message.contains("10.0 % allowed"), "{message}");
    assert!(message.contains("0001.jpg: not a picture"), "{message}");
}

#[test]
fn a_resumed_run_fails_where_an_uninterrupted_one_does() {
    let (_folder, index) = data_set(&[1, 2, 4, 7, 12, 15]);
    let settings = || LoaderSettings { max_bad_share: 0.25, ..settings() };
    let uninterrupted = failure(&index, settings());
    let mut known = 0;
    for cut in 1..=uninterrupted.0 {
        let first = LoaderSettings { total_steps: cut, workers: 3, ..settings() };
        let (_, known_bad) = all_batches(&index, first);
        known = known_bad.len();
        let second = LoaderSettings { start_step: cut, known_bad: known_bad.clone(), ..settings() };
        assert_eq!(Loader::new(Arc::clone(&index), second.clone()).unwrap().bad_files(), known_bad);
        assert_eq!(failure(&index, second), uninterrupted, "cut before step {cut}");
    }
    assert!(known > 0, "no cut came after a bad file");
}

#[test]
fn known_bad_files_beyond_the_index_are_ignored() {
    let (_folder, index) = data_set(&[22]);
    let known_bad = vec![(22, "cut".to_owned()), (23, "cut".to_owned())];
    let loader = Loader::new(index, LoaderSettings { known_bad, ..settings() }).unwrap();
    assert_eq!(loader.bad_files(), [(22, "cut".to_owned())]);
}

#[test]
fn a_repaired_file_is_no_longer_bad() {
    let (folder, index) = data_set(&[1, 2, 4, 7]);
    let settings = || LoaderSettings { max_bad_share: 0.3, ..settings() };
    let (_, known_bad) = all_batches(&index, settings());
    assert_eq!(known_bad.len(), 4);
    let strict =
        || LoaderSettings { max_bad_share: 0.1, start_step: 6, known_bad: known_bad.clone(), ..settings() };
    assert!(failure(&index, strict()).1.contains("4 of 23 pictures"));
    for number in [2, 7] {
        fs::copy(folder.path().join("train/images/0000.jpg"), index.place(number).file().unwrap()).unwrap();
    }
    let loader = Loader::new(Arc::clone(&index), strict()).unwrap();
    assert_eq!(loader.recovered(), [known_bad[1].clone(), known_bad[3].clone()]);
    assert_eq!(loader.bad_files(), [known_bad[0].clone(), known_bad[2].clone()]);
    let (batches, bad) = all_batches(&index, strict());
    assert_eq!(bad, [known_bad[0].clone(), known_bad[2].clone()]);
    let repaired = |sample: &u64| [2, 7].contains(sample);
    assert!(batches.iter().flat_map(|batch| &batch.samples).any(repaired), "a repaired picture is used");
}

#[test]
fn a_file_that_comes_back_while_the_run_goes_on_is_no_longer_bad() {
    let (folder, index) = data_set(&[2]);
    let path = index.place(2).file().unwrap().to_owned();
    let settings = LoaderSettings { total_steps: 200, prefetch_batches: 1, ..settings() };
    let mut loader = Loader::new(Arc::clone(&index), settings).unwrap();
    while loader.bad_files().is_empty() {
        loader.next().unwrap().unwrap();
    }
    fs::copy(folder.path().join("train/images/0000.jpg"), path).unwrap();
    let mut later = (0..60).map(|_| loader.next().unwrap().unwrap());
    assert!(later.any(|batch| batch.samples.contains(&2)));
    assert!(loader.bad_files().is_empty() && loader.recovered().is_empty());
}

#[test]
fn a_data_set_without_a_readable_picture_is_said_to_be_one() {
    let (_folder, index) = data_set(&(0..23).collect::<Vec<_>>());
    let mut loader = Loader::new(index, LoaderSettings { max_bad_share: 1.0, ..settings() }).unwrap();
    let error = loader.next().unwrap_err();
    assert!(matches!(error, LoadError::NothingReadable { count: 23, .. }), "{error}");
}

#[test]
fn small_pictures_count_as_bad_when_a_smallest_side_is_asked_for() {
    let (_folder, index) = data_set(&[]);
    let mut loader = Loader::new(index, LoaderSettings { min_side: 37, ..settings() }).unwrap();
    let message = loader.next().unwrap_err().to_string();
    assert!(message.contains("48 x 36 pixels, smaller than the 37"), "{message}");
}

#[test]
fn a_data_set_smaller_than_a_batch_is_refused_with_both_numbers() {
    let (_folder, index) = data_set(&[]);
    let error = Loader::new(index, LoaderSettings { batch_size: 24, ..settings() }).err().unwrap();
    let message = error.to_string();
    assert!(message.contains("23 pictures") && message.contains("batch of 24"), "{message}");
}

#[test]
fn a_setting_outside_its_range_names_key_value_and_range() {
    let (_folder, index) = data_set(&[]);
    let augmentation = RandomViews { scale: [0.2, 1.5], ..settings().augmentation };
    let error = Loader::new(index, LoaderSettings { augmentation, ..settings() }).err().unwrap();
    assert_eq!(
        error.to_string(),
        "augment.scale = [0.2, 1.5] is not possible; allowed: [low, high] with 0 < low <= high <= 1 (share of the area)"
    );
}

#[test]
fn settings_refuse_unknown_keys_and_fill_in_defaults() {
    let settings: RandomViews = serde_json::from_str(r#"{"size": 32}"#).unwrap();
    assert_eq!(settings, RandomViews { size: 32, ..RandomViews::default() });
    assert!(serde_json::from_str::<RandomViews>(r#"{"sise": 32}"#).is_err());
}

#[test]
fn a_consumer_may_stop_at_any_time() {
    let (_folder, index) = data_set(&[]);
    for taken in 0..4 {
        let endless = LoaderSettings { workers: 3, total_steps: u64::MAX, ..settings() };
        let mut loader = Loader::new(Arc::clone(&index), endless).unwrap();
        for _ in 0..taken {
            loader.next().unwrap();
        }
    }
}

#[test]
fn the_demo_is_the_same_for_the_same_seed_and_holds_every_class() {
    let (first, _) = data_set(&[]);
    let (second, _) = data_set(&[]);
    let mut seen = [false; densesiam_data::demo::CLASSES.len()];
    for number in 0..23 {
        for file in [format!("train/images/{number:04}.jpg"), format!("train/labels/{number:04}.png")] {
            let read = |folder: &TempDir| fs::read(folder.path().join(&file)).unwrap();
            assert!(read(&first) == read(&second), "{file}");
        }
        let labels = image::open(first.path().join(format!("train/labels/{number:04}.png"))).unwrap();
        labels.as_luma8().unwrap().iter().for_each(|&class| seen[usize::from(class)] = true);
    }
    assert!(seen.iter().all(|&seen| seen), "{seen:?}");
    let classes = fs::read_to_string(first.path().join("classes.txt")).unwrap();
    assert_eq!(classes.lines().collect::<Vec<_>>(), densesiam_data::demo::CLASSES);
}
