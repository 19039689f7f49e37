//! The pictures of a data set of objects, with what is known of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Annotation, DetectionError, DetectionFinding, DetectionProblem, Object, Shape};
use crate::decode::upright_size;
use crate::index::{ImageIndex, Place};
use crate::loader::SampleError;

/// Pictures, classes, and the objects of each picture.
#[derive(Clone, Debug)]
pub struct DetectionSet {
    /// What it is, for example `voc 2007/trainval 2012/trainval`.
    pub name: String,
    /// The names of the classes, by number from 0.
    pub classes: Vec<String>,
    index: Arc<ImageIndex>,
    annotations: Vec<Annotation>,
    /// What files of results call each picture.
    picture_ids: Vec<u64>,
    /// What they call each class; those that the set's files do not name have no id.
    class_ids: Vec<Option<u64>>,
    findings: Vec<DetectionFinding>,
}

/// What is wrong with a list of classes, if something is.
pub(super) fn fault_of(classes: &[String]) -> Option<&'static str> {
    let names: BTreeSet<&String> = classes.iter().collect();
    if classes.iter().any(|class| class.trim().is_empty()) {
        return Some("has a class without a name; give it one");
    }
    (names.len() < classes.len()).then_some("names one twice; name each class once")
}

impl DetectionSet {
    /// The set of the pictures of an index, with one annotation for each, in its order.
    ///
    /// # Errors
    /// [`DetectionError::Count`] if there is not one for each, [`DetectionError::NothingAnnotated`] if no picture has an object that
    /// is no crowd, [`DetectionError::ClassList`] if no class is named or an object is of none.
    pub fn new(
        name: String,
        classes: Vec<String>,
        index: ImageIndex,
        annotations: Vec<Annotation>,
    ) -> Result<Self, DetectionError> {
        let (pictures, count) = (index.len(), annotations.len());
        if pictures != count {
            return Err(DetectionError::Count { set: name, pictures, annotations: count });
        }
        if !annotations.iter().any(|annotation| annotation.is_of_use(false)) {
            return Err(DetectionError::NothingAnnotated { set: name, pictures });
        }
        let mut objects = annotations.iter().flat_map(|annotation| &annotation.objects);
        let fault = match classes.is_empty() {
            true => Some("is empty; name at least one"),
            false if objects.any(|object| object.class >= classes.len()) => {
                Some("lacks that of an object; add it")
            }
            false => None,
        };
        if let Some(fault) = fault {
            return Err(DetectionError::ClassList { set: name, fault });
        }
        // COCO's evaluation takes an annotation's id of 0 for none, and so do other programs with that of a category.
        let (picture_ids, class_ids) =
            ((0..count as u64).collect(), (1..=classes.len() as u64).map(Some).collect());
        let (index, findings) = (Arc::new(index), Vec::new());
        Ok(Self { name, classes, index, annotations, picture_ids, class_ids, findings })
    }

    /// The set with the ids of its pictures and classes that its files have, one for each.
    pub(super) fn with_ids(self, picture_ids: Vec<u64>, class_ids: Vec<Option<u64>>) -> Self {
        Self { picture_ids, class_ids, ..self }
    }

    /// The set with what its reader has found.
    pub(super) fn with_findings(self, findings: Vec<DetectionFinding>) -> Self {
        Self { findings, ..self }
    }

    /// What was remarkable when it was read, and cannot be seen in it any more.
    pub fn findings(&self) -> &[DetectionFinding] {
        &self.findings
    }

    /// What files of results call picture `sample`.
    pub fn picture_id(&self, sample: usize) -> u64 {
        self.picture_ids[sample]
    }

    /// What files of results call class `class`; nothing, if the set's files do not name it.
    pub fn class_id(&self, class: usize) -> Option<u64> {
        self.class_ids[class]
    }

    /// The set without the pictures that have no object, or only crowds, or none with an outline if `masks` are learnt: those that
    /// training learns from. Their pictures must be separate files.
    ///
    /// # Errors
    /// A [`DetectionError`] if no picture is left, or the pictures cannot be indexed.
    pub fn of_use(self, masks: bool) -> Result<Self, DetectionError> {
        let is_kept = |annotation: &Annotation| annotation.is_of_use(masks);
        let kept = (0..self.len()).filter(|&sample| is_kept(&self.annotations[sample]));
        let names: Vec<_> = kept.map(|sample| self.index.relative_path(sample)).collect();
        if names.is_empty() {
            return Err(DetectionError::NoOutline { pictures: self.len(), set: self.name });
        }
        if names.len() == self.len() {
            return Ok(self);
        }
        let findings = [self.findings.clone(), self.left_out(masks)].concat();
        let index = ImageIndex::from_names(self.index.root(), names.iter().map(|name| name.as_os_str()))?;
        let of_kept = self.picture_ids.into_iter().zip(&self.annotations);
        let picture_ids = of_kept.filter(|(_, annotation)| is_kept(annotation)).map(|(id, _)| id).collect();
        let annotations = self.annotations.into_iter().filter(is_kept).collect();
        let kept = Self::new(self.name, self.classes, index, annotations)?;
        Ok(kept.with_ids(picture_ids, self.class_ids).with_findings(findings))
    }

