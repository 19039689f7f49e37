//! `densesiam data regions`: regions of every picture, into one file.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use densesiam::error::Error;
use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::loader::PATIENCE;
use densesiam_data::regions::{
    Felzenszwalb, RegionError, RegionMethod, RegionSettings, RegionWriteSettings, SelectiveSearch,
    SymmetricSurround, WrittenRegions, write_regions,
};
use densesiam_engine::log::{Progress, Voice, say};
use densesiam_text::shown;

use super::{Kind, RegionArguments};
use crate::answer::answer_line;
use crate::commands::interrupt;

/// Unreadable pictures that are named.
const NAMED: usize = 10;

/// Finds the regions of all pictures, and prints where they are and which pictures have none.
pub(super) fn run(arguments: &RegionArguments) -> Result<(), Error> {
    let index = Arc::new(ImageIndex::scan(Path::new(&arguments.pictures))?);
    let mut regions = RegionSettings::new(method(arguments)?);
    regions.longest_side = arguments.longest_side.unwrap_or(regions.longest_side);
    let settings = RegionWriteSettings {
        path: arguments.out.clone(),
        regions,
        overwrite: arguments.overwrite,
        workers: arguments.workers.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        limits: DecodeLimits::default(),
        patience: PATIENCE,
    };
    let interrupt = interrupt()?;
    let progress = Progress::new(&Voice::Terminal, "regions", 0, index.len() as u64, 1);
    let written = write_regions(&index, &settings, &mut |done, _| progress.advance(done as u64), &|| {
        interrupt.requested().is_some()
    });
    progress.finish();
    match (written, interrupt.requested()) {
        (Ok(written), _) => report(&index, arguments, &written),
        (Err(reason @ RegionError::Interrupted { .. }), Some(signal)) => {
            Err(Error::RegionsStopped { signal, reason })
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn method(arguments: &RegionArguments) -> Result<RegionMethod, Error> {
    let tuned = |mut segments: Felzenszwalb| {
        segments.scale = arguments.scale.unwrap_or(segments.scale);
        segments.min_size = arguments.min_size.unwrap_or(segments.min_size);
        segments
    };
    let of_segments = arguments.scale.is_some() || arguments.min_size.is_some();
    let method = match (arguments.kind, &arguments.maps) {
        (Kind::Segments, None) => RegionMethod::Felzenszwalb(tuned(Felzenszwalb::default())),
        (Kind::Boxes, None) => {
            let plain = SelectiveSearch::default();
            RegionMethod::SelectiveSearch(SelectiveSearch { segments: tuned(plain.segments), ..plain })
        }
        (Kind::Saliency, _) if of_segments => {
            return Err(Error::Usage("saliency has no --scale and no --min-size".into()));
        }
        (Kind::Saliency, None) => RegionMethod::SymmetricSurround(SymmetricSurround::default()),
        (Kind::Saliency, Some(folder)) => RegionMethod::Maps { folder: folder.clone() },
        (_, Some(_)) => return Err(Error::Usage("--maps are maps of saliency: --kind saliency".into())),
    };
    Ok(method)
}

fn report(index: &ImageIndex, arguments: &RegionArguments, written: &WrittenRegions) -> Result<(), Error> {
    for (sample, reason) in written.unreadable.iter().take(NAMED) {
        say(format_args!("no regions: {}: {reason}", index.place(*sample)));
    }
    let unnamed = written.unreadable.len().saturating_sub(NAMED);
    if unnamed > 0 {
        say(format_args!("no regions: {unnamed} more"));
    }
    if written.unreadable.len() == written.pictures {
        let (pictures, out) = (written.pictures, shown(&arguments.out));
        return Err(Error::Usage(format!(
            "none of {pictures} pictures has regions, so that {out} is of no use"
        )));
    }
    answer_line(format_args!(
        "{}: {} pictures in {:.1} MB, {} without regions",
        shown(&arguments.out),
        written.pictures,
        written.bytes as f64 / 1e6,
        written.unreadable.len()
    ))
}
