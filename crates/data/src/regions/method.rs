//! The ways to find the regions of a picture, and what they give.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use densesiam_geometry::Region;
use densesiam_settings::{SettingError, require, within};
use densesiam_text::shown;
use serde::{Deserialize, Serialize};

use super::raster::Raster;
use super::{Felzenszwalb, SelectiveSearch, SymmetricSurround};
use crate::decode::{DecodeLimits, decode};
use crate::image::RgbImage;
use crate::index::Place;
use crate::loader::SampleError;
use crate::resize::{ResizeError, ResizeScratch, resize_levels, resize_to};

/// What is known of a picture's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// The number of a segment for each pixel.
    Segments,
    /// Boxes that may each hold a thing.
    Boxes,
    /// How much each pixel stands out.
    Saliency,
}

impl fmt::Display for RegionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Segments => "segments",
            Self::Boxes => "boxes",
            Self::Saliency => "saliency",
        })
    }
}

/// How regions are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum RegionMethod {
    /// Segments of similar colour.
    Felzenszwalb(Felzenszwalb),
    /// Boxes of merged segments.
    SelectiveSearch(SelectiveSearch),
    /// Saliency without a model.
    SymmetricSurround(SymmetricSurround),
    /// Saliency maps that somebody's model made: grey pictures, each named as its picture but with the ending `.png`.
    Maps {
        /// Their folder; not written into files, which are the same on another machine.
        #[serde(skip)]
        folder: PathBuf,
    },
}

/// Most segments that are merged to boxes. A merged segment may be a neighbour of all others, so that the pairs may be
/// half the square: with so many, 34 million or a gigabyte.
const MOST_SEGMENTS: u64 = 8192;

/// How regions are found, and in how large a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionSettings {
    /// How regions are found.
    pub method: RegionMethod,
    /// Longest side in pixels of the picture in which they are searched for; larger pictures are reduced to it first,
    /// and what is found is enlarged again (ours). It bounds time and memory. Maps are taken as they are.
    pub longest_side: u32,
}

impl RegionSettings {
    /// With a longest side that leaves all pictures of COCO and most of ImageNet as they are: 640 pixels for boxes, as
    /// their search takes more with each segment, and 2048 for the others.
    pub fn new(method: RegionMethod) -> Self {
        let longest_side = if matches!(method, RegionMethod::SelectiveSearch(_)) { 640 } else { 2048 };
        Self { method, longest_side }
    }

    /// What is found.
    pub fn kind(&self) -> RegionKind {
        match self.method {
            RegionMethod::Felzenszwalb(_) => RegionKind::Segments,
            RegionMethod::SelectiveSearch(_) => RegionKind::Boxes,
            RegionMethod::SymmetricSurround(_) | RegionMethod::Maps { .. } => RegionKind::Saliency,
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// A [`SettingError`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingError> {
        within("longest_side", self.longest_side, 16..=8192, "pixels")?;
        match &self.method {
            RegionMethod::Felzenszwalb(settings) => settings.validate(),
            RegionMethod::SelectiveSearch(settings) => {
                settings.validate()?;
                let most = u64::from(self.longest_side).pow(2) / u64::from(settings.segments.min_size);
                require(
                    most <= MOST_SEGMENTS,
                    "longest_side",
                    &self.longest_side,
                    "longest_side^2 / min_size of at most 8192 segments",
                )
            }
            RegionMethod::SymmetricSurround(settings) => settings.validate(),
            RegionMethod::Maps { .. } => Ok(()),
        }
    }

    /// The regions of a picture of at least one pixel. `name` is its path within the data set, which a map is found by.
    ///
    /// # Errors
    /// A [`RegionFault`] if this picture has no map, or more segments than a file can hold.
    pub fn regions(
        &self,
        picture: &RgbImage,
        name: &Path,
        limits: &DecodeLimits,
    ) -> Result<Regions, RegionFault> {
        let size @ [width, height] = [picture.width, picture.height];
        Ok(match &self.method {
            RegionMethod::Felzenszwalb(settings) => {
                let segments = settings.segment(&*self.reduced(picture)?);
                Regions::Segments(narrow(segments)?.stretched(width, height))
            }
            RegionMethod::SelectiveSearch(settings) => {
                let reduced = self.reduced(picture)?;
                let boxes =
                    enlarged_boxes(settings.every_box(&reduced), [reduced.width, reduced.height], size);
                Regions::Boxes(settings.filter.kept(&boxes, size))
            }
            RegionMethod::SymmetricSurround(settings) => {
                Regions::Saliency(enlarged(settings.saliency(&*self.reduced(picture)?), size)?)
            }
            RegionMethod::Maps { folder } => {
                Regions::Saliency(read_map(folder, name.with_extension("png"), size, limits)?)
            }
        })
    }

    /// The picture at the size in which regions are searched for.
    fn reduced<'p>(&self, picture: &'p RgbImage) -> Result<Cow<'p, RgbImage>, ResizeError> {
        let longest = picture.width.max(picture.height);
        if longest <= self.longest_side {
            return Ok(Cow::Borrowed(picture));
        }
        let share = f64::from(self.longest_side) / f64::from(longest);
        let [width, height] =
            [picture.width, picture.height].map(|side| (f64::from(side) * share).round().max(1.0) as u32);
        resize_to(picture, width, height, &mut ResizeScratch::default()).map(Cow::Owned)
    }
}

