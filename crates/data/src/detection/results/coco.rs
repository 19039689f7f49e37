//! COCO's results: a JSON list with picture, category, box or mask, and score of each detection.

use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;

use densesiam_geometry::Xywh;
use densesiam_geometry::mask::RunLengths;
use densesiam_metrics::detection::{Detection, Kind};
use serde::Serialize;
use serde::de::DeserializeSeed;

use crate::detection::coco::{
    CocoCoordinate, CocoEntry, CocoError, CocoFault, CocoFile, Entry, Outline, drawn, each_entry, opened,
    parsed,
};

/// Reads COCO's results at `path`: detections in the pictures of `truth`, in the order of the file. Of boxes the masks are
/// read only where a box is missing.
///
/// # Errors
/// A [`CocoError`] if the file cannot be read or is damaged, names a picture or category that `truth` does not have, or
/// lacks what is scored.
pub fn read_coco_results<N: CocoCoordinate>(
    path: &Path,
    truth: &CocoFile<N>,
    kind: Kind,
) -> Result<Vec<Detection>, CocoError> {
    let read = opened(path).and_then(|bytes| parse_coco_results(bytes, truth, kind));
    read.map_err(|fault| CocoError { path: path.into(), fault })
}

/// As [`read_coco_results`], of the bytes of a file.
///
/// # Errors
/// A [`CocoFault`], as [`read_coco_results`].
pub fn parse_coco_results<N: CocoCoordinate>(
    bytes: impl BufRead,
    truth: &CocoFile<N>,
    kind: Kind,
) -> Result<Vec<Detection>, CocoFault> {
    let mut detections = Vec::new();
    let take = |entry: Entry| {
        detections.push(detection(&entry, CocoEntry::Position(detections.len()), truth, kind)?);
        Ok(())
    };
    parsed(bytes, "detections", |parser, progress| {
        each_entry::<Entry, _>(take, progress).deserialize(parser)
    })?;
    Ok(detections)
}

fn detection<N: CocoCoordinate>(
    found: &Entry,
    entry: CocoEntry,
    truth: &CocoFile<N>,
    kind: Kind,
) -> Result<Detection, CocoFault> {
    let unknown = CocoFault::UnknownPicture { entry, picture: found.image_id };
    let picture = truth.picture(found.image_id).ok_or(unknown)?;
    let unknown = CocoFault::UnknownCategory { entry, category: found.category_id };
    let class = truth.class(found.category_id).ok_or(unknown)?;
    let score = found.score.ok_or(CocoFault::NoScore { entry })?;
    let mask =
        || found.segmentation.as_ref().map(|outline| mask(outline, truth.size(picture), entry)).transpose();
    let bbox = found.bbox.map(Xywh::from);
    // Rounding may leave a little less than nothing.
    let is_turned = |bbox: &Xywh| bbox.width.min(bbox.height) < -1e-3;
    if let Some(Xywh { width, height, .. }) = bbox.filter(is_turned) {
        return Err(CocoFault::NegativeBox { entry, width, height });
    }
    let (bbox, mask) = match (kind, bbox) {
        (Kind::Boxes, Some(bbox)) => (bbox, None),
        (Kind::Boxes, None) => (mask()?.ok_or(CocoFault::NoBox { entry })?.bounding_box(), None),
        (Kind::Masks, bbox) => {
            let mask = mask()?.ok_or(CocoFault::NoMask { entry })?;
            (bbox.unwrap_or_else(|| mask.bounding_box()), Some(mask))
        }
    };
    Ok(Detection { picture, class, score, bbox, mask })
}

fn mask(outline: &Outline, size: [u32; 2], entry: CocoEntry) -> Result<RunLengths, CocoFault> {
    match outline {
        Outline::Runs(runs) => runs.mask(size, entry),
        Outline::Polygons(polygons) => {
            let polygons: Vec<&[f64]> = polygons.iter().map(Vec::as_slice).collect();
            drawn(&polygons, size, entry)
        }
    }
}

/// A detection as it is written.
#[derive(Serialize)]
struct Written {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segmentation: Option<WrittenMask>,
}

#[derive(Serialize)]
struct WrittenMask {
    size: [u32; 2],
    counts: String,
}

/// Writes detections to `path` as COCO's tools read them. `pictures` and `categories` hold the ids by the numbers of pictures
/// and classes; those of a file are those of [`CocoFile::pictures`] and [`CocoFile::categories`].
///
/// # Errors
/// A [`CocoError`] if the file cannot be written.
///
/// # Panics
/// When a detection is in a picture or of a class without an id.
pub fn write_coco_results<'d>(
    path: &Path,
    detections: impl IntoIterator<Item = &'d Detection>,
    pictures: &[u64],
    categories: &[u64],
) -> Result<(), CocoError> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        let mut separator = "[";
        for found in detections {
            file.write_all(separator.as_bytes())?;
            separator = ",\n";
            let segmentation = found.mask.as_ref();
            let written = Written {
                image_id: pictures[found.picture],
                category_id: categories[found.class],
                bbox: found.bbox.into(),
                score: found.score,
                segmentation: segmentation
                    .map(|mask| WrittenMask { size: mask.size(), counts: mask.to_coco() }),
            };
            serde_json::to_writer(&mut file, &written)?;
        }
        file.write_all(if separator == "[" { b"[]\n" } else { b"]\n" })?;
        file.flush()
    };
    write().map_err(|error| CocoError { path: path.into(), fault: CocoFault::Unwritable(error) })
}
