//! The laws of the loader for views whose size is drawn, and of the pictures of a detector's evaluation.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::decode::{DecodeLimits, decode, upright_size};
use densesiam_data::demo::draw_picture;
use densesiam_data::detection::{
    Classes, DetectionAugment, DetectionBatch, DetectionReader, DetectionReading, DetectionSet,
    DetectionView, DetectionViews, Object, read_voc, resized,
};
use densesiam_data::labelled::ReadingError;
use densesiam_data::loader::{
    Batch, LoadError, Loader, LoaderSettings, SampleScratch, SampleSource, load_sample,
};
use densesiam_data::order::{Part, Schedule};
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_geometry::Region;
use tempfile::TempDir;

use crate::voc::annotation;

/// What the loader makes of one sample.
pub(crate) fn view_alone(views: &DetectionViews, sample: u64, epoch: u64) -> (DetectionView, Vec<u8>) {
    let source = SampleSource {
        index: views.set.index(),
        augmentation: views,
        seed: 11,
        limits: DecodeLimits::default(),
        min_side: 1,
    };
    let mut scratch = SampleScratch::new(&[]);
    let drawn = load_sample(&source, sample, epoch, &mut scratch).unwrap();
    (drawn, scratch.views()[0].clone())
}

/// 13 pictures, of which every third is higher than wide.
fn data_set(folder: &Path) -> DetectionSet {
    for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let mut list = String::new();
    for number in 0..13u32 {
        let size = if number % 3 == 0 { [24 + number, 40] } else { [48, 36 + number % 2] };
        let picture = draw_picture((size[0], size[1]), 5, number.into()).image;
        let path = folder.join(format!("JPEGImages/{number:02}.png"));
        image::save_buffer(path, &picture.pixels, size[0], size[1], image::ExtendedColorType::Rgb8).unwrap();
        let low = f64::from(number);
        let objects = [("cell", [low, 2.0, 60.0, 30.0]), ("other", [1.0, 1.0, 20.0 + low, 20.0])];
        let xml = annotation(size, &objects);
        fs::write(folder.join(format!("Annotations/{number:02}.xml")), xml).unwrap();
        list += &format!("{number:02}\n");
    }
    fs::write(folder.join("ImageSets/Main/train.txt"), list).unwrap();
    read_voc(folder, &["train".parse().unwrap()], &Classes::Found).unwrap()
}

fn views() -> (TempDir, DetectionViews) {
    let folder = tempfile::tempdir().unwrap();
    let set = Arc::new(data_set(folder.path()));
    let augment =
        DetectionAugment { short_sides: vec![20, 30, 41], longest_side: 50, ..DetectionAugment::default() };
    (folder, DetectionViews { augment, set, masks: false })
}

fn settings(views: &DetectionViews) -> LoaderSettings<DetectionViews> {
    LoaderSettings {
        augmentation: views.clone(),
        batch_size: 4,
        schedule: Schedule::Grouped(views.set.aspects()),
        part: Part::WHOLE,
        seed: 11,
        workers: 1,
        prefetch_batches: 2,
        max_bad_share: 0.5,
        min_side: 1,
        limits: DecodeLimits::default(),
        patience: densesiam_data::loader::PATIENCE,
        start_step: 0,
        total_steps: 20,
        known_bad: Vec::new(),
    }
}

fn all_batches(settings: LoaderSettings<DetectionViews>) -> Vec<Batch<DetectionView>> {
    let index = Arc::clone(settings.augmentation.set.index());
    let mut loader = Loader::new(index, settings).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = loader.next().unwrap() {
        batches.push(batch.clone());
        loader.recycle(batch);
    }
    batches
}

#[test]
fn batches_depend_on_their_step_alone() {
    let (_folder, views) = views();
    let reference = all_batches(settings(&views));
    assert_eq!(reference.len(), 20);
    for (workers, prefetch_batches, start_step) in [(2, 1, 0), (5, 3, 0), (1, 2, 7), (3, 2, 19)] {
        let found = all_batches(LoaderSettings { workers, prefetch_batches, start_step, ..settings(&views) });
        assert!(found == reference[start_step as usize..], "{workers} workers from step {start_step}");
    }
    let parts = [0, 1, 2]
        .map(|number| all_batches(LoaderSettings { part: Part { number, parts: 3 }, ..settings(&views) }));
    for (step, batch) in reference.iter().enumerate() {
        let samples: Vec<u64> = parts.iter().flat_map(|part| part[step].samples.clone()).collect();
        assert_eq!(samples, batch.samples);
    }
}

