//! The data paths: from files to the views of each picture, on one core.

use std::time::Instant;

use densesiam_data::decode::{DecodeLimits, decode_into};
use densesiam_data::image::RgbImage;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{SampleScratch, SampleSource, load_sample};
use densesiam_data::views::Augmentation;
use densesiam_data::views::aligned::AlignedViews;
use densesiam_data::views::random::RandomViews;
use densesiam_engine::device::set_threads;
use densesiam_engine::memory;
use serde_json::json;
use tch::{Device, Kind};

use super::limits::{copy_rate, matrix_product_rate};
use super::{PassArguments, PictureArguments, least, median};
use crate::answer::answer_line;
use densesiam::error::Error;
use densesiam::recipe::find;
use densesiam::recipe::transfer::Model;
use densesiam::tasks::transfer::{detection, segmentation};

/// `densesiam bench loader`
pub(super) fn pretrain_views(arguments: &PictureArguments, size: u32) -> Result<(), Error> {
    let index = ImageIndex::scan(&arguments.root)?;
    measure(
        "loader",
        (&index, DecodeLimits::default(), &arguments.passes),
        &RandomViews { size, ..RandomViews::default() },
    )
}

/// `densesiam bench segment-loader`
pub(super) fn segment_views(arguments: &PictureArguments) -> Result<(), Error> {
    let index = ImageIndex::scan(&arguments.root)?;
    measure("segment-loader", (&index, DecodeLimits::default(), &arguments.passes), &AlignedViews::default())
}

/// `densesiam bench transfer-loader`
pub(super) fn transfer_views(recipe: &str, settings: &[String], passes: &PassArguments) -> Result<(), Error> {
    const NAME: &str = "transfer-loader";
    match Model::of(recipe, settings)? {
        Model::Fcn => {
            let plan = segmentation::Plan::new(find(recipe, settings)?)?;
            measure(NAME, (&plan.run.index, plan.run.limits(), passes), &plan.views())
        }
        Model::Detector => {
            let plan = detection::Plan::new(find(recipe, settings)?)?;
            measure(NAME, (&plan.run.index, plan.run.limits(), passes), &plan.views())
        }
    }
}

/// Makes the views of some pictures several times; the first pass is a warm-up and does not count.
fn measure<A: Augmentation>(
    name: &str,
    (index, limits, passes): (&ImageIndex, DecodeLimits, &PassArguments),
    augmentation: &A,
) -> Result<(), Error> {
    augmentation.validate()?;
    let count = passes.pictures.min(index.len());
    let sizes = augmentation.sizes();
    let source = SampleSource { index, augmentation, seed: 1, limits, min_side: 1 };
    let mut scratch = SampleScratch::new(&sizes);
    let (mut whole, mut decoded, mut unusable) = (Vec::new(), Vec::new(), 0);
    for repeat in 0..=passes.repeats {
        let decode = seconds_to_decode(index, count, &source.limits)?;
        let start = Instant::now();
        for sample in 0..count {
            // An unusable picture takes time here, as it does in training.
            let made = load_sample(&source, sample as u64, repeat as u64, &mut scratch);
            unusable += usize::from(repeat == 0 && made.is_err());
        }
        if repeat > 0 {
            decoded.push(decode / count as f64 * 1e3);
            whole.push(start.elapsed().as_secs_f64() / count as f64 * 1e3);
        }
    }
    let peak = memory::peak_megabytes();
    set_threads(1);
    let line = json!({
        "bench": name, "program": "densesiam", "pictures": count, "unusable": unusable, "size": sizes.first(),
        "milliseconds_a_picture": {"median": median(&whole), "minimum": least(&whole), "decode": least(&decoded)},
        "pictures_per_second_a_core": 1e3 / median(&whole),
        "peak_memory_megabytes": peak,
        "matrix_product_gflops_one_thread": matrix_product_rate(Kind::Float, Device::Cpu),
        "copy_gigabytes_per_second": copy_rate(Device::Cpu),
    });
    answer_line(line)
}

/// Reads and decodes the pictures, and nothing else.
fn seconds_to_decode(index: &ImageIndex, count: usize, limits: &DecodeLimits) -> Result<f64, Error> {
    let (mut bytes, mut image) = (Vec::new(), RgbImage::default());
    let start = Instant::now();
    for sample in 0..count {
        let place = index.place(sample);
        place.read_into(&mut bytes).map_err(|error| Error::file(place.to_string(), error))?;
        let _ = decode_into(&bytes, limits, &mut image);
    }
    Ok(start.elapsed().as_secs_f64())
}
