//! The pictures of a data set of objects, with what is known of each.

use std::sync::Arc;

use super::{Annotation, DetectionError, Object};
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
}

impl DetectionSet {
    /// The set of the pictures of an index, with one annotation for each, in its order.
    ///
    /// # Errors
    /// [`DetectionError::Count`] if there is not one for each, [`DetectionError::ClassList`] if no class is named or an object
    /// is of none, [`DetectionError::NothingAnnotated`] if no picture has an object that is no crowd.
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
        let mut objects = annotations.iter().flat_map(|annotation| &annotation.objects);
        let fault = match classes.is_empty() {
            true => Some("is empty"),
            false if objects.any(|object| object.class >= classes.len()) => Some("lacks that of an object"),
            false => None,
        };
        if let Some(fault) = fault {
            return Err(DetectionError::ClassList { set: name, fault });
        }
        if !annotations.iter().any(Annotation::is_of_use) {
            return Err(DetectionError::NothingAnnotated { set: name, pictures });
        }
        Ok(Self { name, classes, index: Arc::new(index), annotations })
    }

    /// The set without the pictures that have no object, or only crowds: those that training learns from. Their pictures must
    /// be separate files.
    ///
    /// # Errors
    /// A [`DetectionError`] if the pictures cannot be indexed.
    pub fn of_use(self) -> Result<Self, DetectionError> {
        let kept = (0..self.len()).filter(|&sample| self.annotations[sample].is_of_use());
        let names: Vec<_> = kept.map(|sample| self.index.relative_path(sample)).collect();
        if names.len() == self.len() {
            return Ok(self);
        }
        let index = ImageIndex::from_names(self.index.root(), names.iter().map(|name| name.as_os_str()))?;
        let annotations = self.annotations.into_iter().filter(Annotation::is_of_use).collect();
        Self::new(self.name, self.classes, index, annotations)
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

    /// A checksum of the classes and of all objects, in the order of the set.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let mut add = |number: f64| hasher.update(&number.to_le_bytes());
        for annotation in &self.annotations {
            add(annotation.objects.len() as f64);
            for Object { bbox, class, difficult, crowd, area, .. } in &annotation.objects {
                [bbox.x0, bbox.y0, bbox.x1, bbox.y1, *area].into_iter().for_each(&mut add);
                add(*class as f64);
                add(f64::from(u8::from(*difficult) + 2 * u8::from(*crowd)));
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
