//! An annotated set that has been checked: what is in it, and what is wrong, counted by kind.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZero;
use std::ops::Range;
use std::thread::available_parallelism;

use densesiam_data::check::{Fault, NO_SPLIT};
use densesiam_data::decode::DecodeLimits;
use densesiam_data::detection::DetectionCheck;
use densesiam_data::labelled::{LabelCheck, LabelSurvey, names_listed};
use densesiam_engine::log::{Progress, Voice};
use densesiam_text::shown;
use serde_json::{Value, json};

use super::AT_ONCE;

/// The faults of a kind that are named in lines; the others are only counted.
const NAMED: usize = 3;

/// What was found in a set.
pub(super) struct Checked {
    /// Its layout and splits.
    name: String,
    /// What is in it, in words for a person.
    contents: Vec<(&'static str, String)>,
    /// The same for a program.
    json: Value,
    /// What is wrong with it.
    faults: BTreeMap<&'static str, Vec<String>>,
}

impl Checked {
    /// Examines a set of objects, which may be of the `classes`, or of any if none is named.
    pub(super) fn objects(check: &DetectionCheck, classes: &[String]) -> Self {
        let DetectionCheck { name, listed, objects, difficult, crowds, outlined, without_object, .. } = check;
        let absent: Vec<_> = classes.iter().filter(|class| !objects.contains_key(*class)).collect();
        let by_class: Vec<_> =
            objects.iter().map(|(class, count)| format!("{} {count}", shown(class))).collect();
        let there = check.pictures();
        let are_there = match check.pictures_not_found {
            None => format!("{there} there"),
            Some(_) => "not looked for, because none lies near the file".into(),
        };
        let mut contents = vec![
            ("pictures", format!("{listed} listed, {are_there}, {without_object} without an object")),
            ("objects", objects.values().sum::<usize>().to_string()),
            ("of these", format!("{difficult} difficult, {crowds} crowds")),
            ("classes", by_class.join(", ")),
        ];
        contents.extend(
            outlined.map(|outlined| ("outlines", format!("of {outlined} objects that are no crowds"))),
        );
        contents.extend(check.remarks.iter().map(|remark| ("WARNING", remark.clone())));
        if !absent.is_empty() {
            contents.push(("WARNING", format!("no object is of the class {}", names_listed(&absent))));
        }
        let json = json!({
            "listed": listed,
            "pictures": there,
            "without_object": without_object,
            "objects": objects,
            "difficult": difficult,
            "crowds": crowds,
            "outlined": outlined,
            "remarks": check.remarks,
        });
        let found = examined(there, |range, workers| check.examine(range, &DecodeLimits::default(), workers));
        Self {
            name: name.clone(),
            contents,
            json,
            faults: by_kind(check.faults.iter().cloned().chain(found)),
        }
    }

    /// Examines a set of label maps.
    pub(super) fn labels(check: &LabelCheck) -> Self {
        let (set, pairs) = (check.set(), check.pairs());
        let taxonomy = &set.taxonomy;
        let first = (pairs > 0).then(|| set.label(0).to_string());
        let doubt = (pairs > 0).then(|| LabelSurvey::of(set, &DecodeLimits::default()).finding()).flatten();
        let doubt = doubt.map(|doubt| doubt.to_string());
        let mut contents = vec![
            ("label maps", pairs.to_string()),
            ("classes", format!("{} of {}", taxonomy.classes.len(), taxonomy.name)),
        ];
        contents.extend(first.iter().map(|first| ("first", first.clone())));
        contents.extend(doubt.iter().map(|doubt| ("WARNING", doubt.clone())));
        let json = json!({
            "label_maps": pairs,
            "taxonomy": taxonomy.name,
            "classes": taxonomy.names(),
            "first": first,
            "warning": doubt,
        });
        let found = examined(pairs, |range, workers| check.examine(range, &DecodeLimits::default(), workers));
        let faults = by_kind(check.missing.iter().cloned().chain(found));
        Self { name: set.name.clone(), contents, json, faults }
    }

    /// A split that cannot be opened.
    pub(super) fn unusable(name: &str, why: &dyn Display) -> Self {
        let fault = Fault { kind: NO_SPLIT, why: why.to_string() };
        let (name, faults) = (name.to_owned(), by_kind([fault].into_iter()));
        Self { name, contents: Vec::new(), json: json!({}), faults }
    }

    /// How much is wrong.
    pub(super) fn faults(&self) -> usize {
        self.faults.values().map(Vec::len).sum()
    }

    /// For a program: all that is wrong, by kind.
    pub(super) fn to_json(&self) -> Value {
        let mut set = self.json.clone();
        set["name"] = json!(self.name);
        set["faults"] = json!(self.faults);
        set
    }

    /// For a person: the kinds of what is wrong, with the first of each.
    pub(super) fn lines(&self) -> String {
        let mut lines = format!("{:16} {}\n", "set", self.name);
        lines.extend(self.contents.iter().map(|(what, words)| format!("{what:16} {words}\n")));
        lines += &format!("{:16} {}\n", "faults", self.faults());
        for (kind, all) in &self.faults {
            lines += &format!("  {} {kind}\n", all.len());
            lines.extend(all.iter().take(NAMED).map(|why| format!("    {why}\n")));
            let more = all.len().saturating_sub(NAMED);
            if more > 0 {
                lines += &format!("    and {more} more\n");
            }
        }
        lines
    }
}

fn by_kind(faults: impl Iterator<Item = Fault>) -> BTreeMap<&'static str, Vec<String>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for Fault { kind, why } in faults {
        kinds.entry(kind).or_default().push(why);
    }
    kinds
}

/// Examines `count` pictures part by part on all cores, and says how far it is.
fn examined(count: usize, examine: impl Fn(Range<usize>, usize) -> Vec<Fault>) -> Vec<Fault> {
    let workers = available_parallelism().map_or(1, NonZero::get);
    let progress = Progress::new(&Voice::Terminal, "check", 0, count as u64, 1);
    let mut faults = Vec::new();
    for start in (0..count).step_by(workers * AT_ONCE) {
        let end = (start + workers * AT_ONCE).min(count);
        faults.extend(examine(start..end, workers));
        progress.advance(end as u64);
    }
    progress.finish();
    faults
}
