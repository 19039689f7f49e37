//! `densesiam keys`: what can be set, from the page that the program carries (`docs/recipes.md`).

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use terminal_size::{Width, terminal_size_of};

use super::takes_settings;
use crate::answer::answer;
use densesiam::error::Error;
use densesiam::recipe::Recipe;
use densesiam::recipe::embed::EmbedRecipe;
use densesiam::recipe::knn::KnnRecipe;
use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::reference::{self, Key};
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::transfer::detection::DetectionRecipe;
use densesiam::recipe::transfer::segmentation::FcnRecipe;
use densesiam_settings::keys::nearest;
use densesiam_settings::usual::keys_meant;

/// The tasks that have recipes.
const TASKS: [Task; 7] = [
    Task::of::<PretrainRecipe>("pretrain"),
    Task::of::<SegmentRecipe>("segment"),
    Task::of::<FcnRecipe>("fcn"),
    Task::of::<DetectionRecipe>("detector"),
    Task::of::<ProbeRecipe>("probe"),
    Task::of::<KnnRecipe>("knn"),
    Task::of::<EmbedRecipe>("embed"),
];

/// A task, the command that reads its recipes, and their keys.
struct Task {
    name: &'static str,
    command: &'static str,
    keys: fn() -> Vec<Key>,
}

impl Task {
    const fn of<R: Recipe>(name: &'static str) -> Self {
        Self { name, command: R::COMMAND, keys: reference::keys::<R> }
    }

    /// Whether a word names it, or the command that has it, perhaps beside another.
    fn is_called(&self, word: &str) -> bool {
        [self.name, self.command].contains(&word)
    }
}

/// A key, and the tasks in which it is the same.
struct Entry {
    key: Key,
    tasks: Vec<&'static str>,
}

/// Prints the keys of one task, or of all tasks, that match a pattern. A single word that is not a task is the pattern.
pub(super) fn run(task: Option<&str>, pattern: Option<&str>) -> Result<(), Error> {
    let (task, pattern) = match (task, pattern) {
        (Some(word), None) if !is_task(word) => (None, word),
        (Some(word), Some(_)) if !is_task(word) => {
            let mut tasks: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
            for Task { command, .. } in &TASKS {
                if !tasks.contains(command) {
                    tasks.push(command);
                }
            }
            let tasks = tasks.join(", ");
            return Err(Error::Usage(format!(
                "{word:?} is no task: {tasks}; quote a pattern of several words"
            )));
        }
        (task, pattern) => (task, pattern.unwrap_or_default()),
    };
    let all = entries(task);
    let found: Vec<&Entry> = all.iter().filter(|entry| entry.fits(pattern)).collect();
    if found.is_empty() {
        let of = task.map_or(String::new(), |task| format!(" of {task}"));
        let near = nearest(pattern, all.iter().map(|entry| entry.key.name));
        let advice =
            near.map_or("`densesiam keys` lists them all".to_owned(), |key| format!("did you mean `{key}`?"));
        return Err(Error::Usage(format!("no key{of} has {pattern:?} in its name or meaning; {advice}")));
    }
    if !stdout().is_terminal() {
        return answer(lines(&found));
    }
    let columns = terminal_size_of(stdout()).map_or(UNKNOWN, |(Width(columns), _)| usize::from(columns));
    answer(paragraphs(&found, columns.min(WIDEST)))
}

/// The error for an unknown option, with advice on what to write instead if the command takes settings: `--epochs 5` is
/// meant as a setting.
pub(super) fn advise_setting(mut refused: clap::Error, command: &clap::Command) -> clap::Error {
    let Some(ContextValue::String(option)) = refused.get(ContextKind::InvalidArg) else { return refused };
    if refused.kind() != ErrorKind::UnknownArgument || !takes_settings(command) {
        return refused;
    }
    let name = option.trim_start_matches('-').replace('-', "_");
    let all = entries(Some(command.get_name()).filter(|name| is_task(name)));
    let is_known = !keys_meant(&name).is_empty() || all.iter().any(|entry| entry.key.name == name);
    if refused.get(ContextKind::SuggestedArg).is_some() && !is_known {
        return refused;
    }
    let meant = nearest(&name, all.iter().map(|entry| entry.key.name));
    let meant = all.iter().find(|entry| Some(entry.key.name) == meant);
    let example =
        meant.map_or(String::new(), |Entry { key, .. }| format!(", such as {}={}", key.name, key.default));
    let tip =
        format!("settings are written as key=value, without dashes{example}; `densesiam keys` explains them");
    refused.remove(ContextKind::SuggestedArg);
    refused.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    refused
}

