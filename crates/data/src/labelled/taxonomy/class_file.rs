//! A taxonomy from a text file: one class in each line; the label value is the number of the line, from 0.

use std::io;
use std::path::{Path, PathBuf};

use densesiam_text::{NotText, ReadError, read, shown};

use super::{Class, Taxonomy};

/// The last word of a line that marks its class as a thing.
const THING: &str = "thing";

/// The most classes that 8-bit labels can hold besides void.
const MOST: usize = 255;

/// Why a class file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ClassFileError {
    /// The file system refused.
    #[error("cannot read {}: {source}; check that it is there and that you may read it", shown(path))]
    Unreadable {
        /// The class file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not text.
    #[error("{} is not a list of classes: {reason}", shown(path))]
    NotText {
        /// The file.
        path: PathBuf,
        /// What the file seems to be instead.
        reason: NotText,
    },
    /// A line names no class.
    #[error(
        "line {line} of {} names no class; every line does, for its number is a label value",
        shown(path)
    )]
    EmptyLine {
        /// The class file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No class or too many.
    #[error("{} names {found} classes; it must name between 1 and {MOST}, one a line", shown(path))]
    Count {
        /// The class file.
        path: PathBuf,
        /// Classes found.
        found: usize,
    },
}

impl Taxonomy {
    /// Reads a class file: one name a line, label values 0, 1, ... in order, 255 void. A line whose last word, set
    /// apart by a space or tab, is `thing` marks a thing (`traffic light thing`); the others are stuff. Characters of a
    /// name that would control a terminal become escapes.
    ///
    /// # Errors
    /// A [`ClassFileError`] if the file cannot be read, a line is empty or there are more than 255 classes.
    pub fn read(path: &Path) -> Result<Self, ClassFileError> {
        let text = read(path).map_err(|error| match error {
            ReadError::System(source) => ClassFileError::Unreadable { path: path.into(), source },
            ReadError::NotText(reason) => ClassFileError::NotText { path: path.into(), reason },
        })?;
        Self::parse(&text, path)
    }

    /// As [`Taxonomy::read`], from the text of a class file; `path` names the taxonomy, and the file in error messages.
    ///
    /// # Errors
    /// A [`ClassFileError`] if a line is empty or there are more than 255 classes.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ClassFileError> {
        let classes: Vec<Class> = text.trim_end().lines().map(parse_line).collect();
        if let Some(line) = classes.iter().position(|class| class.name.is_empty()) {
            // A file with only white space has one line, which is empty.
            return Err(ClassFileError::EmptyLine { path: path.into(), line: line + 1 });
        }
        if !(1..=MOST).contains(&classes.len()) {
            return Err(ClassFileError::Count { path: path.into(), found: classes.len() });
        }
        Ok(Self::direct(&shown(path).to_string(), classes))
    }
}

fn parse_line(line: &str) -> Class {
    let (name, thing) = match line.trim().rsplit_once([' ', '\t']) {
        Some((name, THING)) => (name.trim_end(), true),
        _ => (line.trim(), false),
    };
    Class { name: shown(name).to_string(), thing, colour: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelled::Meaning;

    fn read(text: &str) -> Result<Taxonomy, ClassFileError> {
        Taxonomy::parse(text, Path::new("classes.txt"))
    }

    #[test]
    fn lines_are_label_values_and_a_last_word_marks_things() {
        let taxonomy = read("meadow\ntraffic light\tthing\r\nsomething\nparked car thing\n\n").unwrap();
        assert_eq!(taxonomy.names(), ["meadow", "traffic light", "something", "parked car"]);
        assert_eq!(taxonomy.things(), [false, true, false, true]);
        assert_eq!(taxonomy.meaning(3), Meaning::Class(3));
        assert_eq!((taxonomy.meaning(4), taxonomy.meaning(255)), (Meaning::Outside, Meaning::Void));
    }

    #[test]
    fn names_do_not_act() {
        assert_eq!(read("a\tb\n\u{1b}[31mred\n").unwrap().names(), [r"a\tb", r"\u{1b}[31mred"]);
    }

    #[test]
    fn holes_and_excess_are_refused_by_line_and_number() {
        assert!(read("a\n\nb\n").unwrap_err().to_string().contains("line 2"));
        assert!(matches!(read("").unwrap_err(), ClassFileError::Count { found: 0, .. }));
        assert!(matches!(read(&"x\n".repeat(256)).unwrap_err(), ClassFileError::Count { found: 256, .. }));
    }
}
