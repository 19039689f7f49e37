//! Where the annotations of a split lie, and where its pictures.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::{CocoCoordinate, CocoFault, CocoFile, CocoPicture};
use crate::detection::DetectionError;

/// What COCO calls its files of annotations, before the split.
const PREFIX: &str = "instances_";
/// Splits whose annotations are recognised without that. Other files may be a picture's own, or hold captions and key points.
const PLAIN: [&str; 6] = ["test", "train", "trainval", "val", "valid", "validation"];
/// What Roboflow calls the annotations, which lie among the pictures of their split.
const ROBOFLOW: &str = "_annotations.coco.json";
/// Pictures by which the folder of a file's pictures is recognised: some may be missing.
const TRIED: usize = 16;

/// The annotations of a split, and the folders in which its pictures may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CocoSplit {
    /// The JSON file.
    pub annotations: PathBuf,
    /// In the order in which they are tried.
    folders: Vec<PathBuf>,
}

impl CocoSplit {
    /// The annotations at `annotations`, whose pictures lie in `pictures`.
    pub fn of(annotations: &Path, pictures: &Path) -> Self {
        Self { annotations: annotations.into(), folders: vec![pictures.into()] }
    }

    /// The annotations at `annotations`, whose pictures lie near: for `ROOT/annotations/instances_NAME.json` in `ROOT/NAME`,
    /// `ROOT/images/NAME`, `ROOT/images`, `ROOT/data` or `ROOT`, or the same beside the file.
    pub fn near(annotations: &Path) -> Self {
        let stem = annotations.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.strip_prefix(PREFIX).unwrap_or(&stem);
        let beside = annotations.parent().unwrap_or(Path::new(""));
        let above = match beside.file_name() {
            Some(_) => beside.parent().unwrap_or(Path::new("")).to_owned(),
            // A path from the folder in which the program runs.
            None => beside.join(".."),
        };
        let images = format!("images/{name}");
        let below = |base: &Path| [name, &images, "images", "data", ""].map(|folder| base.join(folder));
        Self { annotations: annotations.into(), folders: [below(&above), below(beside)].concat() }
    }

    /// The split of a folder: `annotations/instances_SPLIT.json`, `annotations/SPLIT.json`, or `SPLIT/_annotations.coco.json`; or
    /// the path of a `.json` file in the folder.
    ///
    /// # Errors
    /// [`DetectionError::NoAnnotations`], with the files that are not there.
    pub fn find(root: &Path, split: &str) -> Result<Self, DetectionError> {
        let names = match is_json(Path::new(split)) {
            true => vec![split.to_owned()],
            false => vec![
                format!("annotations/{PREFIX}{split}.json"),
                format!("annotations/{split}.json"),
                format!("{split}/{ROBOFLOW}"),
            ],
        };
        let tried: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
        match tried.iter().find(|path| path.is_file()) {
            Some(annotations) => Ok(Self::near(annotations)),
            None => Err(DetectionError::NoAnnotations { split: split.into(), tried }),
        }
    }

    /// The folder in which one of the first pictures of the file lies.
    pub(super) fn pictures<N: CocoCoordinate>(&self, file: &CocoFile<N>) -> Result<&Path, DetectionError> {
        let first = || file.pictures().iter().filter_map(|picture| below(picture).ok()).take(TRIED);
        let holds = |folder: &&PathBuf| first().any(|name| folder.join(name).is_file());
        match (self.folders.iter().find(holds), &self.folders[..]) {
            (Some(folder), _) | (None, [folder]) => Ok(folder),
            (None, folders) => Err(DetectionError::NoPictures {
                annotations: self.annotations.clone(),
                first: first().next().map(Path::to_owned).unwrap_or_default(),
                tried: folders.to_vec(),
            }),
        }
    }
}

/// The path of a picture below the folder of the pictures.
///
/// # Errors
/// [`CocoFault::PictureName`] if it is none, or leaves that folder.
pub(super) fn below(picture: &CocoPicture) -> Result<&Path, CocoFault> {
    let path = Path::new(&picture.file_name);
    let stays = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    match !picture.file_name.is_empty() && path.components().all(stays) {
        true => Ok(path),
        false => Err(CocoFault::PictureName { id: picture.id, name: picture.file_name.clone() }),
    }
}

/// The files that several pictures have: their names, each with the ids of two of the pictures.
pub(super) fn shared_files(pictures: &[CocoPicture]) -> Vec<(&str, [u64; 2])> {
    let mut taken = HashMap::new();
    let shared = pictures.iter().filter_map(|picture| {
        let before = taken.insert(below(picture).ok()?, picture.id)?;
        Some((&*picture.file_name, [before, picture.id]))
    });
    shared.collect()
}

/// Whether a path is that of a JSON file, by its name.
pub fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The splits of a folder in COCO's format by the names of its files, sorted.
pub fn coco_splits(root: &Path) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let in_annotations = |name: String| {
        let name = name.strip_suffix(".json")?;
        let split = name.strip_prefix(PREFIX).or_else(|| PLAIN.contains(&name).then_some(name));
        split.map(str::to_owned)
    };
    let mut splits: Vec<_> =
        names(&root.join("annotations")).into_iter().filter_map(in_annotations).collect();
    splits.extend(names(root).into_iter().filter(|name| root.join(name).join(ROBOFLOW).is_file()));
    splits.sort_unstable();
    splits.dedup();
    splits
}
