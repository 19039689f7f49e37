//! The laws of segmentation's views: replay, independence of the workers, and agreement with the released order of
//! operations.

use std::sync::Arc;

use densesiam_data::demo::{DemoSettings, draw_picture, write_demo};
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{Batch, Loader, LoaderSettings, SampleScratch, SampleSource, load_sample};
use densesiam_data::resize::{ResizeScratch, resize_region};
use densesiam_data::views::aligned::{AlignedPair, AlignedViews, BlurDraw, CropRounding};
use densesiam_data::views::{Augmentation, ViewMaker, ViewParameters};
use densesiam_geometry::{Fraction, Region, View};
use densesiam_random::{Key, Purpose};
use densesiam_settings::SettingError;
use tempfile::TempDir;

fn data_set(broken: &[usize]) -> (TempDir, Arc<ImageIndex>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = DemoSettings { train: 13, val: 0, width: 64, height: 48, seed: 9 };
    write_demo(folder.path(), &settings).unwrap();
    let index = Arc::new(ImageIndex::scan(&folder.path().join("train/images")).unwrap());
    broken
        .iter()
        .for_each(|&number| std::fs::write(index.place(number).file().unwrap(), b"no picture").unwrap());
    (folder, index)
}

fn settings() -> LoaderSettings<AlignedViews> {
    let augmentation = AlignedViews { base_size: 48, size: 24, ..AlignedViews::default() };
    LoaderSettings { augmentation, batch_size: 4, seed: 11, total_steps: 9, ..LoaderSettings::default() }
}

fn all_batches(index: &Arc<ImageIndex>, settings: LoaderSettings<AlignedViews>) -> Vec<Batch<AlignedPair>> {
    let mut loader = Loader::new(Arc::clone(index), settings).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = loader.next().unwrap() {
        batches.push(batch.clone());
        loader.recycle(batch);
    }
    batches
}

#[test]
fn workers_and_the_first_step_change_nothing() {
    let (_folder, index) = data_set(&[5]);
    let reference = all_batches(&index, settings());
    assert_eq!(reference.len(), 9);
    for (workers, prefetch_batches, start_step) in [(3, 2, 0), (7, 4, 0), (2, 1, 4)] {
        let found =
            all_batches(&index, LoaderSettings { workers, prefetch_batches, start_step, ..settings() });
        assert!(found == reference[start_step as usize..], "{workers} workers from step {start_step}");
    }
    let pixels = 4 * 24 * 24 * 3;
    assert!(reference.iter().all(|batch| batch.views.iter().all(|views| views.len() == pixels)));
    assert!(reference.iter().all(|batch| batch.drawn.len() == 4));
}

#[test]
fn replay_gives_identical_views_in_every_epoch_and_fresh_does_not() {
    let (_folder, index) = data_set(&[]);
    for replay in [true, false] {
        let augmentation = AlignedViews { replay, ..settings().augmentation };
        let source = SampleSource {
            index: &index,
            augmentation: &augmentation,
            seed: 1,
            limits: Default::default(),
            min_side: 1,
        };
        let views = |epoch: u64, sample: u64| {
            let mut scratch = SampleScratch::new(&augmentation.sizes());
            let pair = load_sample(&source, sample, epoch, &mut scratch).unwrap();
            (pair, scratch.views().to_vec())
        };
        for sample in 0..13 {
            let equal = views(0, sample) == views(3, sample);
            assert_eq!(equal, replay, "sample {sample}");
        }
    }
}

#[test]
fn a_batch_holds_the_boxes_and_flips_of_its_samples() {
    let (_folder, index) = data_set(&[]);
    let settings = settings();
    for batch in all_batches(&index, settings.clone()) {
        for (slot, &sample) in batch.samples.iter().enumerate() {
            let key = Key::new(settings.seed, Purpose::Geometry).epoch(batch.epoch).sample(sample);
            let pair = settings.augmentation.draw((64, 48), key);
            let drawn = &batch.drawn[slot];
            assert_eq!((pair.feature_box, pair.flip), (drawn.feature_box, drawn.flip));
        }
    }
}

