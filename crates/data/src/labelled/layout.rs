//! The layouts of data sets: how each is recognised, and where its pictures and labels are.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::spelling::Spelling;
use super::{DataSetError, Taxonomy};
use crate::index::ImageIndex;

/// The class list of the layout [`Layout::Folder`], in the data set's root.
pub const CLASS_FILE: &str = "classes.txt";

/// The curated COCO pictures of unsupervised segmentation (IIC, PiCIE): file stems, one in each line.
const CURATED: [(&str, &str); 2] = [
    ("train", include_str!("../../assets/coco27/curated_train2017.txt")),
    ("val", include_str!("../../assets/coco27/curated_val2017.txt")),
];

/// The beginnings of the names of CamVid's five sequences.
const CAMVID_SEQUENCES: [&str; 5] = ["0001TP", "0006R0", "0016E5", "Seq05VD", "0005VD"];

/// How the files of a data set are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `images/SPLIT/x.jpg`, `labels/SPLIT/x.png`, with CamVid's file names and 11 classes.
    Camvid,
    /// `{train,val}2017/x.jpg`, also within `images/`; `stuffthingmaps/{train,val}2017/x.png`, or `annotations/`;
    /// splits `train` and `val`, only the 49,629 and 2,175 pictures of the curated lists.
    Coco27,
    /// `leftImg8bit/SPLIT/CITY/x_leftImg8bit.png`, `gtFine/SPLIT/CITY/x_gtFine_labelIds.png`; 27 classes. With the 19
    /// classes of the taxonomy `cityscapes19`, `x_gtFine_labelTrainIds.png` in place of the latter if all pictures have it, or
    /// if no picture has the latter.
    Cityscapes,
    /// `JPEGImages/x.jpg`, `SegmentationClass/x.png`, `ImageSets/Segmentation/SPLIT.txt`.
    Voc2012,
    /// `SPLIT/images` and `SPLIT/labels`, or `images/SPLIT` and `labels/SPLIT`, or `images` and `labels` without
    /// splits; labels are `x.png`, classes in `classes.txt`.
    Folder,
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Camvid => "camvid",
            Self::Coco27 => "coco27",
            Self::Cityscapes => "cityscapes",
            Self::Voc2012 => "voc2012",
            Self::Folder => "folder",
        })
    }
}

/// What the names of Cityscapes' pictures end with; and, in its place, those of their label maps by label id and by number
/// of the class.
const CITYSCAPES_PICTURE: &str = "_leftImg8bit";
const CITYSCAPES_LABEL_IDS: &str = "_gtFine_labelIds";
const CITYSCAPES_TRAIN_IDS: &str = "_gtFine_labelTrainIds";

/// The pictures of a split and the rule that leads to their labels.
pub(super) struct SplitFiles {
    pub(super) pictures: ImageIndex,
    layout: Layout,
    labels: PathBuf,
    /// What the names of label maps end with beside the picture's, before the extension.
    suffix: &'static str,
}

impl SplitFiles {
    /// The label map of a picture; `relative` is the picture's path within its folder. The error is the path where it
    /// should be.
    pub(super) fn label_of(&self, relative: &Path, spelling: &Spelling) -> Result<PathBuf, PathBuf> {
        let mut name = relative.file_stem().unwrap_or_default().to_owned();
        if self.layout == Layout::Cityscapes {
            let stem = name.to_string_lossy();
            name = stem.strip_suffix(CITYSCAPES_PICTURE).unwrap_or(&stem).to_owned().into();
        }
        name.push(self.suffix);
        name.push(".png");
        let below = relative.with_file_name(name);
        spelling.file(&self.labels, &below).ok_or_else(|| self.labels.join(below))
    }

    /// Takes Cityscapes' label maps by number of the class, if all pictures have one, or if some have one and none has one by
    /// label id. Returns whether that is so.
    pub(super) fn take_train_ids(&mut self, spelling: &Spelling) -> bool {
        let by_label = self.labelled(spelling);
        self.suffix = CITYSCAPES_TRAIN_IDS;
        let by_number = self.labelled(spelling);
        let taken = by_number == self.pictures.len() || by_label == 0 && by_number > 0;
        if !taken {
            self.suffix = CITYSCAPES_LABEL_IDS;
        }
        taken
    }

    /// How many pictures have a label map.
    fn labelled(&self, spelling: &Spelling) -> usize {
        let label_of = |number: &usize| self.label_of(&self.pictures.relative_path(*number), spelling);
        (0..self.pictures.len()).filter(|number| label_of(number).is_ok()).count()
    }

