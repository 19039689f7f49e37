//! `densesiam data check`: a data set read as a whole, and what is wrong with it.

mod checked;
mod pictures;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use densesiam::error::Error;
use densesiam_data::detection::{CocoSplit, DetectionCheck, VocPart, coco_splits, is_json, voc_parts};
use densesiam_data::labelled::{DataSetError, LabelCheck, Layout, Taxonomy};
use serde_json::json;

use crate::answer::{answer, answer_line};
use checked::Checked;

/// Pictures for each worker between two updates of the bar.
const AT_ONCE: usize = 64;

/// `densesiam data check`
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// A folder of pictures, a list file or tar shards; labelled pictures, or objects in VOC's or COCO's format; COCO's annotations
    pub root: PathBuf,
    /// How the files lie, in place of every layout that is recognised: as objects.layout and labels.layout of a recipe
    #[arg(long, value_enum)]
    pub layout: Option<CheckLayout>,
    /// A split (val, 2007/trainval) in place of all, as objects.val and labels.val of a recipe; may be given several times
    ///
    /// All are those that the lists of VOC and the annotations of COCO are called after, and train, val and test of labelled
    /// pictures.
    #[arg(long)]
    pub split: Vec<String>,
    /// Objects: the classes that there may be, with commas, as objects.classes of a recipe
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Label maps: the classes in place of the layout's own, as labels.taxonomy of a recipe (cityscapes19)
    #[arg(long, value_name = "NAME")]
    pub taxonomy: Option<String>,
    /// Print JSON, which names every fault
    #[arg(long)]
    pub json: bool,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckLayout {
    /// Pictures alone, whatever else is there
    Pictures,
    /// Objects: ImageSets/Main/SPLIT.txt, Annotations and JPEGImages, perhaps of several years
    Voc,
    /// Objects: annotations/instances_SPLIT.json and pictures in SPLIT or images/SPLIT, or SPLIT/_annotations.coco.json
    Coco,
    /// Label maps of CamVid
    Camvid,
    /// Label maps of COCO-Stuff, 27 classes
    Coco27,
    /// Label maps of Cityscapes, by label id or by number of the class
    Cityscapes,
    /// Label maps of PASCAL VOC 2012
    Voc2012,
    /// Label maps of a plain folder with classes.txt
    Folder,
}

impl CheckLayout {
    fn of_labels(self) -> Option<Layout> {
        match self {
            Self::Pictures | Self::Voc | Self::Coco => None,
            Self::Camvid => Some(Layout::Camvid),
            Self::Coco27 => Some(Layout::Coco27),
            Self::Cityscapes => Some(Layout::Cityscapes),
            Self::Voc2012 => Some(Layout::Voc2012),
            Self::Folder => Some(Layout::Folder),
        }
    }

    /// Every layout of objects and of labels that a folder or file has; pictures alone if it has none.
    fn recognised(root: &Path) -> Vec<Self> {
        let labels = match Layout::detect(root) {
            Ok(layout) if !layout.labelled_splits(root).is_empty() => Some(layout),
            _ => None,
        };
        let is_there = |layout: &Self| match layout {
            Self::Pictures => false,
            Self::Voc => voc_parts(root).is_some(),
            Self::Coco => is_json(root) || !coco_splits(root).is_empty(),
            labelled => labels.is_some() && labelled.of_labels() == labels,
        };
        let found: Vec<_> = Self::value_variants().iter().copied().filter(is_there).collect();
        if found.is_empty() { vec![Self::Pictures] } else { found }
    }
}

/// Prints the findings, as lines or as JSON. Pictures alone that are unreadable are a finding and not a failure, because training
/// skips them; what is wrong with annotated pictures is a failure.
pub(super) fn run(arguments: &CheckArguments) -> Result<(), Error> {
    let root = &arguments.root;
    let layouts = arguments.layout.map_or_else(|| CheckLayout::recognised(root), |layout| vec![layout]);
    refuse_unused(arguments, &layouts)?;
    if layouts == [CheckLayout::Pictures] {
        return pictures::run(root, arguments.json);
    }
    let mut sets = Vec::new();
    for layout in layouts {
        match layout.of_labels() {
            Some(layout) => labels(arguments, layout, &mut sets)?,
            None => objects(arguments, layout, &mut sets)?,
        }
    }
    let faults = sets.iter().map(Checked::faults).sum();
    let root_named = root.to_string_lossy();
    match arguments.json {
        true => {
            let sets: Vec<_> = sets.iter().map(Checked::to_json).collect();
            answer_line(format_args!("{:#}", json!({ "root": root_named, "faults": faults, "sets": sets })))?;
        }
        false => answer(sets.iter().map(Checked::lines).collect::<Vec<_>>().join("\n"))?,
    }
    match faults {
        0 => Ok(()),
        faults => Err(Error::Faulty { root: root.clone(), faults }),
    }
}

