//! The files among the pictures of a data set that are not read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use densesiam_text::shown;
use serde::Serialize;

/// The most folders that [`Skipped`] names when it is displayed; it counts the others.
const NAMED: usize = 3;

/// What an index left out although it looks like a part of the data set, so that nothing is left out silently.
/// Displayed as one line; empty if nothing was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Files with the names of pictures in formats that are not read: the number for each extension, in lower case.
    pub formats: BTreeMap<&'static str, usize>,
    /// Members of shards that have a picture's extension after another extension, and belong to a sample that has its
    /// own picture: masks, depth maps and similar.
    pub parts_of_samples: usize,
    /// Broken links in folders, and links in shards that have the names of pictures: neither has any contents.
    pub links: usize,
    /// Folders that cannot be read, each with the error of the system.
    pub folders: Vec<String>,
}

impl Skipped {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a file if its extension belongs to a format that is not read.
    pub(super) fn note_extension(&mut self, extension: &[u8]) {
        if let Some(format) = super::formats::not_read(extension) {
            *self.formats.entry(format).or_default() += 1;
        }
    }

    pub(super) fn note_folder(&mut self, folder: &Path, why: &str) {
        self.folders.push(format!("{}: {why}", folder.to_string_lossy()));
    }

    pub(super) fn add(&mut self, other: Self) {
        other
            .formats
            .into_iter()
            .for_each(|(format, count)| *self.formats.entry(format).or_default() += count);
        self.parts_of_samples += other.parts_of_samples;
        self.links += other.links;
        self.folders.extend(other.folders);
    }

    fn formats_in_words(&self) -> Option<String> {
        let counted: Vec<_> =
            self.formats.iter().map(|(format, count)| format!("{count} .{format}")).collect();
        let counted = (!counted.is_empty()).then(|| counted.join(", "))?;
        Some(format!("{counted} (formats that are not read; convert them to JPEG or PNG)"))
    }

    fn folders_in_words(&self) -> Option<String> {
        let first: Vec<_> = self.folders.iter().take(NAMED).map(|folder| shown(folder).to_string()).collect();
        let rest = if self.folders.len() > NAMED { ", ..." } else { "" };
        let count = counted(self.folders.len(), "folder that cannot be read", "folders that cannot be read")?;
        Some(format!("{count} ({}{rest})", first.join(", ")))
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.formats_in_words(),
            counted(
                self.parts_of_samples,
                "member beside the picture of its sample",
                "members beside the picture of their sample",
            ),
            counted(self.links, "link with no file behind it", "links with no file behind them"),
            self.folders_in_words(),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// A number and what it counts; `None` for 0.
fn counted(count: usize, one: &str, many: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_one_line() {
        let mut skipped = Skipped::default();
        assert_eq!((skipped.to_string(), skipped.is_empty()), (String::new(), true));
        for extension in ["HEIC", "txt", "heic", "Avif", "jpg"] {
            skipped.note_extension(extension.as_bytes());
        }
        skipped.note_folder(Path::new("a\n"), "no");
        skipped.links = 2;
        assert_eq!(
            skipped.to_string(),
            "1 .avif, 2 .heic (formats that are not read; convert them to JPEG or PNG); \
             2 links with no file behind them; 1 folder that cannot be read (a\\n: no)"
        );
    }
}