    /// The label maps that lie where those of the pictures are and belong to none of them; nothing where a list says which
    /// pictures a split has, because it may leave others out.
    pub(super) fn labels_without_picture(&self, spelling: &Spelling) -> Vec<PathBuf> {
        if matches!(self.layout, Layout::Coco27 | Layout::Voc2012) {
            return Vec::new();
        }
        let label_of = |number| self.label_of(&self.pictures.relative_path(number), spelling).ok();
        let used: HashSet<PathBuf> = (0..self.pictures.len()).filter_map(label_of).collect();
        let is_label = |path: &Path| {
            let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
            is_png && path.file_stem().unwrap_or_default().to_string_lossy().ends_with(self.suffix)
        };
        let files = WalkDir::new(&self.labels).follow_links(true).sort_by_file_name().into_iter();
        let paths = files.filter_map(Result::ok).filter(|file| file.file_type().is_file());
        paths.map(|file| file.into_path()).filter(|path| is_label(path) && !used.contains(path)).collect()
    }
}

impl Layout {
    /// What [`Layout::detect`] looks for, in words.
    pub(super) const LOOKED_FOR: &str = "leftImg8bit/ (cityscapes), JPEGImages/ (voc2012), stuffthingmaps/ or \
        [images/]train2017/ or [images/]val2017/ (coco27), classes.txt (folder), images/ with CamVid's file names (camvid)";

    /// Recognises the layout of a data set by the contents of its root.
    ///
    /// # Errors
    /// [`DataSetError::UnknownLayout`], which says what was searched for.
    pub fn detect(root: &Path) -> Result<Self, DataSetError> {
        let spelling = Spelling::default();
        let has = |names: &[&str]| names.iter().any(|name| spelling.path(root, name).is_dir());
        if has(&["leftImg8bit"]) {
            Ok(Self::Cityscapes)
        } else if has(&["JPEGImages"]) {
            Ok(Self::Voc2012)
        } else if has(&["stuffthingmaps", "train2017", "val2017", "images/train2017", "images/val2017"]) {
            Ok(Self::Coco27)
        } else if spelling.path(root, CLASS_FILE).is_file() {
            Ok(Self::Folder)
        } else if holds_camvid(&spelling.path(root, "images")) {
            Ok(Self::Camvid)
        } else {
            Err(DataSetError::UnknownLayout { root: root.into() })
        }
    }

    /// The classes that label maps of this layout hold; `folder` reads them from the root's `classes.txt`.
    ///
    /// # Errors
    /// A [`DataSetError`] if `classes.txt` is missing or unusable.
    pub fn taxonomy(self, root: &Path) -> Result<Taxonomy, DataSetError> {
        let taxonomy = match self {
            Self::Camvid => Ok(Taxonomy::camvid()),
            Self::Coco27 => Taxonomy::coco27(),
            Self::Cityscapes => Ok(Taxonomy::cityscapes27()),
            Self::Voc2012 => Ok(Taxonomy::voc2012()),
            Self::Folder => Taxonomy::read(&Spelling::default().path(root, CLASS_FILE)).map_err(Into::into),
        };
        Ok(taxonomy?)
    }

    /// The pictures of a split, with or without labels.
    ///
    /// # Errors
    /// A [`DataSetError`] if folders or lists are missing or hold no picture.
    pub fn pictures(self, root: &Path, split: &str) -> Result<ImageIndex, DataSetError> {
        let spelling = Spelling::default();
        match self {
            Self::Coco27 => curated_pictures(root, split, &spelling),
            Self::Cityscapes => {
                let tried = vec![spelling.path(root, Path::new("leftImg8bit").join(split))];
                Ok(ImageIndex::scan(&self.first_there(split, tried)?)?)
            }
            Self::Voc2012 => listed_pictures(root, split, &spelling),
            Self::Camvid | Self::Folder => {
                let folder = self.first_there(split, picture_folders(root, split))?;
                Ok(ImageIndex::scan(&folder)?)
            }
        }
    }