/// What is known of one picture's parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Regions {
    /// The segment of each pixel, numbered from 0.
    Segments(Raster<u16>),
    /// Boxes in pixels of the picture; a box's place in the list is its id.
    Boxes(Vec<Region>),
    /// How much each pixel stands out, 0 to 255.
    Saliency(Raster<u8>),
}

/// Why a picture has no regions: its own fault, or that of its map.
#[derive(Debug, thiserror::Error)]
pub enum RegionFault {
    /// The picture cannot be used.
    #[error(transparent)]
    Picture(#[from] SampleError),
    /// The map cannot be read.
    #[error("its map {}: {source}", shown(name))]
    Map {
        /// The map.
        name: PathBuf,
        /// What is wrong with it.
        source: SampleError,
    },
    /// The map is of another size.
    #[error("its map {} has {} x {} pixels, the picture {} x {}", shown(name), map[0], map[1], picture[0], picture[1])]
    MapSize {
        /// The map.
        name: PathBuf,
        /// Its width and height in pixels.
        map: [u32; 2],
        /// The picture's.
        picture: [u32; 2],
    },
    /// There are more segments than numbers of 16 bits.
    #[error("it has {count} segments, more than 65536; raise min_size or scale")]
    TooMany {
        /// How many.
        count: u32,
    },
    /// The picture could not be resampled: a bug.
    #[error(transparent)]
    Resize(#[from] ResizeError),
}

/// Read with the decoder of pictures, so that palettes and 16 bits are taken too; of a coloured map its lightness.
/// Errors name the map within its folder, since they are written into files.
fn read_map(
    folder: &Path,
    name: PathBuf,
    picture: [u32; 2],
    limits: &DecodeLimits,
) -> Result<Raster<u8>, RegionFault> {
    let mut bytes = Vec::new();
    let read = Place::File(folder.join(&name)).read_into(&mut bytes).map_err(SampleError::from);
    let decoded = read.and_then(|()| Ok(decode(&bytes, limits)?));
    let RgbImage { width, height, pixels } = match decoded {
        Ok(map) => map,
        Err(source) => return Err(RegionFault::Map { name, source }),
    };
    if [width, height] != picture {
        return Err(RegionFault::MapSize { name, map: [width, height], picture });
    }
    // Rec. 601 in thousandths; three equal levels give that level.
    let lightness = |rgb: &[u8]| {
        let [r, g, b] = [0, 1, 2].map(|channel| u32::from(rgb[channel]));
        ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
    };
    let values = pixels.chunks_exact(3).map(lightness).collect();
    Ok(Raster { width, height, values })
}

fn narrow(segments: Raster<u32>) -> Result<Raster<u16>, RegionFault> {
    let Raster { width, height, values } = segments;
    let last = values.iter().copied().max().unwrap_or_default();
    if last > u16::MAX.into() {
        return Err(RegionFault::TooMany { count: last + 1 });
    }
    Ok(Raster { width, height, values: values.into_iter().map(|segment| segment as u16).collect() })
}

fn enlarged_boxes(boxes: Vec<Region>, from: [u32; 2], to: [u32; 2]) -> Vec<Region> {
    let scale = [0, 1].map(|axis| f64::from(to[axis]) / f64::from(from[axis]));
    let enlarged = |Region { x0, y0, x1, y1 }| {
        let ([x0, x1], [y0, y1]) = ([x0, x1].map(|x| x * scale[0]), [y0, y1].map(|y| y * scale[1]));
        Region { x0, y0, x1, y1 }
    };
    boxes.into_iter().map(enlarged).collect()
}

fn enlarged(map: Raster<u8>, [width, height]: [u32; 2]) -> Result<Raster<u8>, ResizeError> {
    if [map.width, map.height] == [width, height] {
        return Ok(map);
    }
    let whole = Region { x0: 0.0, y0: 0.0, x1: map.width.into(), y1: map.height.into() };
    let mut values = vec![0; width as usize * height as usize];
    let scratch = &mut ResizeScratch::default();
    resize_levels((map.width, map.height), &map.values, &whole, (width, height), scratch, &mut values)?;
    Ok(Raster { width, height, values })
}