/// Refuses options that no layout would use.
fn refuse_unused(arguments: &CheckArguments, layouts: &[CheckLayout]) -> Result<(), Error> {
    let of_labels = |layout: &CheckLayout| layout.of_labels().is_some();
    let annotated = *layouts != [CheckLayout::Pictures];
    let objects = annotated && layouts.iter().any(|layout| !of_labels(layout));
    let unused = [
        ("--split", "annotated pictures", !arguments.split.is_empty() && !annotated),
        ("--classes", "objects", !arguments.classes.is_empty() && !objects),
        ("--taxonomy", "label maps", arguments.taxonomy.is_some() && !layouts.iter().any(of_labels)),
    ];
    match unused.iter().find(|(_, _, unused)| *unused) {
        Some((option, what, _)) => Err(Error::Usage(format!(
            "{option} is for {what}, and {} is not known to hold any; name the layout with --layout",
            densesiam_text::shown(&arguments.root)
        ))),
        None => Ok(()),
    }
}

fn objects(arguments: &CheckArguments, layout: CheckLayout, sets: &mut Vec<Checked>) -> Result<(), Error> {
    let CheckArguments { root, split: splits, classes, .. } = arguments;
    if layout == CheckLayout::Voc {
        let part = |split: &String| split.parse().map_err(|error| Error::Usage(format!("--split: {error}")));
        let parts = match splits.is_empty() {
            true => voc_parts(root).unwrap_or_default(),
            false => splits.iter().map(part).collect::<Result<_, _>>()?,
        };
        // Without a list the split that recipes take is missed by its path.
        let parts =
            if parts.is_empty() { vec![VocPart { year: None, split: "train".into() }] } else { parts };
        sets.push(Checked::objects(&DetectionCheck::of_voc(root, &parts, classes), classes));
        return Ok(());
    }
    if is_json(root) {
        if !splits.is_empty() {
            return Err(Error::Usage("--split is for a folder, and one file has one split".into()));
        }
        let check = DetectionCheck::of_coco_file(&CocoSplit::near(root), classes);
        sets.push(Checked::objects(&check, classes));
        return Ok(());
    }
    let found = coco_splits(root);
    let default = || if found.is_empty() { vec!["train".into()] } else { found.clone() };
    for split in if splits.is_empty() { default() } else { splits.clone() } {
        sets.push(match CocoSplit::find(root, &split) {
            Ok(split) => Checked::objects(&DetectionCheck::of_coco(&split, classes), classes),
            Err(error) => Checked::unusable(&format!("coco {split}"), &error),
        });
    }
    Ok(())
}

fn labels(arguments: &CheckArguments, layout: Layout, sets: &mut Vec<Checked>) -> Result<(), Error> {
    let CheckArguments { root, split: splits, taxonomy, .. } = arguments;
    let taxonomy = taxonomy.as_deref().map(Taxonomy::named).transpose().map_err(DataSetError::from)?;
    let found = layout.labelled_splits(root);
    let splits = match splits.is_empty() {
        true if found.is_empty() => vec!["train"],
        true => found,
        false => splits.iter().map(String::as_str).collect(),
    };
    for split in splits {
        let open = |taxonomy| LabelCheck::open(root, Some(layout), split, taxonomy);
        let opened = open(taxonomy.clone()).and_then(|check| {
            // Cityscapes may have label maps by number of the class alone.
            if layout != Layout::Cityscapes || taxonomy.is_some() || check.pairs() > 0 {
                return Ok(check);
            }
            let by_number = open(Some(Taxonomy::cityscapes19()))?;
            Ok(if by_number.pairs() > 0 { by_number } else { check })
        });
        sets.push(match opened {
            Ok(check) => Checked::labels(&check),
            Err(error) => Checked::unusable(&format!("{layout} {split}"), &error),
        });
    }
    Ok(())
}
