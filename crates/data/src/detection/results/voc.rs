//! PASCAL VOC's results: for each class a file `comp4_det_test_CLASS.txt` whose lines hold picture, score and box.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use densesiam_geometry::{Region, Xywh};
use densesiam_metrics::detection::{Detection, Rounding};
use densesiam_text::{NotText, ReadError, shown};

/// What names of results begin with: the fourth competition, for which any data may be learned from.
const PREFIX: &str = "comp4_det_test_";
/// What names of results end with.
const SUFFIX: &str = ".txt";
/// Largest file that is read.
const LARGEST: u64 = 1 << 30;

/// The file of a class in a folder of results.
pub fn voc_results_file(folder: &Path, class: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{class}{SUFFIX}"))
}

/// Why results cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", shown(path))]
pub struct VocResultError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: VocResultFault,
}

/// What is wrong with results.
#[derive(Debug, thiserror::Error)]
pub enum VocResultFault {
    /// The file system refused.
    #[error("cannot be read: {0}; check the path")]
    Unreadable(io::Error),
    /// The file system refused to write.
    #[error("cannot be written: {0}; check that there is room and that you may write there")]
    Unwritable(io::Error),
    /// The file is no text.
    #[error("is no list of detections: {0}")]
    NotText(NotText),
    /// The file is too large.
    #[error("has {bytes} bytes, more than the {LARGEST} that are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// No file of a class is there.
    #[error("has no file {PREFIX}CLASS{SUFFIX} of any class; name the folder of the results")]
    NoFile,
    /// A file of a class that the data set does not have.
    #[error("is of a class that the data set does not have; it has {classes}")]
    UnknownClass {
        /// The classes.
        classes: String,
    },
    /// A line does not hold six words.
    #[error("line {line} has {words} words; a detection has six: picture, score, left, top, right, bottom")]
    Words {
        /// The line, from 1.
        line: usize,
        /// How many it has.
        words: usize,
    },
    /// A word is no number.
    #[error("line {line} has {} where a number belongs", shown(word))]
    Number {
        /// The line, from 1.
        line: usize,
        /// The word.
        word: String,
    },
    /// A detection in a picture that the data set does not have.
    #[error("line {line} names the picture {}, which is not among those of the data set", shown(picture))]
    UnknownPicture {
        /// The line, from 1.
        line: usize,
        /// The picture.
        picture: String,
    },
}

/// Reads the results in `folder`, of pictures and classes that are numbered by their place in the lists. A class without a
/// file has no detection, and an empty file may be of any class.
///
/// # Errors
/// A [`VocResultError`] for the first file that cannot be used, and if there is none.
pub fn read_voc_results(
    folder: &Path,
    pictures: &[String],
    classes: &[String],
) -> Result<Vec<Detection>, VocResultError> {
    let numbers: HashMap<&str, usize> = pictures.iter().map(String::as_str).zip(0..).collect();
    let of_folder = |fault| VocResultError { path: folder.into(), fault };
    let mut detections = Vec::new();
    let mut paths = results(folder).map_err(|error| of_folder(VocResultFault::Unreadable(error)))?;
    paths.sort();
    if paths.is_empty() {
        return Err(of_folder(VocResultFault::NoFile));
    }
    for (name, path) in paths {
        let class = classes.iter().position(|class| *class == name);
        let unknown = || VocResultFault::UnknownClass { classes: classes.join(", ") };
        let read = text(&path).and_then(|text| match class {
            // What knows more classes than these pictures have writes a file for each.
            None if text.trim().is_empty() => Ok(Vec::new()),
            class => parse_voc_results(&text, class.ok_or_else(unknown)?, &numbers),
        });
        detections.extend(read.map_err(|fault| VocResultError { path, fault })?);
    }
    Ok(detections)
}

/// The classes and paths of all results in a folder.
fn results(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let class = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(class) = class {
            files.push((class.to_owned(), path.clone()));
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, VocResultFault> {
    let bytes = fs::metadata(path).map_err(VocResultFault::Unreadable)?.len();
    if bytes > LARGEST {
        return Err(VocResultFault::TooLarge { bytes });
    }
    densesiam_text::read(path).map_err(|error| match error {
        ReadError::System(source) => VocResultFault::Unreadable(source),
        ReadError::NotText(reason) => VocResultFault::NotText(reason),
    })
}

/// The detections of one class; `pictures` has the number of each picture's name. Files count pixels from 1, and name the
/// last pixel of a box, not what lies behind it: the left and top edges are moved by one pixel.
///
/// # Errors
/// A [`VocResultFault`] for the first line that is none.
pub fn parse_voc_results(
    text: &str,
    class: usize,
    pictures: &HashMap<&str, usize>,
) -> Result<Vec<Detection>, VocResultFault> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(text, line)| detection(text, line, class, pictures)).collect()
}

fn detection(
    text: &str,
    line: usize,
    class: usize,
    pictures: &HashMap<&str, usize>,
) -> Result<Detection, VocResultFault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[name, ref rest @ ..] = &*words else { return Err(VocResultFault::Words { line, words: 0 }) };
    let Ok(rest) = <[&str; 5]>::try_from(rest) else {
        return Err(VocResultFault::Words { line, words: words.len() });
    };
    let unknown = || VocResultFault::UnknownPicture { line, picture: name.to_owned() };
    let picture = *pictures.get(name).ok_or_else(unknown)?;
    let number = |word: &str| {
        let number = word.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| VocResultFault::Number { line, word: word.to_owned() })
    };
    let [score, x0, y0, x1, y1] = rest.map(number);
    let bbox = Region { x0: x0? - 1.0, y0: y0? - 1.0, x1: x1?, y1: y1? };
    Ok(Detection { picture, class, score: score?, bbox: bbox.into(), mask: None })
}

/// Writes detections into `folder`, a file for each class, with or without detections, as VOC's tools read them; with
/// [`Rounding::Detectron2`] the lines are those that detectron2 writes.
///
/// # Errors
/// A [`VocResultError`] for a file that cannot be written.
///
/// # Panics
/// When a detection is in a picture without a name.
pub fn write_voc_results(
    folder: &Path,
    detections: &[Detection],
    pictures: &[String],
    classes: &[String],
    rounding: Rounding,
) -> Result<(), VocResultError> {
    for (number, class) in classes.iter().enumerate() {
        let path = voc_results_file(folder, class);
        let own = detections.iter().filter(|found| found.class == number);
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            for found in own {
                writeln!(file, "{} {}", pictures[found.picture], numbers(found, rounding))?;
            }
            file.flush()
        };
        write().map_err(|error| VocResultError {
            path: path.clone(),
            fault: VocResultFault::Unwritable(error),
        })?;
    }
    Ok(())
}

/// Score and box of a line.
fn numbers(found: &Detection, rounding: Rounding) -> String {
    let Xywh { x, y, .. } = found.bbox;
    let Region { x1, y1, .. } = found.bbox.into();
    let score = found.score;
    match rounding {
        Rounding::Exact => format!("{score} {} {} {x1} {y1}", x + 1.0, y + 1.0),
        Rounding::Detectron2 => {
            // It adds 1 to numbers of single precision.
            let [left, top] = [x, y].map(|edge| edge as f32 + 1.0);
            format!("{score:.3} {left:.1} {top:.1} {x1:.1} {y1:.1}")
        }
    }
}