    /// The findings of the pictures that [`DetectionSet::of_use`] leaves out, by their reason.
    fn left_out(&self, masks: bool) -> Vec<DetectionFinding> {
        let nothing = |annotation: &Annotation| !annotation.is_of_use(false);
        let no_outline =
            |annotation: &Annotation| annotation.is_of_use(false) && !annotation.is_of_use(masks);
        let of = |problem, is_left_out: &dyn Fn(&Annotation) -> bool| {
            let samples = (0..self.len()).filter(|&sample| is_left_out(&self.annotations[sample]));
            let pictures: Vec<String> = samples.map(|sample| self.picture(sample).to_string()).collect();
            DetectionFinding::new(&self.name, problem, pictures.into_iter(), self.len())
        };
        let found = [
            of(DetectionProblem::NothingLearnt, &nothing),
            of(DetectionProblem::NoOutlineLearnt, &no_outline),
        ];
        found.into_iter().filter(|finding| finding.count > 0).collect()
    }

    /// The pictures, in the order of the set.
    pub fn index(&self) -> &Arc<ImageIndex> {
        &self.index
    }

    /// Where the bytes of picture `sample` are, below [`DetectionSet::len`].
    pub fn picture(&self, sample: usize) -> Place<'_> {
        self.index.place(sample)
    }

    /// What is known of picture `sample`.
    pub fn annotation(&self, sample: usize) -> &Annotation {
        &self.annotations[sample]
    }

    /// The objects of picture `sample`, in its pixels: the truth of an evaluation.
    pub fn objects(&self, sample: usize) -> &[Object] {
        &self.annotations[sample].objects
    }

    /// Width and height of picture `sample` in pixels, as its annotation says, or else its header; it is not decoded.
    ///
    /// # Errors
    /// A [`SampleError`] if the annotation does not say it, and the picture cannot be read.
    pub fn picture_size(&self, sample: usize) -> Result<[u32; 2], SampleError> {
        if let Some(size) = self.annotations[sample].size {
            return Ok(size);
        }
        let mut bytes = Vec::new();
        self.picture(sample).read_into(&mut bytes)?;
        Ok(upright_size(&bytes)?)
    }

    /// The group of each picture for [`crate::order::Schedule::Grouped`]: 1 if it is wider than high, else 0, so that the
    /// pictures of a batch are padded little. Reads the header of pictures whose annotation does not say their size; unreadable
    /// ones are of group 0.
    pub fn aspects(&self) -> Arc<[u8]> {
        let wide = |sample| self.picture_size(sample).is_ok_and(|[width, height]| width > height);
        (0..self.len()).map(|sample| u8::from(wide(sample))).collect()
    }

    /// The names of the pictures without folder and extension, as PASCAL VOC's lists and results have them.
    pub fn names(&self) -> Vec<String> {
        let name = |sample: usize| {
            let path = self.index.relative_path(sample);
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        };
        (0..self.len()).map(name).collect()
    }

    /// A checksum of the classes and of all objects with their outlines, in the order of the set.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let mut add = |number: f64| hasher.update(&number.to_le_bytes());
        for annotation in &self.annotations {
            add(annotation.objects.len() as f64);
            for Object { bbox, class, difficult, crowd, area, shape } in &annotation.objects {
                [bbox.x0, bbox.y0, bbox.x1, bbox.y1, *area].into_iter().for_each(&mut add);
                add(*class as f64);
                add(f64::from(u8::from(*difficult) + 2 * u8::from(*crowd)));
                match shape {
                    None => {}
                    Some(Shape::Polygons(polygons)) => polygons.iter().flatten().copied().for_each(&mut add),
                    Some(Shape::Mask(mask)) => {
                        mask.counts().iter().map(|&count| count.into()).for_each(&mut add);
                    }
                }
            }
        }
        hasher.update(self.classes.join("\n").as_bytes());
        hasher.finalize()
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.annotations.len()
    }

    /// Never true: a set without pictures is an error.
    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty()
    }
}