/// The view's colours at the base size first, then crop, scaling and flip: the released order.
fn coloured_first(image: &RgbImage, pair: &AlignedPair, view: usize, base: u32, size: u32) -> Vec<u8> {
    let ViewParameters { view: View { crop, flip }, mut photometric } = pair.views[view];
    let scale = f64::from(base) / pair.frame.width();
    let base_per_pixel = crop.width() * scale / f64::from(size);
    photometric.blur_sigma = photometric.blur_sigma.map(|sigma| sigma * base_per_pixel);
    let whole = ViewParameters { view: View { crop: pair.frame, flip: false }, photometric };
    let mut coloured = RgbImage::new(base, base);
    ViewMaker::new(base).apply(image, &whole, &mut coloured.pixels).unwrap();
    let at_base = |x: f64, origin: f64| ((x - origin) * scale).clamp(0.0, base.into());
    let part = Region {
        x0: at_base(crop.x0, pair.frame.x0),
        y0: at_base(crop.y0, pair.frame.y0),
        x1: at_base(crop.x1, pair.frame.x0),
        y1: at_base(crop.y1, pair.frame.y0),
    };
    let mut out = RgbImage::new(size, size);
    resize_region(&coloured, &part, (size, size), &mut ResizeScratch::default(), &mut out.pixels).unwrap();
    if flip {
        image::imageops::flip_horizontal(&image::RgbImage::from_raw(size, size, out.pixels).unwrap())
            .into_raw()
    } else {
        out.pixels
    }
}

#[test]
fn colouring_at_the_output_size_is_close_to_the_released_order() {
    let augmentation = AlignedViews {
        base_size: 192,
        size: 96,
        // Every view is jittered, so that clamping and the mean of contrast matter in all of them.
        jitter_probability: 1.0,
        ..AlignedViews::default()
    };
    let mut worst = [0.0f64; 2];
    for number in 0..24 {
        let image = draw_picture((288, 216), 5, number).image;
        let key = Key::new(2, Purpose::Geometry).sample(number);
        let pair = augmentation.draw((288, 216), key);
        for view in [0, 1] {
            let mut found = vec![0; 96 * 96 * 3];
            let parameters = &pair.views[view];
            ViewMaker::new(96).apply_in_frame(&image, &pair.frame, parameters, &mut found).unwrap();
            let expected = coloured_first(&image, &pair, view, 192, 96);
            let difference: u64 = found.iter().zip(&expected).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
            worst[view] = worst[view].max(difference as f64 / found.len() as f64);
        }
    }
    eprintln!("largest mean absolute difference: {worst:?} levels");
    assert!(worst.iter().all(|&levels| levels < 2.0), "{worst:?}");
}

#[test]
fn contrast_of_the_crop_blends_against_the_frame() {
    // Left half black, right half white: crops of one half have another mean than the frame.
    let mut image = RgbImage::new(64, 64);
    image.pixels.chunks_exact_mut(3).enumerate().for_each(|(i, p)| p.fill(if i % 64 < 32 { 0 } else { 255 }));
    let frame = Region { x0: 0.0, y0: 0.0, x1: 64.0, y1: 64.0 };
    let augmentation = AlignedViews {
        jitter_probability: 1.0,
        brightness: 0.0,
        saturation: 0.0,
        hue: 0.0,
        ..settings().augmentation
    };
    let mut pair = augmentation.draw((64, 64), Key::new(0, Purpose::Geometry));
    let parameters = &mut pair.views[0];
    parameters.view.crop = Region { x1: 28.0, ..frame };
    parameters.photometric.jitter.as_mut().unwrap().contrast = 0.5;
    let mut out = vec![0; 24 * 24 * 3];
    ViewMaker::new(24).apply_in_frame(&image, &frame, parameters, &mut out).unwrap();
    assert!(out[..3].iter().all(|&level| level.abs_diff(64) <= 1), "{:?}", &out[..3]);
    ViewMaker::new(24).apply(&image, parameters, &mut out).unwrap();
    assert_eq!(out[..3], [0, 0, 0]);
}

