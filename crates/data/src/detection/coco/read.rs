//! How a file of COCO is read.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use densesiam_geometry::{Region, Xywh};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::json::{Progress, Runs};
use super::{
    CocoCategory, CocoCoordinate, CocoEntry, CocoError, CocoFault, CocoFile, CocoFindings, CocoObject,
    CocoPicture, Entry, Outline, Place, Polygons, each_entry,
};
use crate::detection::survey::{is_empty, leaves};

/// Largest file that is read: ten times that of COCO's training set.
const LARGEST: u64 = 4 << 30;
/// Longest side of a picture, so that its pixels can be counted.
const LONGEST_SIDE: u32 = u16::MAX as u32;
/// Bytes that are read from a file at once.
const BUFFER: usize = 256 << 10;
/// Numbers of the shortest polygon: three vertices.
const SHORTEST_POLYGON: usize = 6;

impl<N: CocoCoordinate> CocoFile<N> {
    /// Reads the ground truth at `path`, in a second or two for each 100 MB of it, with some twice the memory that the file takes.
    ///
    /// # Errors
    /// A [`CocoError`] if it cannot be read, is damaged, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self, CocoError> {
        let read = opened(path).and_then(Self::read);
        read.map_err(|fault| CocoError { path: path.into(), fault })
    }

    /// As [`CocoFile::open`], without the pictures, categories and annotations that [`CocoFile::open`] would refuse, and with the
    /// fault of each.
    ///
    /// # Errors
    /// A [`CocoError`] if nothing can be read.
    pub fn open_without_faulty(path: &Path) -> Result<(Self, Vec<CocoFault>), CocoError> {
        let read = opened(path).and_then(Self::read_without_faulty);
        read.map_err(|fault| CocoError { path: path.into(), fault })
    }

    /// As [`CocoFile::open_without_faulty`], of the bytes of a file.
    ///
    /// # Errors
    /// A [`CocoFault`] if nothing can be read.
    pub fn read_without_faulty(bytes: impl BufRead) -> Result<(Self, Vec<CocoFault>), CocoFault> {
        let mut faults = Vec::new();
        let file = Draft::of(bytes)?.resolved(&mut |fault| {
            faults.push(fault);
            Ok(())
        })?;
        Ok((file, faults))
    }

    /// Reads the bytes of a ground truth.
    ///
    /// # Errors
    /// A [`CocoFault`] if they are damaged or contradict themselves.
    pub fn read(bytes: impl BufRead) -> Result<Self, CocoFault> {
        Draft::of(bytes)?.resolved(&mut Err)
    }
}

/// The bytes of the file at `path`, if it is not too large.
pub(in crate::detection) fn opened(path: &Path) -> Result<BufReader<File>, CocoFault> {
    let file = File::open(path).map_err(CocoFault::Unreadable)?;
    match file.metadata().map_err(CocoFault::Unreadable)?.len() {
        bytes if bytes > LARGEST => Err(CocoFault::TooLarge { bytes, limit: LARGEST }),
        _ => Ok(BufReader::with_capacity(BUFFER, file)),
    }
}

/// Parses all of some JSON, whose long list is called `list`.
pub(in crate::detection) fn parsed<B: BufRead>(
    mut bytes: B,
    list: &'static str,
    parse: impl FnOnce(
        &mut serde_json::Deserializer<serde_json::de::IoRead<B>>,
        &mut Progress,
    ) -> Result<(), serde_json::Error>,
) -> Result<(), CocoFault> {
    let start = bytes.fill_buf().map_err(CocoFault::Unreadable)?;
    let mark = start.len() - densesiam_text::content(start).map_err(CocoFault::NotText)?.len();
    bytes.consume(mark);
    if bytes.fill_buf().map_err(CocoFault::Unreadable)?.is_empty() {
        return Err(CocoFault::Empty);
    }
    let mut progress = Progress::default();
    let mut parser = serde_json::Deserializer::from_reader(bytes);
    let result = parse(&mut parser, &mut progress).and_then(|()| parser.end());
    let Err(source) = result else { return Ok(()) };
    if let Some(fault) = progress.fault {
        return Err(fault);
    }
    let place = progress.entry.map(|entry| format!("entry {entry} (counted from 0) of its {list}"));
    Err(match source.classify() {
        serde_json::error::Category::Io => CocoFault::Unreadable(source.into()),
        serde_json::error::Category::Eof => {
            let outside = || format!("line {}, column {}", source.line(), source.column());
            CocoFault::Cut { place: place.unwrap_or_else(outside) }
        }
        _ => CocoFault::Json { place, source },
    })
}

