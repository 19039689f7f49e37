//! Evaluation and prediction: from pictures to the pseudo-category of each of their pixels.

use std::time::Instant;

use densesiam_engine::device::{resolve_threads, set_threads};
use densesiam_engine::memory;
use densesiam_nn::Store;
use serde_json::json;
use tch::Kind;

use super::limits::{copy_rate, matrix_product_rate};
use super::step::{noise, segment_recipe};
use super::{least, median};
use crate::answer::answer_line;
use densesiam::error::Error;
use densesiam::memory::{bytes_of_pictures, fits};
use densesiam::tasks::segment::pixel_categories;
use densesiam_nn::input::Input;

/// `densesiam bench predict`: what `densesiam evaluate` does between decoding and counting.
pub(super) fn run(
    settings: &[String],
    size: u32,
    batch: usize,
    (warmup, steps): (usize, usize),
) -> Result<(), Error> {
    fits(bytes_of_pictures(batch, size), "--batch and --size")?;
    let (recipe, categories) = segment_recipe(settings)?;
    let device = recipe.common.run.device.resolve()?;
    let (precision, _) = recipe.common.run.precision.resolve(device);
    let threads = resolve_threads(recipe.common.run.threads);
    set_threads(threads);
    let store = Store::new(Kind::Float, device, recipe.common.run.seed);
    let model = recipe.method().build(&store, categories);
    let input = Input::new(precision.kind(), device);
    let pictures = noise(batch * size as usize * size as usize * 3, 0);
    let mut seconds = Vec::new();
    for step in 0..warmup + steps {
        let start = Instant::now();
        pixel_categories(&*model, &input, &pictures, [size; 2])?;
        if step >= warmup {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let (peak, peak_on_device) = (memory::peak_megabytes(), memory::peak_device_megabytes(device));
    let line = json!({
        "bench": "predict", "program": "densesiam", "architecture": recipe.method().encoder().architecture,
        "size": size, "batch": batch, "categories": categories, "precision": precision,
        "device": format!("{device:?}"), "threads": threads,
        "pictures_per_second": batch as f64 / median(&seconds),
        "seconds": {"batch": median(&seconds), "minimum": least(&seconds)},
        "peak_memory_megabytes": peak, "peak_device_memory_megabytes": peak_on_device,
        "matrix_product_gflops": matrix_product_rate(precision.kind(), device),
        "copy_gigabytes_per_second": copy_rate(device),
    });
    answer_line(line)
}