#[test]
fn a_batch_has_one_aspect_and_no_view_comes_twice() {
    let (_folder, views) = views();
    let aspects = views.set.aspects();
    let mut seen = Vec::new();
    let batches = all_batches(settings(&views));
    for batch in &batches {
        let aspect = aspects[batch.samples[0] as usize];
        assert!(batch.samples.iter().all(|&sample| aspects[sample as usize] == aspect));
        assert_eq!((batch.views.len(), batch.epochs.len(), batch.drawn.len()), (4, 4, 4));
        seen.extend(batch.samples.iter().copied().zip(batch.epochs.iter().copied()));
        assert_eq!(batch.epochs.iter().max(), Some(&batch.epoch));
    }
    assert!(
        batches.iter().any(|batch| batch.epochs.iter().any(|&epoch| epoch < batch.epoch)),
        "none has waited"
    );
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn one_sample_alone_is_what_the_loader_delivers() {
    let (_folder, views) = views();
    let (mut flips, mut shorts) = (0, vec![]);
    for batch in all_batches(settings(&views)) {
        for (slot, (&sample, &epoch)) in batch.samples.iter().zip(&batch.epochs).enumerate() {
            let (drawn, pixels) = view_alone(&views, sample, epoch);
            assert!(
                drawn == batch.drawn[slot] && pixels == batch.views[slot],
                "step {} slot {slot}",
                batch.step
            );
            let [width, height] = drawn.size;
            assert_eq!(pixels.len(), (width * height * 3) as usize);
            for Object { bbox: Region { x0, y0, x1, y1 }, .. } in drawn.objects {
                assert!(0.0 <= x0 && x0 < x1 && x1 <= width.into(), "{x0} {x1}");
                assert!(0.0 <= y0 && y0 < y1 && y1 <= height.into(), "{y0} {y1}");
            }
            flips += usize::from(drawn.flip);
            shorts.push(width.min(height));
        }
    }
    assert!((20..60).contains(&flips), "{flips} of 80");
    assert!([20, 30, 41].iter().filter(|side| shorts.contains(side)).count() >= 2);
}

#[test]
fn an_unusable_picture_is_replaced_by_one_of_its_aspect() {
    let (_folder, views) = views();
    let aspects = views.set.aspects();
    let damage =
        |sample: usize, bytes: &[u8]| fs::write(views.set.picture(sample).file().unwrap(), bytes).unwrap();
    damage(0, b"no picture");
    // Another size than that of its annotation.
    let other = fs::read(views.set.picture(3).file().unwrap()).unwrap();
    damage(4, &other);
    let mut loader = Loader::new(Arc::clone(views.set.index()), settings(&views)).unwrap();
    while let Some(batch) = loader.next().unwrap() {
        let aspect = aspects[batch.samples[0] as usize];
        assert!(batch.samples.iter().all(|&sample| aspects[sample as usize] == aspect));
        assert!(!batch.samples.contains(&0) && !batch.samples.contains(&4));
    }
    let bad = loader.bad_files();
    assert_eq!(bad.iter().map(|(sample, _)| *sample).collect::<Vec<_>>(), [0, 4]);
    assert!(bad[1].1.contains("27 x 40 pixels, and its annotation is of one of 48 x 36"), "{}", bad[1].1);
}

#[test]
fn a_schedule_of_another_set_is_refused() {
    let (_folder, views) = views();
    let schedule = Schedule::Grouped([0, 1].into());
    let index = Arc::clone(views.set.index());
    let error = Loader::new(index, LoaderSettings { schedule, ..settings(&views) }).err().unwrap();
    assert!(matches!(error, LoadError::OtherGroups { groups: 2, pictures: 13 }), "{error}");
}

fn evaluated(set: &Arc<DetectionSet>, settings: DetectionReading) -> Vec<DetectionBatch> {
    DetectionReader::new(Arc::clone(set), settings).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_evaluation_sees_every_picture_once_whatever_the_workers() {
    let (_folder, views) = views();
    let one = DetectionReading { short_side: 30, longest_side: 38, ..DetectionReading::default() };
    let alone = evaluated(&views.set, one);
    assert!(alone.iter().map(|batch| batch.samples.clone()).eq((0..13).map(|sample| vec![sample])));
    let mut scratch = ResizeScratch::default();
    for batch in &alone {
        let bytes = fs::read(views.set.picture(batch.samples[0]).file().unwrap()).unwrap();
        let image = decode(&bytes, &DecodeLimits::default()).unwrap();
        assert_eq!(batch.picture_sizes, [[image.width, image.height]]);
        assert_eq!(batch.size, resized(batch.picture_sizes[0], 30, 38));
        let expected = resize_to(&image, batch.size[0], batch.size[1], &mut scratch).unwrap();
        assert!(expected.pixels == batch.images);
    }
    let together = evaluated(&views.set, DetectionReading { batch_size: 3, workers: 1, ..one });
    for workers in [2, 5] {
        assert!(together == evaluated(&views.set, DetectionReading { batch_size: 3, workers, ..one }));
    }
    let mut samples: Vec<_> = together.iter().flat_map(|batch| batch.samples.clone()).collect();
    samples.sort_unstable();
    assert!(samples.into_iter().eq(0..13) && together.len() < 13);
    for batch in &together {
        let parts = batch.images.chunks((batch.size[0] * batch.size[1] * 3) as usize);
        assert_eq!(parts.len(), batch.samples.len());
        for (pixels, &sample) in parts.zip(&batch.samples) {
            assert!(pixels == alone[sample].images && batch.size == alone[sample].size);
        }
    }
}

#[test]
fn an_evaluation_leaves_no_picture_out() {
    let (_folder, views) = views();
    fs::write(views.set.picture(2).file().unwrap(), "no picture").unwrap();
    for batch_size in [1, 4] {
        let settings = DetectionReading { batch_size, ..DetectionReading::default() };
        let mut reader = DetectionReader::new(Arc::clone(&views.set), settings).unwrap();
        let error = reader.find_map(Result::err).unwrap();
        assert!(
            matches!(&error, ReadingError::Picture { place, .. } if place.ends_with("02.png")),
            "{error}"
        );
        assert!(reader.next().is_none());
    }
    let settings = DetectionReading { short_side: 0, ..DetectionReading::default() };
    assert!(DetectionReader::new(Arc::clone(&views.set), settings).is_err());
}

#[test]
fn a_header_says_the_size_of_the_decoded_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = draw_picture((31, 18), 1, 0).image;
    for name in ["a.jpg", "a.png", "a.bmp", "a.gif", "a.webp", "a.tif"] {
        let path = folder.path().join(name);
        image::save_buffer(&path, &picture.pixels, 31, 18, image::ExtendedColorType::Rgb8).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(upright_size(&bytes), Ok([31, 18]), "{name}");
        for length in 0..bytes.len().min(40) {
            let _ = upright_size(&bytes[..length]);
        }
    }
    assert!(upright_size(b"").is_err() && upright_size(b"no picture").is_err());
}
