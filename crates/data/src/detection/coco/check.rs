//! The check of sets in COCO's format: what is there, and what is wrong with it.

use std::path::Path;

use densesiam_text::shown;

use super::{CocoError, CocoFile, CocoShape, CocoSplit, below, name_of, shared_files};
use crate::check::NO_SPLIT;
use crate::detection::check::{CLASSES, Checked, NO_PICTURE};
use crate::detection::set::fault_of;
use crate::detection::{DetectionCheck, DetectionError};

impl DetectionCheck {
    /// Reads the annotations and pictures of a split. Objects may be of the `classes`, or of any that the file lists if none is
    /// named.
    pub fn of_coco(split: &CocoSplit, classes: &[String]) -> Self {
        let mut check = Self::of_coco_file(split, classes);
        if let Some(error) = check.pictures_not_found.take() {
            check.fault(NO_PICTURE, error);
        }
        check
    }

    /// As [`DetectionCheck::of_coco`], of annotations whose pictures need not be there.
    pub fn of_coco_file(split: &CocoSplit, classes: &[String]) -> Self {
        let annotations = &*split.annotations;
        let mut check = Self::new(name_of(annotations));
        // What a mask looks like is not examined, so that single precision is enough.
        match CocoFile::<f32>::open_without_faulty(annotations) {
            Ok((file, faults)) => {
                for fault in faults {
                    check.fault("entries that cannot be used", CocoError { path: annotations.into(), fault });
                }
                check.add_annotations(&file, annotations, classes);
                check.add_pictures(&file, split);
                check.look_at_whole();
            }
            Err(error) => check.fault(NO_SPLIT, error),
        }
        check
    }

    fn add_annotations(&mut self, file: &CocoFile<f32>, annotations: &Path, classes: &[String]) {
        let names: Vec<String> = file.categories().iter().map(|category| category.name.clone()).collect();
        if let Some(fault) = fault_of(&names) {
            self.fault(CLASSES, DetectionError::ClassList { set: self.name.clone(), fault });
        }
        for (kind, ids) in file.findings().all() {
            for id in ids {
                self.fault(kind, format_args!("{}: annotation {id}", shown(annotations)));
            }
        }
        let mut outlined = 0;
        for object in file.objects() {
            self.crowds += usize::from(object.crowd);
            self.learnable += usize::from(!object.crowd);
            let has_outline = match file.shape(object) {
                Some(CocoShape::Polygons(polygons)) => !polygons.is_empty(),
                shape => shape.is_some(),
            };
            outlined += usize::from(!object.crowd && has_outline);
            let place = format_args!("{}: annotation {}", shown(annotations), object.id);
            self.object(&names[object.class], classes, place);
        }
        self.outlined = Some(outlined);
        if file.objects().iter().any(|object| object.id == 0) {
            let remark = "an annotation has the id 0, which pycocotools takes for none: a detection of its object counts as wrong there";
            self.remarks.push(remark.into());
        }
    }

    fn add_pictures(&mut self, file: &CocoFile<f32>, split: &CocoSplit) {
        let annotations = &split.annotations;
        (self.listed, self.read) = (file.pictures().len(), file.pictures().len());
        let folder = match split.pictures(file) {
            Ok(folder) => Some(folder),
            Err(error) => {
                // Names that are no paths have faults of their own.
                let has_names = file.pictures().iter().any(|picture| below(picture).is_ok());
                self.pictures_not_found = has_names.then_some(error);
                None
            }
        };
        for (name, [one, other]) in shared_files(file.pictures()) {
            let why =
                format_args!("{}, of the pictures {one} and {other} of {}", shown(name), shown(annotations));
            self.fault("files of several pictures", why);
        }
        for (number, picture) in file.pictures().iter().enumerate() {
            let id = picture.id;
            self.without_object += usize::from(file.objects_of(number).is_empty());
            let path = match below(picture) {
                Ok(path) => path,
                Err(fault) => {
                    self.fault(NO_PICTURE, CocoError { path: annotations.clone(), fault });
                    continue;
                }
            };
            let Some(folder) = folder else { continue };
            let path = folder.join(path);
            if path.is_file() {
                let size = Some([picture.width, picture.height]);
                self.picture(Checked { path, annotation: annotations.clone(), size, boxes: Vec::new() });
            } else {
                let why = format_args!("{}, the picture {id} of {}", shown(&path), shown(annotations));
                self.fault(NO_PICTURE, why);
            }
        }
    }
}
