//! The check of sets in COCO's format: what is there, and what is wrong with it.

use std::path::Path;

use densesiam_text::shown;

use super::{CocoFile, name_of};
use crate::check::NO_SPLIT;
use crate::detection::DetectionCheck;
use crate::detection::check::{Checked, NO_PICTURE};

/// The splits of a folder in COCO's format, sorted: those of `annotations/instances_SPLIT.json`.
pub fn coco_splits(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("annotations")).into_iter().flatten().flatten();
    let split_of = |name: String| Some(name.strip_prefix("instances_")?.strip_suffix(".json")?.to_owned());
    let mut splits: Vec<_> =
        entries.filter_map(|entry| split_of(entry.file_name().into_string().ok()?)).collect();
    splits.sort_unstable();
    splits
}

impl DetectionCheck {
    /// Reads the annotations at `annotations`, whose pictures lie in `pictures`; without it, pictures are not looked for. Objects may
    /// be of the `classes`, or of any that the file lists if none is named.
    pub fn of_coco(annotations: &Path, pictures: Option<&Path>, classes: &[String]) -> Self {
        let mut check = Self::new(name_of(annotations));
        // What a mask looks like is not examined, so that single precision is enough.
        match CocoFile::<f32>::open(annotations) {
            Ok(file) => check.add(&file, annotations, pictures, classes),
            Err(error) => check.fault(NO_SPLIT, error),
        }
        check
    }

    fn add(&mut self, file: &CocoFile<f32>, annotations: &Path, pictures: Option<&Path>, classes: &[String]) {
        self.listed = file.pictures().len();
        for (kind, ids) in file.findings().all() {
            for id in ids {
                self.fault(kind, format_args!("{}: annotation {id}", shown(annotations)));
            }
        }
        for object in file.objects() {
            self.crowds += usize::from(object.crowd);
            let place = format_args!("{}: annotation {}", shown(annotations), object.id);
            self.object(&file.categories()[object.class].name, classes, place);
        }
        for (number, picture) in file.pictures().iter().enumerate() {
            self.without_object += usize::from(file.objects_of(number).is_empty());
            let Some(path) = pictures.map(|folder| folder.join(&picture.file_name)) else { continue };
            if path.is_file() {
                let size = Some([picture.width, picture.height]);
                self.picture(Checked { path, annotation: annotations.into(), size, boxes: Vec::new() });
            } else {
                let of = shown(annotations);
                let path = shown(&path);
                self.fault(NO_PICTURE, format_args!("{path}, the picture {} of {of}", picture.id));
            }
        }
    }
}