/// What was read of a file so far.
struct Draft<N> {
    pictures: Option<Vec<CocoPicture>>,
    categories: Option<Vec<CocoCategory>>,
    /// None before the list was there.
    objects: Option<Vec<DraftObject>>,
    polygons: Polygons<N>,
    findings: CocoFindings,
}

/// An object whose picture and category may not be known yet: lists may come in any order.
struct DraftObject {
    id: u64,
    picture: u64,
    category: u64,
    bbox: Option<Xywh>,
    area: Option<f64>,
    crowd: bool,
    outline: Option<DraftOutline>,
}

enum DraftOutline {
    Polygons(std::ops::Range<usize>),
    Runs(Box<Runs>),
}

impl<N> Default for Draft<N> {
    fn default() -> Self {
        let polygons = Polygons { coordinates: Vec::new(), ends: Vec::new() };
        Self { pictures: None, categories: None, objects: None, polygons, findings: CocoFindings::default() }
    }
}

/// Decides about a fault: an error ends the reading, and else what is faulty is left out.
type Refuse<'r> = dyn FnMut(CocoFault) -> Result<(), CocoFault> + 'r;

impl<N: CocoCoordinate> Draft<N> {
    fn of(bytes: impl BufRead) -> Result<Self, CocoFault> {
        let mut draft = Self::default();
        parsed(bytes, "annotations", |parser, progress| {
            Document { draft: &mut draft, progress }.deserialize(parser)
        })?;
        Ok(draft)
    }

    fn object(&mut self, entry: Entry, position: usize) -> DraftObject {
        let id = entry.id.unwrap_or(position as u64);
        let outline = match entry.segmentation {
            Some(Outline::Runs(runs)) => Some(DraftOutline::Runs(Box::new(runs))),
            Some(Outline::Polygons(polygons)) if !polygons.is_empty() => {
                let first = self.polygons.ends.len();
                polygons.iter().for_each(|polygon| self.polygon(polygon, id));
                Some(DraftOutline::Polygons(first..self.polygons.ends.len()))
            }
            _ => None,
        };
        DraftObject {
            id,
            picture: entry.image_id,
            category: entry.category_id,
            bbox: entry.bbox.map(Xywh::from),
            area: entry.area,
            crowd: entry.iscrowd > 0,
            outline,
        }
    }

    fn polygon(&mut self, polygon: &[f64], id: u64) {
        if polygon.len() < SHORTEST_POLYGON || polygon.len() % 2 == 1 {
            self.findings.short_polygons.push(id);
            return;
        }
        self.polygons.coordinates.extend(polygon.iter().map(|&value| N::of(value)));
        self.polygons.ends.push(self.polygons.coordinates.len());
    }

    fn resolved(self, refuse: &mut Refuse<'_>) -> Result<CocoFile<N>, CocoFault> {
        let mut pictures = self.pictures.ok_or(CocoFault::NoList("images"))?;
        let mut categories = self.categories.ok_or(CocoFault::NoList("categories"))?;
        let drafts = self.objects.ok_or(CocoFault::NoList("annotations"))?;
        pictures.sort_by_key(|picture| picture.id);
        categories.sort_by_key(|category| category.id);
        unique("picture", &mut pictures, |picture| picture.id, refuse)?;
        unique("category", &mut categories, |category| category.id, refuse)?;
        let mut unmeasurable = HashSet::new();
        for picture in pictures.extract_if(.., |picture| !is_measurable(picture)) {
            let CocoPicture { id, width, height, .. } = picture;
            unmeasurable.insert(id);
            refuse(CocoFault::PictureSize { id, width, height, longest: LONGEST_SIDE })?;
        }
        let mut file = CocoFile {
            starts: Vec::with_capacity(pictures.len() + 1),
            pictures,
            categories,
            objects: Vec::with_capacity(drafts.len()),
            polygons: self.polygons,
            masks: Vec::new(),
            findings: self.findings,
        };
        // What is wrong with a picture is said once, and not of each of its objects.
        for draft in drafts.into_iter().filter(|draft| !unmeasurable.contains(&draft.picture)) {
            file.place(draft).or_else(&mut *refuse)?;
        }
        file.find_duplicates();
        file.objects.sort_by_key(|object| object.picture);
        let start = |picture| file.objects.partition_point(|object| object.picture < picture);
        let starts = (0..=file.pictures.len()).map(start).collect();
        Ok(CocoFile { starts, ..file })
    }
}