    /// The pictures of a split and where their labels are.
    pub(super) fn split(
        self,
        root: &Path,
        split: &str,
        spelling: &Spelling,
    ) -> Result<SplitFiles, DataSetError> {
        let pictures = self.pictures(root, split)?;
        let tried = match self {
            Self::Coco27 => ["stuffthingmaps", "annotations"]
                .map(|name| spelling.path(root, Path::new(name).join(format!("{split}2017"))))
                .into(),
            Self::Cityscapes => vec![spelling.path(root, Path::new("gtFine").join(split))],
            Self::Voc2012 => vec![spelling.path(root, "SegmentationClass")],
            Self::Camvid | Self::Folder => {
                // The label folder is beside the picture folder that was found, in the same one of the three forms.
                let within = pictures.root().strip_prefix(root).unwrap_or(Path::new(""));
                let is_images = |part: &OsStr| part.eq_ignore_ascii_case("images");
                let rename =
                    |part: &OsStr| if is_images(part) { OsString::from("labels") } else { part.into() };
                vec![spelling.path(root, within.iter().map(rename).collect::<PathBuf>())]
            }
        };
        let suffix = if self == Self::Cityscapes { CITYSCAPES_LABEL_IDS } else { "" };
        Ok(SplitFiles { pictures, layout: self, labels: self.first_there(split, tried)?, suffix })
    }

    /// Which of the splits `train`, `val` and `test` are there with a place for their label maps; the first alone of several that
    /// have the same pictures, as in a folder without splits.
    pub fn labelled_splits(self, root: &Path) -> Vec<&'static str> {
        let (spelling, mut seen) = (Spelling::default(), HashSet::new());
        let mut is_new = |split: &&str| {
            self.split(root, split, &spelling).is_ok_and(|files| {
                seen.insert((files.pictures.root().to_owned(), files.pictures.fingerprint()))
            })
        };
        ["train", "val", "test"].into_iter().filter(|split| is_new(split)).collect()
    }

    fn first_there(self, split: &str, tried: Vec<PathBuf>) -> Result<PathBuf, DataSetError> {
        let found = tried.iter().find(|path| path.is_dir()).cloned();
        found.ok_or_else(|| DataSetError::MissingPart { layout: self, split: split.into(), tried })
    }
}

/// Where the pictures of a split may be in a plain folder, best first. `images` itself counts only if it is not divided
/// into splits, so that one split is not mistaken for another.
pub(super) fn picture_folders(root: &Path, split: &str) -> Vec<PathBuf> {
    let spelling = Spelling::default();
    let images = spelling.path(root, "images");
    let mut folders =
        vec![spelling.path(root, Path::new(split).join("images")), spelling.path(&images, split)];
    if !["train", "val", "test"].iter().any(|name| spelling.path(&images, name).is_dir()) {
        folders.push(images);
    }
    folders
}

/// Whether a folder, or a folder in it, holds a file that is named like CamVid's frames.
fn holds_camvid(images: &Path) -> bool {
    let mut entries = WalkDir::new(images).max_depth(2).into_iter().filter_map(Result::ok);
    let of_camvid = |name: &str| CAMVID_SEQUENCES.iter().any(|start| name.starts_with(start));
    entries.any(|entry| entry.file_type().is_file() && of_camvid(&entry.file_name().to_string_lossy()))
}

fn curated_pictures(root: &Path, split: &str, spelling: &Spelling) -> Result<ImageIndex, DataSetError> {
    let curated = CURATED.iter().find(|(name, _)| *name == split);
    let (_, stems) = curated.ok_or_else(|| DataSetError::NoCuratedList { split: split.into() })?;
    let folder = format!("{split}2017");
    let tried = vec![spelling.path(root, &folder), spelling.path(root, Path::new("images").join(&folder))];
    let folder = Layout::Coco27.first_there(split, tried)?;
    Ok(ImageIndex::from_names(&folder, stems.lines().map(|stem| spelling.picture(&folder, stem)))?)
}

fn listed_pictures(root: &Path, split: &str, spelling: &Spelling) -> Result<ImageIndex, DataSetError> {
    let path = spelling.path(root, Path::new("ImageSets/Segmentation").join(format!("{split}.txt")));
    let text = densesiam_text::read(&path).map_err(|error| DataSetError::list(path, error))?;
    let stems = text.lines().map(str::trim).filter(|stem| !stem.is_empty());
    let folder = spelling.path(root, "JPEGImages");
    Ok(ImageIndex::from_names(&folder, stems.map(|stem| spelling.picture(&folder, stem)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curated_lists_have_the_published_lengths_and_no_name_twice() {
        for ((split, stems), count) in CURATED.iter().zip([49_629, 2_175]) {
            let mut names: Vec<_> = stems.lines().collect();
            assert_eq!(names.len(), count, "{split}");
            assert!(
                names.iter().all(|name| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit()))
            );
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{split}");
        }
    }
}
