//! What a part of PASCAL VOC is called.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A split, perhaps of a year: `2007/trainval` is the split `trainval` in the folder `VOC2007`, `trainval` that of a data set
/// without years.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VocPart {
    /// The year.
    pub year: Option<u16>,
    /// The split, for example `trainval`.
    pub split: String,
}

impl VocPart {
    /// The folder of the part, below the root.
    pub(super) fn folder(&self) -> PathBuf {
        self.year.map(|year| format!("VOC{year}")).unwrap_or_default().into()
    }
}

impl FromStr for VocPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no part of PASCAL VOC; write YEAR/SPLIT, for example 2007/trainval, or SPLIT"
            )
        };
        let (year, split) = match text.split_once('/') {
            Some((year, split)) => (Some(year.parse().map_err(|_| wrong())?), split),
            None => (None, text),
        };
        if split.is_empty() || split.contains(['/', '\0']) || split.starts_with('.') {
            return Err(wrong());
        }
        Ok(Self { year, split: split.into() })
    }
}

impl TryFrom<String> for VocPart {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VocPart> for String {
    fn from(part: VocPart) -> Self {
        part.to_string()
    }
}

impl fmt::Display for VocPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.year {
            Some(year) => write!(formatter, "{year}/{}", self.split),
            None => formatter.write_str(&self.split),
        }
    }
}
