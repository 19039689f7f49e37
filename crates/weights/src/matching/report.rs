//! Displays a matching in a few lines.

use std::collections::HashMap;
use std::fmt;

use super::encoder::names_a_copy;
use super::{Mismatch, NameMatch};
use crate::error::{few, readable};

impl fmt::Display for NameMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.matched.len() + self.missing.len() + self.mismatched.len();
        write!(f, "{} of {} tensors found, under {}", self.matched.len(), needed, self.layout)?;
        if !self.prefix.is_empty() {
            write!(f, " after {}", readable(self.prefix.as_bytes()))?;
        }
        if self.is_copy {
            f.write_str(
                "\na copy by its name (momentum, moving average or teacher); the encoder that was trained is \
                         not in the file",
            )?;
        }
        if !self.missing.is_empty() {
            write!(f, "\nmissing: {}", few(&self.missing))?;
        }
        if !self.mismatched.is_empty() {
            let shapes: Vec<String> = self.mismatched.iter().map(in_words).collect();
            write!(f, "\nother shapes: {}", few(&shapes))?;
        }
        if !self.foreign.is_empty() {
            let names: Vec<String> = self.foreign.iter().map(|name| readable(name.as_bytes())).collect();
            write!(f, "\nof another network: {}", few(&names))?;
        }
        if !self.unexpected.is_empty() {
            write!(f, "\nleft in the file: {}", few(&self.groups_left_over()))?;
        }
        Ok(())
    }
}

impl NameMatch {
    /// The part of the network that a tensor of the file belongs to: the beginning of its name, up to the first word
    /// that differs from the prefix (`module.encoder_k` beside `module.encoder_q.`).
    pub fn part_of<'a>(&self, name: &'a str) -> &'a str {
        let words = name.split_inclusive('.').zip(self.prefix.split_inclusive('.'));
        let common: usize =
            words.take_while(|(ours, theirs)| ours == theirs).map(|(word, _)| word.len()).sum();
        let end = name[common..].find('.').map_or(name.len(), |length| common + length);
        &name[..end]
    }

    /// The tensors that were left over, grouped by the part of the network: `fc`, `module.encoder_k`. Copies come first:
    /// a message shows a few parts, and that a teacher was not taken matters more than which heads there are.
    fn groups_left_over(&self) -> Vec<String> {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        let mut places = HashMap::new();
        for name in &self.unexpected {
            let part = self.part_of(name);
            let place = *places.entry(part).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => groups.push((part, 1)),
            }
        }
        groups.sort_by_key(|(part, _)| !names_a_copy(part));
        groups
            .iter()
            .map(|(part, count)| format!("{} ({})", readable(part.as_bytes()), tensors(*count)))
            .collect()
    }
}

fn in_words(Mismatch { name, expected, found }: &Mismatch) -> String {
    format!("{name} is {found:?} and should be {expected:?}")
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") }
}
