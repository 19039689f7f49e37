//! From the model's small map of logits to the label of every pixel, in memory that does not grow with the categories.

use std::path::Path;

use tch::{Kind, Tensor};

use densesiam::error::Error;
use densesiam::file::write_bytes;
use densesiam::tasks::segment::Trained;
use densesiam_report::pictures::Palette;

/// Logits of full-size pixels that are held at once: 64 MiB. A picture of 24 megapixels in 27 categories has 39 times
/// as many.
pub(super) const STRIP_VALUES: usize = 1 << 24;

/// The category of each of `width x height` pixels: the argmax of the logits `[1, N, h, w]` upsampled bilinearly, in
/// strips of rows of about `strip_values` logits. A row's result does not depend on its strip.
pub(super) fn categories(
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
        // Narrowed where they are computed: from a card they come over a bus.
        let strip = Vec::<i16>::try_from(strip.flatten(0, -1).to_kind(Kind::Int16))
            .map_err(|error| internal(&error))?;
        categories.extend(strip.into_iter().map(|category| category as u16));
    }
    Ok(categories)
}

/// The two rows of the small map that an output row lies between, and the weight of the second: as PyTorch's bilinear
/// interpolation with `align_corners = false`.
fn row_taps(row: u32, map_height: u32, height: u32) -> (i64, i64, f32) {
    let source = (map_height as f32 / height as f32 * (row as f32 + 0.5) - 0.5).max(0.0);
    let first = (source as u32).min(map_height - 1);
    (i64::from(first), i64::from((first + 1).min(map_height - 1)), (source - first as f32).min(1.0))
}

/// The logits at some rows of the full height, still at the width of the small map.
fn stretched(logits: &Tensor, taps: &[(i64, i64, f32)]) -> Tensor {
    let rows = |row: fn(&(i64, i64, f32)) -> i64| {
        let rows: Vec<i64> = taps.iter().map(row).collect();
        logits.index_select(2, &Tensor::from_slice(&rows).to_device(logits.device()))
    };
    let weights: Vec<f32> = taps.iter().map(|tap| tap.2).collect();
    let weights = Tensor::from_slice(&weights).to_device(logits.device()).view([1, 1, -1, 1]);
    rows(|tap| tap.0).lerp_tensor(&rows(|tap| tap.1), &weights)
}

/// How label values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueDepth {
    /// Palette indices, with the colours of the overlays.
    Palette,
    /// Grey values of 16 bits, where there are more values than a palette has places.
    Wide,
}

impl ValueDepth {
    /// What the values of this model need.
    pub(super) fn of(trained: &Trained) -> Self {
        let classes = trained.classes.as_ref().map_or(0, |classes| classes.names.len());
        if classes + trained.categories <= 256 { Self::Palette } else { Self::Wide }
    }

    /// Bits of a value.
    pub(super) fn bits(self) -> u8 {
        match self {
            Self::Palette => 8,
            Self::Wide => 16,
        }
    }
}

/// A PNG of label values.
pub(super) fn write_labels(
    path: &Path,
    labels: &[u16],
    [width, height]: [u32; 2],
    (depth, palette): (ValueDepth, &Palette),
) -> Result<(), Error> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    // A tenth of the ordinary setting's time, for a quarter more bytes.
    encoder.set_compression(png::Compression::Fast);
    let bytes: Vec<u8> = match depth {
        ValueDepth::Palette => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_palette((0..256).flat_map(|value| palette.colour_of(value)).collect::<Vec<u8>>());
            labels.iter().map(|&label| label as u8).collect()
        }
        ValueDepth::Wide => {
            encoder.set_color(png::ColorType::Grayscale);
            encoder.set_depth(png::BitDepth::Sixteen);
            labels.iter().flat_map(|label| label.to_be_bytes()).collect()
        }
    };
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&bytes)?;
        writer.finish()
    });
    written.map_err(|error| Error::Internal(error.to_string()))?;
    write_bytes(path, &file)
}

fn internal(error: &tch::TchError) -> Error {
    Error::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn logits(shape: [i64; 3]) -> Tensor {
        let count: i64 = shape.iter().product();
        // No two cells alike, and no step between neighbours that repeats.
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
            // The largest logit to rounding: which of two equal ones is taken is free.
            let short = upsampled.amax([1], true) - upsampled.gather(1, &found, false);
            assert!(short.max().double_value(&[]) < 1e-5, "{shape:?}");
        }
    }

    #[test]
    fn values_beyond_a_palette_are_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.png");
        write_labels(&path, &[0, 255, 256, 999], [2, 2], (ValueDepth::Wide, &Palette::default())).unwrap();
        assert_eq!(image::open(&path).unwrap().to_luma16().into_raw(), [0, 255, 256, 999]);
    }
}
