//! From the model's small map of logits to the category of every pixel, in memory that does not grow with the categories.

use tch::{Kind, TchError, Tensor};

use crate::error::Error;

/// Logits of full-size pixels that are held at once: 64 MiB. A picture of 24 megapixels in 27 categories has 39 times
/// as many.
pub(crate) const STRIP_VALUES: usize = 1 << 24;

/// The category of each of `width x height` pixels: the argmax of the logits `[1, N, h, w]` upsampled bilinearly, in
/// strips of rows of about `strip_values` logits ([`STRIP_VALUES`]). A row's result does not depend on its strip.
///
/// # Errors
/// When the categories cannot be read from the device.
pub(crate) fn categories(
    logits: &Tensor,
    [width, height]: [u32; 2],
    strip_values: usize,
) -> Result<Vec<u16>, Error> {
    let logits = logits.to_kind(Kind::Float);
    let (_, count, map_height, _) = logits.size4().map_err(|error| internal(&error))?;
    let strip_height = (strip_values / (count as usize * width as usize).max(1)).max(1);
    let mut categories = Vec::with_capacity(width as usize * height as usize);
    let rows: Vec<u32> = (0..height).collect();
    for rows in rows.chunks(strip_height) {
        let taps: Vec<_> = rows.iter().map(|&row| row_taps(row, map_height as u32, height)).collect();
        let strip = tch::no_grad(|| {
            let tall = stretched(&logits, &taps);
            let size = [rows.len() as i64, i64::from(width)];
            tall.upsample_bilinear2d(size, false, None, None).argmax(1, false)
        });
        // Converted to a narrow type on the device, because a graphics card sends them over a bus.
        let strip = Vec::<i16>::try_from(strip.flatten(0, -1).to_kind(Kind::Int16))
            .map_err(|error| internal(&error))?;
        categories.extend(strip.into_iter().map(|category| category as u16));
    }
    Ok(categories)
}

/// The two rows of the small map that an output row lies between, and the weight of the second, as in PyTorch's
/// bilinear interpolation with `align_corners = false`.
fn row_taps(row: u32, map_height: u32, height: u32) -> (i64, i64, f32) {
    let source = (map_height as f32 / height as f32 * (row as f32 + 0.5) - 0.5).max(0.0);
    let first = (source as u32).min(map_height - 1);
    (i64::from(first), i64::from((first + 1).min(map_height - 1)), (source - first as f32).min(1.0))
}

/// The logits of some rows of the full height, still at the width of the small map.
fn stretched(logits: &Tensor, taps: &[(i64, i64, f32)]) -> Tensor {
    let rows = |row: fn(&(i64, i64, f32)) -> i64| {
        let rows: Vec<i64> = taps.iter().map(row).collect();
        logits.index_select(2, &Tensor::from_slice(&rows).to_device(logits.device()))
    };
    let weights: Vec<f32> = taps.iter().map(|tap| tap.2).collect();
    let weights = Tensor::from_slice(&weights).to_device(logits.device()).view([1, 1, -1, 1]);
    rows(|tap| tap.0).lerp_tensor(&rows(|tap| tap.1), &weights)
}

fn internal(error: &TchError) -> Error {
    Error::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn logits(shape: [i64; 3]) -> Tensor {
        let count: i64 = shape.iter().product();
        // No two cells are equal, and no difference between neighbours repeats.
        let cells = Tensor::arange(count, (Kind::Double, Device::Cpu));
        ((&cells * 12.9898).sin() * 43.7585)
            .frac()
            .to_kind(Kind::Float)
            .view([1, shape[0], shape[1], shape[2]])
    }

    #[test]
    fn strips_of_any_height_equal_the_whole() {
        for (shape, size) in
            [([5, 9, 7], [61, 83]), ([3, 20, 30], [11, 7]), ([4, 1, 1], [3, 2]), ([2, 6, 4], [4, 6])]
        {
            let logits = logits(shape);
            let whole = categories(&logits, size, usize::MAX).unwrap();
            assert_eq!(whole.len(), (size[0] * size[1]) as usize);
            for strip_values in [0, 700, 4000] {
                assert_eq!(
                    categories(&logits, size, strip_values).unwrap(),
                    whole,
                    "{shape:?} {strip_values}"
                );
            }
        }
    }

    #[test]
    fn categories_are_those_of_the_bilinear_upsampling_of_the_whole() {
        for (shape, size) in [([5, 9, 7], [61, 83]), ([27, 20, 30], [120, 80]), ([6, 16, 16], [5, 9])] {
            let logits = logits(shape);
            let upsampled =
                logits.upsample_bilinear2d([i64::from(size[1]), i64::from(size[0])], false, None, None);
            let found = categories(&logits, size, 1000).unwrap();
            let found: Vec<i64> = found.into_iter().map(i64::from).collect();
            let found = Tensor::from_slice(&found).view([1, 1, i64::from(size[1]), i64::from(size[0])]);
            // The largest logit up to rounding: either of two equal ones may be taken.
            let short = upsampled.amax([1], true) - upsampled.gather(1, &found, false);
            assert!(short.max().double_value(&[]) < 1e-5, "{shape:?}");
        }
    }
}
