//! PASCAL VOC: `ImageSets/Main/SPLIT.txt` lists the names of a split, `Annotations/NAME.xml` holds the objects of a picture,
//! `JPEGImages/NAME.jpg` is it. Other data sets come in the same form.

mod check;
mod part;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use densesiam_geometry::Region;
use densesiam_text::shown;

use super::set::fault_of;
use super::{Annotation, DetectionError, DetectionSet, Object};
use crate::index::ImageIndex;
use crate::labelled::spelling::Spelling;

pub use check::voc_parts;
pub use part::VocPart;
pub use xml::{VocAnnotation, VocFault, VocObject, parse_voc};

/// The classes of PASCAL VOC, in alphabetical order.
pub const VOC_CLASSES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// Which classes a set has, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// PASCAL VOC's 20 of parts of its years whose annotations name no others; else all that the annotations name, sorted, or that
    /// COCO's file lists.
    #[default]
    Found,
    /// This list; each must be named by an annotation, so that a misspelt one is noticed. For the list of a recipe.
    All(Vec<String>),
    /// This list; some may not be named. For the pictures on which a model is evaluated that knows these classes.
    Among(Vec<String>),
}

/// Reads the objects of several parts together, as of 2007 and 2012. A picture that several parts list is one. Pictures are in
/// the order of their paths' bytes.
///
/// # Errors
/// A [`DetectionError`] for the first file that is missing or cannot be used, and if the classes do not fit.
pub fn read_voc(root: &Path, parts: &[VocPart], classes: &Classes) -> Result<DetectionSet, DetectionError> {
    if parts.is_empty() {
        return Err(DetectionError::NoPart);
    }
    let names: Vec<String> = parts.iter().map(ToString::to_string).collect();
    let name = format!("voc {}", names.join(" "));
    let spelling = Spelling::default();
    let root = &devkit(root, &spelling);
    let mut files = BTreeMap::new();
    for part in parts {
        for (picture, annotation) in listed(root, part, &spelling)? {
            files.insert(picture, annotation?);
        }
    }
    if files.is_empty() {
        return Err(DetectionError::NoPicture { set: name });
    }
    let read = files.values().map(|path| read_annotation(path)).collect::<Result<Vec<_>, _>>()?;
    let named = read.iter().flat_map(|annotation| &annotation.objects).map(|object| &*object.name).collect();
    let classes = classes.resolved((&name, parts), &named)?;
    let numbers: BTreeMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let annotations = read.into_iter().zip(files.values()).map(|(read, path)| numbered(read, path, &numbers));
    let annotations = annotations.collect::<Result<_, _>>()?;
    let index = ImageIndex::from_names(root, files.keys())?;
    DetectionSet::new(name, classes, index, annotations)
}

/// The folder of the years, which the archives unpack into one of their own.
fn devkit(root: &Path, spelling: &Spelling) -> PathBuf {
    let nested = spelling.path(root, "VOCdevkit");
    if nested.is_dir() { nested } else { root.into() }
}

/// A picture by its path below the root, and the path of its annotation, or which of both is missing.
type Listed = (OsString, Result<PathBuf, DetectionError>);

