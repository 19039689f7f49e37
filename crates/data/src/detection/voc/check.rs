//! The check of sets in PASCAL VOC's format: what is there, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use densesiam_text::shown;

use super::{Classes, VocObject, VocPart, devkit, listed, read_annotation};
use crate::check::NO_SPLIT;
use crate::detection::check::{CLASSES, Checked, NO_PICTURE};
use crate::detection::{DetectionCheck, DetectionError};
use crate::labelled::spelling::Spelling;

/// The parts of a folder in PASCAL VOC's format: every list of names in `ImageSets/Main`, of every year; not those lists that say
/// for one class which pictures have it. `None` if no folder has both `Annotations` and `JPEGImages`.
pub fn voc_parts(root: &Path) -> Option<Vec<VocPart>> {
    let spelling = Spelling::default();
    let root = devkit(root, &spelling);
    let year_of = |name: String| name.to_ascii_uppercase().strip_prefix("VOC")?.parse().ok();
    let mut years: Vec<Option<u16>> = names(&root).into_iter().filter_map(year_of).map(Some).collect();
    years.push(None);
    years.sort_unstable();
    years.dedup();
    let folder = |year: &Option<u16>| {
        let below = VocPart { year: *year, split: String::new() }.folder();
        spelling.path(&root, below)
    };
    let has_objects = |year: &Option<u16>| {
        ["Annotations", "JPEGImages"].iter().all(|name| spelling.path(&folder(year), name).is_dir())
    };
    years.retain(has_objects);
    let lists_of = |year: &Option<u16>| {
        let lists = spelling.path(&folder(year), "ImageSets/Main");
        let splits =
            names(&lists).into_iter().filter_map(|name| name.strip_suffix(".txt").map(str::to_owned));
        let is_list = |split: &String| !is_of_a_class(&lists.join(format!("{split}.txt")));
        let parts = splits.filter(is_list).map(|split| VocPart { year: *year, split });
        parts.collect::<Vec<_>>()
    };
    (!years.is_empty()).then(|| years.iter().flat_map(lists_of).collect())
}

/// The names in a folder that are text and not hidden, sorted; none of a folder that cannot be listed.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}

/// Whether a list has a second column of -1, 0 or 1: absent, difficult or there.
fn is_of_a_class(list: &Path) -> bool {
    let Ok(text) = densesiam_text::read(list) else { return false };
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let has_column = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|word| ["-1", "0", "1"].contains(&word)) && words.next().is_none()
    };
    lines.peek().is_some() && lines.all(has_column)
}

impl DetectionCheck {
    /// Reads the lists and annotations of several parts together. A picture that several parts list is one. Objects may be of the
    /// `classes`, or of any if none is named.
    pub fn of_voc(root: &Path, parts: &[VocPart], classes: &[String]) -> Self {
        let names: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let mut check = Self::new(format!("voc {}", names.join(" ")));
        let spelling = Spelling::default();
        let root = devkit(root, &spelling);
        let mut files = BTreeMap::new();
        for part in parts {
            match listed(&root, part, &spelling) {
                Ok(listed) => files.extend(listed),
                Err(error) => check.fault(NO_SPLIT, error),
            }
        }
        check.listed = files.len();
        for (picture, annotation) in files {
            match annotation {
                Ok(annotation) => check.voc_picture(root.join(picture), annotation, classes),
                Err(error @ DetectionError::MissingPicture { .. }) => check.fault(NO_PICTURE, error),
                Err(error) => check.fault("pictures without annotation", error),
            }
        }
        check.look_at_names(parts, classes);
        check.look_at_whole();
        check
    }

    /// Looks for classes that training would refuse.
    fn look_at_names(&mut self, parts: &[VocPart], classes: &[String]) {
        let named = self.objects.keys().map(String::as_str).collect();
        let list = if classes.is_empty() { Classes::Found } else { Classes::Among(classes.to_vec()) };
        if let Err(error) = list.resolved((&self.name, parts), &named) {
            self.fault(CLASSES, error);
        }
    }

    /// Adds a picture and its annotation. If the annotation cannot be used, the picture is examined all the same.
    fn voc_picture(&mut self, path: PathBuf, annotation: PathBuf, classes: &[String]) {
        let read = match read_annotation(&annotation) {
            Ok(read) => read,
            Err(error) => {
                self.fault("annotations that cannot be used", error);
                return self.picture(Checked { path, annotation, size: None, boxes: Vec::new() });
            }
        };
        self.read += 1;
        self.without_object += usize::from(read.objects.is_empty());
        for (number, object) in (1..).zip(&read.objects) {
            self.difficult += usize::from(object.difficult);
            self.learnable += 1;
            let place = format_args!("{}: object {number}", shown(&annotation));
            self.object(&object.name, classes, place);
        }
        let boxes = read.objects.into_iter().map(|VocObject { name, bbox, .. }| (name, bbox)).collect();
        self.picture(Checked { path, annotation, size: read.size, boxes });
    }
}
