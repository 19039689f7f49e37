//! COCO's files: one JSON document with pictures, categories and the objects of the pictures.
//!
//! A file is read as a stream, annotation by annotation, because that of COCO's training set has 450 MB, which as a tree of
//! JSON values would take gigabytes. Outlines lie in one list of coordinates.

mod check;
mod coordinate;
mod error;
mod findings;
mod json;
mod read;
mod set;
mod split;

use std::ops::Range;
use std::path::Path;

use densesiam_geometry::mask::RunLengths;
use densesiam_geometry::{Point, Xywh};
use densesiam_metrics::detection::{Kind, Truth};
use serde::Deserialize;

pub use coordinate::CocoCoordinate;
pub use error::{CocoEntry, CocoError, CocoFault};
pub use findings::CocoFindings;
use json::whole;
pub(super) use json::{Entry, Outline, each_entry};
pub(super) use read::{opened, parsed};
pub use set::read_coco;
pub use split::{CocoSplit, coco_splits, is_json};
use split::{below, shared_files};

/// What the set of these annotations is called. Roboflow's files all have one name, and their folder has that of the split.
fn name_of(annotations: &Path) -> String {
    let stem = annotations.file_stem().unwrap_or_default().to_string_lossy();
    match annotations.parent().and_then(Path::file_name) {
        Some(folder) if stem.starts_with('_') => format!("coco {}", folder.to_string_lossy()),
        _ => format!("coco {stem}"),
    }
}

/// Most pixel columns that the outline of one object may pass. An honest one passes each column of its object a few times.
const MOST_CROSSINGS: i64 = 1 << 20;
/// Most runs of all masks of a file together: 1 GiB.
const MOST_RUNS: usize = 1 << 28;

/// A picture of the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CocoPicture {
    /// Its number in the file.
    #[serde(deserialize_with = "whole")]
    pub id: u64,
    /// Path of the picture, as the file has it.
    #[serde(default)]
    pub file_name: String,
    /// Width in pixels.
    #[serde(deserialize_with = "whole")]
    pub width: u32,
    /// Height in pixels.
    #[serde(deserialize_with = "whole")]
    pub height: u32,
}

/// A category of the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CocoCategory {
    /// Its number in the file.
    #[serde(deserialize_with = "whole")]
    pub id: u64,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// An object of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoObject {
    /// Its number in the file.
    pub id: u64,
    /// Place of its picture among [`CocoFile::pictures`].
    pub picture: usize,
    /// Place of its category among [`CocoFile::categories`].
    pub class: usize,
    /// Its box in image space.
    pub bbox: Xywh,
    /// Its pixels: what the file says, or else those of its mask, or else of its box.
    pub area: f64,
    /// Whether it stands for many objects.
    pub crowd: bool,
    outline: Place,
}

/// Where the outline of an object lies.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Nowhere,
    /// Polygons of the file.
    Polygons(Range<usize>),
    /// A mask of the file.
    Mask(usize),
}

/// The outline of an object.
#[derive(Debug)]
pub enum CocoShape<'f, N> {
    /// Polygons of at least three vertices, each as `x, y, x, y, ...`; the object is their union.
    Polygons(Vec<&'f [N]>),
    /// A mask.
    Mask(&'f RunLengths),
}

/// A file of COCO. `N` holds the coordinates of polygons: `f32` takes half the memory; `f64` gives the masks of other programs
/// to the last pixel.
#[derive(Clone, Debug)]
pub struct CocoFile<N> {
    pictures: Vec<CocoPicture>,
    categories: Vec<CocoCategory>,
    /// Picture by picture, in the order of the file.
    objects: Vec<CocoObject>,
    /// Where the objects of each picture begin, and the end of the last ones.
    starts: Vec<usize>,
    polygons: Polygons<N>,
    masks: Vec<RunLengths>,
    findings: CocoFindings,
}

/// Polygons, their coordinates one after the other.
#[derive(Clone, Debug)]
struct Polygons<N> {
    coordinates: Vec<N>,
    ends: Vec<usize>,
}

impl<N> Polygons<N> {
    fn get(&self, number: usize) -> &[N] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.coordinates[start..self.ends[number]]
    }
}

impl<N: CocoCoordinate> CocoFile<N> {
    /// All pictures, by rising ids.
    pub fn pictures(&self) -> &[CocoPicture] {
        &self.pictures
    }

    /// All categories, by rising ids: the classes.
    pub fn categories(&self) -> &[CocoCategory] {
        &self.categories
    }

