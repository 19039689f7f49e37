//! What a region file holds: a manifest, and an entry for each picture.

use densesiam_geometry::Region;
use serde::{Deserialize, Serialize};

use super::method::{RegionKind, RegionSettings, Regions};
use super::raster::{Fault, Raster};

/// The number of the format; it changes when older programs could not read the file, or would read it wrongly.
pub(super) const FORMAT: u32 = 1;

/// The name of the manifest.
pub(super) const MANIFEST: &str = "regions.json";

/// What the whole file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) kind: RegionKind,
    pub(super) settings: RegionSettings,
    /// Pictures of the data set.
    pub(super) pictures: usize,
}

/// The name of a picture's entry, from the picture's key ([`crate::pack::keys`]).
pub(super) fn entry_name(key: &str, kind: RegionKind) -> String {
    let extension = if kind == RegionKind::Boxes { "json" } else { "png" };
    format!("pictures/{key}.{extension}")
}

/// The name of the entry of a picture without regions, which says why it has none.
pub(super) fn reason_name(key: &str) -> String {
    format!("pictures/{key}.txt")
}

/// Most bytes that an entry of a picture of this size may have: more than any that is written, so that memory is
/// bounded by what the picture itself takes.
pub(super) fn most_bytes([width, height]: [u32; 2]) -> u64 {
    (1 << 20) + 16 * u64::from(width) * u64::from(height)
}

#[derive(Serialize, Deserialize)]
struct BoxesOfPicture {
    width: u32,
    height: u32,
    /// Left, top, right and bottom edge of each.
    boxes: Vec<[f64; 4]>,
}

impl Regions {
    /// The bytes of the entry of a picture of this width and height.
    pub(super) fn to_bytes(&self, [width, height]: [u32; 2]) -> Result<Vec<u8>, String> {
        match self {
            Self::Segments(segments) => segments.to_png(),
            Self::Saliency(saliency) => saliency.to_png(),
            Self::Boxes(boxes) => {
                let edges = |&Region { x0, y0, x1, y1 }: &Region| [x0, y0, x1, y1];
                let boxes = boxes.iter().map(edges).collect();
                let written = serde_json::to_vec(&BoxesOfPicture { width, height, boxes });
                written.map_err(|error| error.to_string())
            }
        }
    }

    /// The regions of a picture of this width and height.
    pub(super) fn from_bytes(bytes: &[u8], kind: RegionKind, size: [u32; 2]) -> Result<Self, Fault> {
        match kind {
            RegionKind::Segments => Ok(Self::Segments(Raster::<u16>::from_png(bytes, size)?)),
            RegionKind::Saliency => Ok(Self::Saliency(Raster::<u8>::from_png(bytes, size)?)),
            RegionKind::Boxes => Ok(Self::Boxes(boxes_from(bytes, size)?)),
        }
    }
}

fn boxes_from(bytes: &[u8], size: [u32; 2]) -> Result<Vec<Region>, Fault> {
    let BoxesOfPicture { width, height, boxes } =
        serde_json::from_slice(bytes).map_err(|error| Fault::Damaged(error.to_string()))?;
    if [width, height] != size {
        return Err(Fault::OtherSize([width, height]));
    }
    let [right, bottom] = size.map(f64::from);
    let region = |[x0, y0, x1, y1]: [f64; 4]| {
        let within = 0.0 <= x0 && x0 < x1 && x1 <= right && 0.0 <= y0 && y0 < y1 && y1 <= bottom;
        let outside = || Fault::Damaged(format!("the box {:?} does not lie in it", [x0, y0, x1, y1]));
        within.then_some(Region { x0, y0, x1, y1 }).ok_or_else(outside)
    };
    boxes.into_iter().map(region).collect()
}
