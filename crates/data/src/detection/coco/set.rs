//! COCO's annotations as a set of objects to learn from.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use super::{CocoEntry, CocoError, CocoFault, CocoFile, CocoObject, CocoShape, measured, name_of};
use crate::detection::{Annotation, Classes, DetectionError, DetectionSet, Object, Shape};
use crate::index::ImageIndex;

/// Reads the objects of the annotations at `annotations`, whose pictures lie in `pictures`. Pictures are in the order of their
/// paths' bytes, classes in that of their ids or as they are given.
///
/// # Errors
/// A [`DetectionError`] for a file that cannot be used, a picture that is missing, and if the classes do not fit.
pub fn read_coco(
    pictures: &Path,
    annotations: &Path,
    classes: &Classes,
) -> Result<DetectionSet, DetectionError> {
    let file = CocoFile::<f64>::open(annotations)?;
    let name = name_of(annotations);
    let found: Vec<String> = file.categories().iter().map(|category| category.name.clone()).collect();
    let list = match classes {
        Classes::Found => found.clone(),
        Classes::All(list) | Classes::Among(list) => list.clone(),
    };
    if list.iter().collect::<HashSet<_>>().len() < list.len() {
        return Err(DetectionError::ClassList { set: name, fault: "names one twice" });
    }
    let numbers: HashMap<&str, usize> = list.iter().map(String::as_str).zip(0..).collect();
    let absent = list.iter().find(|class| !found.contains(class));
    if let (Classes::All(_), Some(class)) = (classes, absent) {
        return Err(DetectionError::AbsentClass { set: name, class: class.clone(), found });
    }
    let mut order: Vec<usize> = (0..file.pictures().len()).collect();
    order.sort_by(|&one, &two| file.pictures()[one].file_name.cmp(&file.pictures()[two].file_name));
    let mut kept = Vec::with_capacity(order.len());
    for &picture in &order {
        let path = pictures.join(&file.pictures()[picture].file_name);
        if !path.is_file() {
            return Err(DetectionError::MissingPicture { picture: path });
        }
        let objects = file.objects_of(picture).iter().map(|object| {
            let class = &found[object.class];
            let class = numbers.get(class.as_str()).copied().ok_or_else(|| DetectionError::UnknownClass {
                path: annotations.into(),
                class: class.clone(),
                classes: list.clone(),
            })?;
            numbered(&file, object, class)
                .map_err(|fault| CocoError { path: annotations.into(), fault }.into())
        });
        let [height, width] = file.size(picture);
        let objects = objects.collect::<Result<_, DetectionError>>()?;
        kept.push(Annotation { size: Some([width, height]), objects });
    }
    let names = order.iter().map(|&picture| OsString::from(&file.pictures()[picture].file_name));
    let index = ImageIndex::from_names(pictures, names)?;
    let ids = order.iter().map(|&picture| file.pictures()[picture].id).collect();
    let id_of = |class: &String| {
        let place = found.iter().position(|found| found == class);
        place.map(|place| file.categories()[place].id)
    };
    let categories = list.iter().map(id_of).collect();
    Ok(DetectionSet::new(name, list.clone(), index, kept)?.with_ids(ids, categories))
}

fn numbered(file: &CocoFile<f64>, object: &CocoObject, class: usize) -> Result<Object, CocoFault> {
    let shape = match file.shape(object) {
        None => None,
        Some(CocoShape::Polygons(polygons)) => {
            measured(&polygons, file.size(object.picture), CocoEntry::Annotation(object.id))?;
            Some(Shape::Polygons(polygons.into_iter().map(<[f64]>::to_vec).collect()))
        }
        Some(CocoShape::Mask(mask)) => Some(Shape::Mask(mask.clone())),
    };
    let &CocoObject { bbox, area, crowd, .. } = object;
    Ok(Object { bbox: bbox.into(), class, difficult: false, crowd, area, shape })
}