    /// All objects, picture by picture.
    pub fn objects(&self) -> &[CocoObject] {
        &self.objects
    }

    /// The objects of the picture at `picture` of [`CocoFile::pictures`], in the order of the file.
    pub fn objects_of(&self, picture: usize) -> &[CocoObject] {
        &self.objects[self.starts[picture]..self.starts[picture + 1]]
    }

    /// The outline of one of the file's objects, if the file has it.
    pub fn shape(&self, object: &CocoObject) -> Option<CocoShape<'_, N>> {
        match &object.outline {
            Place::Nowhere => None,
            Place::Polygons(range) => {
                Some(CocoShape::Polygons(range.clone().map(|number| self.polygons.get(number)).collect()))
            }
            Place::Mask(number) => Some(CocoShape::Mask(&self.masks[*number])),
        }
    }

    /// What is odd about the file, though it can be used.
    pub fn findings(&self) -> &CocoFindings {
        &self.findings
    }

    /// The place of the picture with an id.
    pub fn picture(&self, id: u64) -> Option<usize> {
        self.pictures.binary_search_by_key(&id, |picture| picture.id).ok()
    }

    /// The place of the category with an id.
    pub fn class(&self, id: u64) -> Option<usize> {
        self.categories.binary_search_by_key(&id, |category| category.id).ok()
    }

    /// Height and width of the picture at `picture`.
    pub fn size(&self, picture: usize) -> [u32; 2] {
        [self.pictures[picture].height, self.pictures[picture].width]
    }

    /// All objects as what detections are compared with; with their masks if these are scored.
    ///
    /// # Errors
    /// A [`CocoFault`] if masks are scored and an object has no outline or one without measure.
    pub fn truths(&self, kind: Kind) -> Result<Vec<Truth>, CocoFault> {
        let mut runs = 0;
        let truth = |object: &CocoObject| {
            let mask = match kind {
                Kind::Boxes => None,
                Kind::Masks => Some(self.mask(object)?),
            };
            runs += mask.as_ref().map_or(0, |mask| mask.counts().len());
            if runs > MOST_RUNS {
                return Err(CocoFault::Intricate { entry: CocoEntry::Annotation(object.id) });
            }
            let &CocoObject { picture, class, bbox, area, crowd, .. } = object;
            Ok(Truth { picture, class, bbox, mask, area, crowd, difficult: false })
        };
        self.objects.iter().map(truth).collect()
    }

    /// The mask of one of the file's objects, in its picture.
    ///
    /// # Errors
    /// A [`CocoFault`] if it has no outline or one without measure.
    pub fn mask(&self, object: &CocoObject) -> Result<RunLengths, CocoFault> {
        let entry = CocoEntry::Annotation(object.id);
        match self.shape(object) {
            None => Err(CocoFault::NoMask { entry }),
            Some(CocoShape::Mask(mask)) => Ok(mask.clone()),
            Some(CocoShape::Polygons(polygons)) => drawn(&polygons, self.size(object.picture), entry),
        }
    }
}

/// The mask of some polygons.
pub(super) fn drawn<N: CocoCoordinate>(
    polygons: &[&[N]],
    size: [u32; 2],
    entry: CocoEntry,
) -> Result<RunLengths, CocoFault> {
    measured(polygons, size, entry)?;
    let points = |polygon: &&[N]| {
        let pairs = polygon.chunks_exact(2);
        pairs.map(|pair| Point { x: pair[0].wide(), y: pair[1].wide() }).collect::<Vec<_>>()
    };
    Ok(RunLengths::from_polygons(polygons.iter().map(points), size))
}

/// Refuses polygons whose mask would take too long to draw.
fn measured<N: CocoCoordinate>(polygons: &[&[N]], size: [u32; 2], entry: CocoEntry) -> Result<(), CocoFault> {
    match polygons.iter().map(|polygon| crossings(polygon, size[1])).sum::<i64>() {
        ..=MOST_CROSSINGS => Ok(()),
        _ => Err(CocoFault::Intricate { entry }),
    }
}

/// At least as many pixel columns as the outline of a polygon passes.
fn crossings<N: CocoCoordinate>(polygon: &[N], width: u32) -> i64 {
    let last = polygon.len().saturating_sub(2);
    let ends = polygon.iter().step_by(2).zip(polygon[last..].iter().take(1).chain(polygon.iter().step_by(2)));
    let passed = |(to, from): (&N, &N)| {
        let within = |place: &N| place.wide().clamp(0.0, width.into());
        (within(to) - within(from)).abs() as i64 + 1
    };
    ends.map(passed).sum()
}
