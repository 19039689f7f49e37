//! Pictures one after the other, for networks that see each by itself.

use std::path::PathBuf;
use std::time::Instant;

use densesiam::error::Error;
use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_data::image::RgbImage;
use densesiam_data::index::{ImageIndex, Place};
use densesiam_engine::log::Progress;

use super::refused;
use crate::commands::{PredictArguments, interrupt};

/// A picture that was read.
pub(super) struct Read<'p> {
    /// Its number in the folder.
    pub(super) sample: usize,
    pub(super) place: &'p Place<'p>,
    /// The common part of the paths of its files.
    pub(super) stem: PathBuf,
    pub(super) picture: RgbImage,
}

/// Gives each picture that can be read to `predict`, and says how many there were, and how fast.
pub(super) fn each(
    arguments: &PredictArguments,
    (index, stems): (&ImageIndex, &[PathBuf]),
    (progress, max_pixels): (Progress, u64),
    mut predict: impl FnMut(Read<'_>) -> Result<(), Error>,
) -> Result<String, Error> {
    let (root, out) = (&arguments.pictures, &arguments.out);
    let limits = DecodeLimits { max_pixels };
    let (interrupt, start) = (interrupt()?, Instant::now());
    let mut unreadable = 0;
    for (sample, stem) in stems.iter().enumerate() {
        if let Some(signal) = interrupt.requested() {
            return Err(Error::Stopped { signal, out: out.clone() });
        }
        let place = &index.place(sample);
        match read(place, &limits) {
            Ok(picture) => predict(Read { sample, place, stem: out.join(stem), picture })?,
            Err(error) => {
                unreadable += 1;
                progress.println(format!("skipped: {error}"));
            }
        }
        progress.advance(sample as u64 + 1);
    }
    progress.finish();
    let predicted = index.len() - unreadable;
    if predicted == 0 {
        return Err(Error::Picture { path: root.clone(), reason: "no picture could be read".into() });
    }
    let rate = predicted as f64 / start.elapsed().as_secs_f64();
    Ok(format!("{predicted} pictures, {unreadable} pictures skipped, {rate:.1} pictures a second"))
}

fn read(place: &Place<'_>, limits: &DecodeLimits) -> Result<RgbImage, Error> {
    let mut bytes = Vec::new();
    place.read_into(&mut bytes).map_err(|source| refused(place, source.into()))?;
    decode(&bytes, limits).map_err(|error| refused(place, error.into()))
}
