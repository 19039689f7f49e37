//! Pictures alone: every one read and decoded.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::survey::{Survey, Unreadable};
use densesiam_engine::log::{Progress, Voice};
use densesiam_text::shown;
use serde_json::{Value, json};

use super::AT_ONCE;
use crate::answer::{answer, answer_line};
use densesiam::error::Error;

/// Prints the findings, as lines or as JSON. Unreadable pictures are a finding and not a failure, because training
/// skips them.
pub(super) fn run(root: &Path, json: bool) -> Result<(), Error> {
    let index = ImageIndex::scan(root)?;
    let survey = survey(&index);
    match json {
        true => answer_line(format_args!("{:#}", findings(&index, &survey)))?,
        false => answer(lines(&index, &survey))?,
    }
    match survey.unreadable.first() {
        Some(first) if survey.shorter_sides.is_empty() => Err(Error::NothingReadable {
            root: root.into(),
            looked_at: survey.looked_at,
            first: line(&index, first),
        }),
        _ => Ok(()),
    }
}

fn survey(index: &ImageIndex) -> Survey {
    let workers = available_parallelism().map_or(1, NonZero::get);
    let progress = Progress::new(&Voice::Terminal, "check", 0, index.len() as u64, 1);
    let mut survey = Survey::default();
    while survey.looked_at < index.len() {
        let next = survey.looked_at..(survey.looked_at + workers * AT_ONCE).min(index.len());
        survey.add(Survey::of_range(index, next, &DecodeLimits::default(), workers));
        progress.advance(survey.looked_at as u64);
    }
    progress.finish();
    survey
}

fn line(index: &ImageIndex, bad: &Unreadable) -> String {
    format!("{}: {}", index.place(bad.sample), bad.why)
}

/// How many pictures have each kind of fault.
fn kinds(survey: &Survey) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for bad in &survey.unreadable {
        *kinds.entry(bad.kind).or_default() += 1;
    }
    kinds
}

fn findings(index: &ImageIndex, survey: &Survey) -> Value {
    let sides = &survey.shorter_sides;
    let of_bad = |bad: &Unreadable| json!({ "name": index.place(bad.sample).name(), "kind": bad.kind, "why": bad.why });
    json!({
        "root": index.root().to_string_lossy(),
        "pictures": index.len(),
        "shards": index.shards(),
        "skipped": index.skipped(),
        "bytes": survey.bytes,
        "readable": sides.len(),
        "shorter_side": { "smallest": sides.first(), "median": survey.median_shorter_side(), "largest": sides.last() },
        "unreadable_kinds": kinds(survey),
        "unreadable": survey.unreadable.iter().map(of_bad).collect::<Vec<_>>(),
    })
}

fn lines(index: &ImageIndex, survey: &Survey) -> String {
    let mut lines = format!("{:16} {} in {}\n", "pictures", index.len(), shown(index.root()));
    if index.shards() > 0 {
        lines += &format!("{:16} {}\n", "tar shards", index.shards());
    }
    if !index.skipped().is_empty() {
        lines += &format!("{:16} {}\n", "skipped", index.skipped());
    }
    lines += &format!("{:16} {:.1} MB\n", "size", survey.bytes as f64 / 1e6);
    let sides = &survey.shorter_sides;
    if let (Some(smallest), Some(median), Some(largest)) =
        (sides.first(), survey.median_shorter_side(), sides.last())
    {
        lines += &format!("{:16} {smallest} to {largest} px, median {median}\n", "shorter side");
    }
    lines += &format!("{:16} {}\n", "unreadable", survey.unreadable.len());
    lines.extend(kinds(survey).iter().map(|(kind, count)| format!("  {kind:14} {count}\n")));
    lines.extend(survey.unreadable.iter().map(|bad| line(index, bad) + "\n"));
    lines
}
