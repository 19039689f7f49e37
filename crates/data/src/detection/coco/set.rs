//! COCO's annotations as a set of objects to learn from.

use std::collections::HashMap;
use std::path::Path;

use densesiam_text::shown;

use super::{
    CocoEntry, CocoError, CocoFault, CocoFile, CocoFindings, CocoObject, CocoShape, CocoSplit, below,
    measured, name_of, shared_files,
};
use crate::detection::set::fault_of;
use crate::detection::{
    Annotation, Classes, DetectionError, DetectionFinding, DetectionProblem, DetectionSet, Object, Shape,
};
use crate::index::ImageIndex;

/// Reads the objects of a split. Pictures are in the order of their paths' bytes, classes in that of their ids or as they are
/// given.
///
/// # Errors
/// A [`DetectionError`] for a file that cannot be used, a picture that is missing, and if the classes do not fit.
pub fn read_coco(split: &CocoSplit, classes: &Classes) -> Result<DetectionSet, DetectionError> {
    let annotations = &*split.annotations;
    let file = CocoFile::<f64>::open(annotations)?;
    let name = name_of(annotations);
    if file.pictures().is_empty() {
        return Err(DetectionError::NoPictureListed { annotations: annotations.into() });
    }
    let named = file.pictures().iter().try_for_each(|picture| below(picture).map(drop));
    named.map_err(|fault| CocoError { path: annotations.into(), fault })?;
    let folder = split.pictures(&file)?;
    let found: Vec<String> = file.categories().iter().map(|category| category.name.clone()).collect();
    let list = match classes {
        Classes::Found => found.clone(),
        Classes::All(list) | Classes::Among(list) => list.clone(),
    };
    if let Some(fault) = fault_of(&list) {
        return Err(DetectionError::ClassList { set: name, fault });
    }
    let numbers: HashMap<&str, usize> = list.iter().map(String::as_str).zip(0..).collect();
    let absent = list.iter().find(|class| !found.contains(class));
    if let (Classes::All(_), Some(class)) = (classes, absent) {
        return Err(DetectionError::AbsentClass { set: name, class: class.clone(), found });
    }
    let mut order: Vec<usize> = (0..file.pictures().len()).collect();
    order.sort_by(|&one, &two| file.pictures()[one].file_name.cmp(&file.pictures()[two].file_name));
    let (mut names, mut kept) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
    for &picture in &order {
        let path = Path::new(&file.pictures()[picture].file_name);
        if !folder.join(path).is_file() {
            return Err(DetectionError::MissingPicture { picture: folder.join(path) });
        }
        let objects = file.objects_of(picture).iter().map(|object| {
            let class = &found[object.class];
            let class = numbers.get(class.as_str()).copied().ok_or_else(|| DetectionError::UnknownClass {
                place: format!("annotation {} of {}", object.id, shown(annotations)),
                class: class.clone(),
                classes: list.clone(),
            })?;
            numbered(&file, object, class)
                .map_err(|fault| CocoError { path: annotations.into(), fault }.into())
        });
        let [height, width] = file.size(picture);
        let objects = objects.collect::<Result<_, DetectionError>>()?;
        kept.push(Annotation { size: Some([width, height]), objects });
        names.push(path.as_os_str());
    }
    let index = ImageIndex::from_names(folder, names)?;
    let ids = order.iter().map(|&picture| file.pictures()[picture].id).collect();
    let id_of = |class: &String| {
        let place = found.iter().position(|found| found == class);
        place.map(|place| file.categories()[place].id)
    };
    let categories = list.iter().map(id_of).collect();
    let findings = findings(&file, &name);
    Ok(DetectionSet::new(name, list.clone(), index, kept)?.with_ids(ids, categories).with_findings(findings))
}

/// What a set cannot show any more: what was left out of it, and ids.
fn findings(file: &CocoFile<f64>, set: &str) -> Vec<DetectionFinding> {
    let CocoFindings { duplicate_ids, unknown_categories, short_polygons, polygons_outside, .. } =
        file.findings();
    let annotations = file.objects().len() + unknown_categories.len();
    let polygons = file.polygons.ends.len() + short_polygons.len();
    let found = [
        (DetectionProblem::RepeatedId, duplicate_ids, annotations),
        (DetectionProblem::UnlistedCategory, unknown_categories, annotations),
        (DetectionProblem::ShortPolygon, short_polygons, polygons),
        (DetectionProblem::PolygonOutside, polygons_outside, polygons),
    ];
    let found = found.into_iter().filter(|(_, ids, _)| !ids.is_empty());
    let of_annotations = |(problem, ids, of): (_, &Vec<u64>, _)| {
        DetectionFinding::new(set, problem, ids.iter().map(|id| format!("annotation {id}")), of)
    };
    let mut findings: Vec<_> = found.map(of_annotations).collect();
    let shared = shared_files(file.pictures());
    if !shared.is_empty() {
        let names = shared.iter().map(|(name, _)| (*name).to_owned());
        findings.push(DetectionFinding::new(set, DetectionProblem::SharedFile, names, file.pictures().len()));
    }
    findings
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