/// The assumed width of a terminal that does not report its columns.
const UNKNOWN: usize = 80;

/// The widest text, in columns, that is still easy to read.
const WIDEST: usize = 110;

/// Whether a word names a task, or the command of one or several.
fn is_task(word: &str) -> bool {
    TASKS.iter().any(|task| task.is_called(word))
}

/// The keys of one task or of all tasks; keys that are the same in several tasks are listed once.
fn entries(task: Option<&str>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for of in TASKS.iter().filter(|of| task.is_none_or(|task| of.is_called(task))) {
        for key in (of.keys)() {
            match entries.iter_mut().find(|entry| entry.key == key) {
                Some(same) => same.tasks.push(of.name),
                None => entries.push(Entry { key, tasks: vec![of.name] }),
            }
        }
    }
    entries
}

impl Entry {
    /// Whether the pattern is a part of the key's name or meaning, ignoring case, or a name that other programs use for
    /// the key.
    fn fits(&self, pattern: &str) -> bool {
        let pattern = pattern.to_lowercase();
        let Key { name, meaning, .. } = &self.key;
        name.contains(&pattern)
            || meaning.to_lowercase().contains(&pattern)
            || keys_meant(&pattern).contains(name)
    }
}

/// One line for each entry: key, default, allowed values, tasks and meaning, separated by tabs.
fn lines(entries: &[&Entry]) -> String {
    let line = |Entry { key: Key { name, default, allowed, meaning }, tasks }: &&Entry| {
        format!("{name}\t{default}\t{allowed}\t{}\t{meaning}\n", tasks.join(" "))
    };
    entries.iter().map(line).collect()
}

/// One paragraph for each entry, for a terminal with this number of columns.
fn paragraphs(entries: &[&Entry], columns: usize) -> String {
    let mut text = String::new();
    for Entry { key: Key { name, default, allowed, meaning }, tasks } in entries {
        let tasks = tasks.join(", ");
        let _ = writeln!(text, "{name}={default}");
        for line in wrapped(&format!("{meaning} Allowed: {allowed}. In: {tasks}."), columns.saturating_sub(4))
        {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// Wraps a text into lines of at most this number of characters; a longer word has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_task_is_explained_and_where_tasks_differ_apart() {
        let of_transfer: Vec<_> =
            entries(Some("transfer")).into_iter().flat_map(|entry| entry.tasks).collect();
        assert!(of_transfer.iter().all(|task| ["fcn", "detector"].contains(task)));
        assert!(["fcn", "detector"].iter().all(|task| of_transfer.contains(task)));
        let all = entries(None);
        let of = |key: &str| -> Vec<(Vec<&str>, &str)> {
            let same = all.iter().filter(|entry| entry.key.name == key);
            same.map(|entry| (entry.tasks.clone(), entry.key.default.as_str())).collect()
        };
        assert_eq!(
            of("run.seed"),
            [(vec!["pretrain", "segment", "fcn", "detector", "probe", "knn", "embed"], "1")]
        );
        assert_eq!(
            of("run.precision"),
            [
                (vec!["pretrain", "segment", "fcn", "detector"], "\"auto\""),
                (vec!["probe", "knn", "embed"], "\"fp32\"")
            ]
        );
        assert_eq!(of("pixsim.grid"), [(vec!["pretrain"], "7")]);
        assert!(all.iter().all(|entry| !entry.key.meaning.is_empty() && !entry.key.allowed.is_empty()));
    }

    #[test]
    fn lines_are_no_longer_than_the_terminal_and_lose_no_word() {
        let text = "Pictures a step. Batch norm and RegionSim see no more than these, so that another batch is another training.";
        for columns in [0, 1, 9, 40, 1000] {
            let lines = wrapped(text, columns);
            let fits = |line: &String| line.chars().count() <= columns || !line.contains(' ');
            assert!(lines.iter().all(fits), "{columns}: {lines:?}");
            assert_eq!(lines.join(" "), text);
        }
        assert!(wrapped(text, 40).len() <= 4, "a line is filled before the next begins");
    }
}
