//! A matching in a few lines.

use std::fmt;

use super::{Matching, Mismatch};
use crate::error::{few, readable};

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.matched.len() + self.missing.len() + self.mismatched.len();
        write!(f, "{} of {} tensors found, under {}'s names", self.matched.len(), needed, self.layout)?;
        if !self.prefix.is_empty() {
            write!(f, " after {}", self.prefix)?;
        }
        if !self.missing.is_empty() {
            write!(f, "\nmissing: {}", few(&self.missing))?;
        }
        if !self.mismatched.is_empty() {
            let shapes: Vec<String> = self.mismatched.iter().map(in_words).collect();
            write!(f, "\nother shapes: {}", few(&shapes))?;
        }
        if !self.unexpected.is_empty() {
            write!(f, "\nleft in the file: {}", few(&self.groups_left_over()))?;
        }
        if self.deep_stem {
            f.write_str(
                "\nits stem is three 3 x 3 convolutions (ResNetV1c, resnet50d), which is not torchvision's one of \
                 7 x 7: it is another network, whose later layers fit in shape alone",
            )?;
        }
        Ok(())
    }
}

impl Matching {
    /// What was left over, gathered by the part of the network: `fc`, `module.encoder_k`.
    fn groups_left_over(&self) -> Vec<String> {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for name in &self.unexpected {
            let part = part_of_the_network(name, &self.prefix);
            match groups.iter_mut().find(|(group, _)| *group == part) {
                Some((_, count)) => *count += 1,
                None => groups.push((part, 1)),
            }
        }
        groups
            .iter()
            .map(|(part, count)| format!("{} ({})", readable(part.as_bytes()), tensors(*count)))
            .collect()
    }
}

/// The first word of a name that is not of the prefix, with what stands before it.
fn part_of_the_network<'a>(name: &'a str, prefix: &str) -> &'a str {
    let wrapper = if name.starts_with(prefix) {
        prefix.len()
    } else {
        ["module.", "model."].iter().find(|wrapper| name.starts_with(**wrapper)).map_or(0, |w| w.len())
    };
    let end = name[wrapper..].find('.').map_or(name.len(), |length| wrapper + length);
    &name[..end]
}

fn in_words(Mismatch { name, expected, found }: &Mismatch) -> String {
    format!("{name} is {found:?} and should be {expected:?}")
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") }
}