/// The pictures that the list of a part names.
fn listed(root: &Path, part: &VocPart, spelling: &Spelling) -> Result<Vec<Listed>, DetectionError> {
    let below = part.folder();
    let missing = |missing| DetectionError::MissingPart { part: part.clone(), missing };
    let list = spelling.path(root, below.join("ImageSets/Main").join(format!("{}.txt", part.split)));
    let [annotations, pictures] =
        ["Annotations", "JPEGImages"].map(|name| spelling.path(root, below.join(name)));
    for folder in [&annotations, &pictures] {
        if !folder.is_dir() {
            return Err(missing(folder.clone()));
        }
    }
    if !list.is_file() {
        return Err(missing(list));
    }
    let text = densesiam_text::read(&list).map_err(|error| DetectionError::list(list, error))?;
    let of_stem = |line: &str| {
        // Some lists name the file of the picture.
        let stem = match pictures.join(line).is_file() {
            true => Path::new(line).with_extension("").to_string_lossy().into_owned(),
            false => line.to_owned(),
        };
        let picture = pictures.join(spelling.picture(&pictures, &stem));
        let below = picture.strip_prefix(root).unwrap_or(&picture).into();
        let named = format!("{stem}.xml");
        let annotation = match spelling.file(&annotations, Path::new(&named)) {
            _ if !picture.is_file() => Err(DetectionError::MissingPicture { picture }),
            Some(annotation) => Ok(annotation),
            None => Err(DetectionError::MissingAnnotation { picture, annotation: annotations.join(&named) }),
        };
        (below, annotation)
    };
    Ok(text.lines().map(str::trim).filter(|stem| !stem.is_empty()).map(of_stem).collect())
}

fn read_annotation(path: &Path) -> Result<VocAnnotation, DetectionError> {
    let unreadable = |source| DetectionError::Unreadable { path: path.into(), source };
    // Checked before reading, and once more of the bytes: a special file says that it has none.
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    let parsed = match length > xml::LARGEST {
        true => Err(VocFault::TooLarge),
        false => parse_voc(&std::fs::read(path).map_err(unreadable)?),
    };
    parsed.map_err(|fault| DetectionError::Annotation { path: path.into(), fault })
}

impl Classes {
    fn resolved(
        &self,
        (set, parts): (&str, &[VocPart]),
        named: &BTreeSet<&str>,
    ) -> Result<Vec<String>, DetectionError> {
        let owned = |name: &&str| (*name).to_owned();
        let of_a_year = parts.iter().any(|part| part.year.is_some());
        let list = match self {
            // Other sets may happen to have some of its classes, and would be scored for those that they lack.
            Self::Found if of_a_year && named.iter().all(|name| VOC_CLASSES.contains(name)) => {
                VOC_CLASSES.iter().map(owned).collect()
            }
            Self::Found => named.iter().map(owned).collect(),
            Self::All(list) | Self::Among(list) => list.clone(),
        };
        let has_slash = list.iter().any(|class| class.contains(['/', '\0']));
        let slash = "has a slash in a name, after which no file of detections can be called; write the name without it";
        if let Some(fault) = fault_of(&list).or(has_slash.then_some(slash)) {
            return Err(DetectionError::ClassList { set: set.into(), fault });
        }
        let absent = list.iter().find(|class| !named.contains(class.as_str()));
        match (self, absent) {
            (Self::All(_), Some(class)) => Err(DetectionError::AbsentClass {
                set: set.into(),
                class: class.clone(),
                found: named.iter().map(owned).collect(),
            }),
            _ => Ok(list),
        }
    }
}

fn numbered(
    read: VocAnnotation,
    path: &Path,
    numbers: &BTreeMap<&str, usize>,
) -> Result<Annotation, DetectionError> {
    let object = |VocObject { name, bbox, difficult }: VocObject| {
        let Some(&class) = numbers.get(&*name) else {
            let mut classes: Vec<_> =
                numbers.iter().map(|(name, number)| (number, (*name).to_owned())).collect();
            classes.sort_unstable();
            let classes = classes.into_iter().map(|(_, name)| name).collect();
            let place = format!("the annotation {}", shown(path));
            return Err(DetectionError::UnknownClass { place, class: name, classes });
        };
        let area = area(&bbox);
        Ok(Object { bbox, class, difficult, crowd: false, area, shape: None })
    };
    let objects = read.objects.into_iter().map(object).collect::<Result<_, _>>()?;
    Ok(Annotation { size: read.size, objects })
}

/// The area of a box, which has none if its corners are the wrong way round.
fn area(bbox: &Region) -> f64 {
    bbox.width().max(0.0) * bbox.height().max(0.0)
}