/// A picture of its own coordinates: where view 1 shows a level, the cell of view 2 at the same place shows it too.
#[test]
fn box_and_flip_lead_from_view_1_to_the_same_places_of_view_2() {
    let mut image = RgbImage::new(256, 256);
    image.pixels.chunks_exact_mut(3).enumerate().for_each(|(i, p)| {
        p.copy_from_slice(&[(i % 256) as u8, (i / 256) as u8, 0]);
    });
    let size = 64;
    let plain = AlignedViews {
        base_size: 256,
        size,
        jitter_probability: 0.0,
        grayscale_probability: 0.0,
        blur_probability: 0.0,
        ..AlignedViews::default()
    };
    for sample in 0..40 {
        let pair = plain.draw((256, 256), Key::new(4, Purpose::Geometry).sample(sample));
        let views = [0, 1].map(|view| {
            let mut out = RgbImage::new(size, size);
            ViewMaker::new(size).apply(&image, &pair.views[view], &mut out.pixels).unwrap();
            out
        });
        let Fraction { x0, y0, x1, y1 } = pair.feature_box;
        let cells = View { crop: Region { x0, y0, x1, y1 }, flip: pair.flip };
        for (place, cell) in
            (Region { x0: -1.0, y0: -1.0, x1: 1.0, y1: 1.0 }).cell_centres(8).iter().enumerate()
        {
            let (column, row) = (place as u32 % 8, place as u32 / 8);
            // The centre of a cell of 8 pixels lies between four of them.
            let first = [0, 1].map(|c| {
                let level = |dx, dy| f64::from(views[0].pixel(8 * column + 3 + dx, 8 * row + 3 + dy)[c]);
                (level(0, 0) + level(1, 0) + level(0, 1) + level(1, 1)) / 4.0
            });
            let share = cells.image_from_view(*cell);
            let at = |share: f64| ((share * f64::from(size)) as u32).min(size - 1);
            let second = views[1].pixel(at(share.x), at(share.y));
            for c in [0, 1] {
                // Two levels: half a pixel of view 2, and the rounding of both.
                assert!(
                    (first[c] - f64::from(second[c])).abs() <= 3.5,
                    "sample {sample}: {first:?} {second:?}"
                );
            }
        }
    }
}

#[test]
fn pictures_of_any_shape_give_views() {
    let augmentation = AlignedViews { base_size: 64, size: 16, ..AlignedViews::default() };
    let mut maker = ViewMaker::new(16);
    let mut out = vec![0; 16 * 16 * 3];
    for (width, height) in [(1, 1), (1, 300), (300, 1), (3, 2), (97, 61), (61, 97), (333, 217)] {
        let image = RgbImage::new(width, height);
        for sample in 0..150 {
            for crop in [CropRounding::Exact, CropRounding::Released] {
                let settings = AlignedViews { crop, ..augmentation.clone() };
                let key = Key::new(1, Purpose::Geometry).sample(sample);
                let pair = settings.draw((width, height), key);
                for parameters in &pair.views {
                    let made = maker.apply_in_frame(&image, &pair.frame, parameters, &mut out);
                    made.unwrap_or_else(|error| panic!("{width} x {height}, sample {sample}: {error}"));
                }
            }
        }
    }
}

#[test]
fn settings_out_of_range_are_named_and_unknown_keys_refused() {
    let invalid = |change: fn(&mut AlignedViews)| -> SettingError {
        let mut settings = AlignedViews::default();
        change(&mut settings);
        settings.validate().unwrap_err()
    };
    for (error, key) in [
        (invalid(|s| s.base_size = 0), "augment.base_size"),
        (invalid(|s| s.size = 2), "augment.size"),
        (invalid(|s| s.crop_ratio = [0.5, 1.2]), "augment.crop_ratio"),
        (invalid(|s| s.hue = 0.7), "augment.hue"),
        (invalid(|s| s.flip_probability = -0.1), "augment.flip_probability"),
        (invalid(|s| s.blur_sigma = [0.0, 2.0]), "augment.blur_sigma"),
    ] {
        assert_eq!(error.key, key);
    }
    assert!(AlignedViews::default().validate().is_ok());
    let read: AlignedViews = serde_json::from_str(r#"{"blur": "released", "crop": "released"}"#).unwrap();
    assert_eq!((read.blur, read.crop), (BlurDraw::Released, CropRounding::Released));
    assert!(serde_json::from_str::<AlignedViews>(r#"{"sise": 32}"#).is_err());
}