impl<N: CocoCoordinate> CocoFile<N> {
    fn place(&mut self, draft: DraftObject) -> Result<(), CocoFault> {
        let DraftObject { id, crowd, .. } = draft;
        let entry = CocoEntry::Annotation(id);
        let unknown = CocoFault::UnknownPicture { entry, picture: draft.picture };
        let picture = self.picture(draft.picture).ok_or(unknown)?;
        let Some(class) = self.class(draft.category) else {
            self.findings.unknown_categories.push(id);
            return Ok(());
        };
        let outline = match draft.outline {
            None => Place::Nowhere,
            Some(DraftOutline::Polygons(range)) => Place::Polygons(range),
            Some(DraftOutline::Runs(runs)) => {
                self.masks.push(runs.mask(self.size(picture), entry)?);
                Place::Mask(self.masks.len() - 1)
            }
        };
        let mut object = CocoObject { id, picture, class, bbox: Xywh::default(), area: 0.0, crowd, outline };
        if draft.bbox.is_none() || draft.area.is_none() {
            let mask = (object.outline != Place::Nowhere).then(|| self.mask(&object)).transpose()?;
            let of_mask = mask.as_ref().map(|mask| (mask.bounding_box(), f64::from(mask.area())));
            object.bbox = draft.bbox.or(of_mask.map(|(bbox, _)| bbox)).ok_or(CocoFault::NoBox { entry })?;
            object.area = of_mask.map_or(object.bbox.area(), |(_, area)| area);
        }
        object.bbox = draft.bbox.unwrap_or(object.bbox);
        object.area = draft.area.unwrap_or(object.area);
        self.look_at(&object);
        self.objects.push(object);
        Ok(())
    }

    fn look_at(&mut self, object: &CocoObject) {
        let [height, width] = self.size(object.picture);
        let bbox = Region::from(object.bbox);
        if is_empty(&bbox) {
            self.findings.flat_boxes.push(object.id);
        }
        if leaves(&bbox, [width, height]) {
            self.findings.boxes_outside.push(object.id);
        }
        if let Place::Polygons(polygons) = &object.outline {
            let is_outside = |polygon: &usize| lies_outside(self.polygons.get(*polygon), [width, height]);
            let outside = polygons.clone().filter(is_outside).map(|_| object.id);
            self.findings.polygons_outside.extend(outside);
        }
    }

    fn find_duplicates(&mut self) {
        let mut ids: Vec<u64> = self.objects.iter().map(|object| object.id).collect();
        ids.sort_unstable();
        let again = ids.windows(2).filter(|pair| pair[0] == pair[1]);
        self.findings.duplicate_ids = again.map(|pair| pair[0]).collect();
    }
}

/// Whether no part of a polygon can lie in a picture of this width and height.
fn lies_outside<N: CocoCoordinate>(polygon: &[N], size: [u32; 2]) -> bool {
    let axis = |first: usize| polygon.iter().skip(first).step_by(2).map(|value| value.wide());
    (0..2).any(|first| {
        let beyond = f64::from(size[first]);
        axis(first).all(|value| value <= 0.0) || axis(first).all(|value| value >= beyond)
    })
}

fn is_measurable(picture: &CocoPicture) -> bool {
    let sides = 1..=LONGEST_SIDE;
    sides.contains(&picture.width) && sides.contains(&picture.height)
}

/// Leaves out the entries of a list, sorted by id, whose id the one before has.
fn unique<T>(
    what: &'static str,
    entries: &mut Vec<T>,
    id_of: impl Fn(&T) -> u64,
    refuse: &mut Refuse<'_>,
) -> Result<(), CocoFault> {
    for pair in entries.windows(2) {
        let id = id_of(&pair[1]);
        if id_of(&pair[0]) == id {
            refuse(CocoFault::Twice { what, id })?;
        }
    }
    entries.dedup_by_key(|entry| id_of(entry));
    Ok(())
}

/// The whole document.
struct Document<'a, N> {
    draft: &'a mut Draft<N>,
    progress: &'a mut Progress,
}

impl<'de, N: CocoCoordinate> DeserializeSeed<'de> for Document<'_, N> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, N: CocoCoordinate> Visitor<'de> for Document<'_, N> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the lists images, annotations and categories")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let draft = self.draft;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "images" if draft.pictures.is_none() => draft.pictures = Some(map.next_value()?),
                "categories" if draft.categories.is_none() => draft.categories = Some(map.next_value()?),
                "annotations" if draft.objects.is_none() => {
                    let mut objects = Vec::new();
                    let take = |entry| {
                        objects.push(draft.object(entry, objects.len()));
                        Ok(())
                    };
                    map.next_value_seed(each_entry::<Entry, _>(take, self.progress))?;
                    draft.objects = Some(objects);
                }
                "images" | "categories" | "annotations" => {
                    return Err(A::Error::custom(format!("the list {key} is there twice")));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
