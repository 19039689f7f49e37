//! Examines label maps before anything is scored on them: which classes they hold, and whether the labels are
//! plausible.

use std::fmt;

use super::label_map::read_values;
use super::{LabelledSet, Meaning, VOID};
use crate::decode::DecodeLimits;
use crate::order::Order;

/// The least and the most label maps that are examined, if there are so many. Between the two numbers, the survey stops
/// when every class was seen.
const LEAST: usize = 16;
const MOST: usize = 128;

/// The most classes that a message names; it only counts the others.
const NAMED: usize = 8;

/// The contents of the label maps that were examined.
#[derive(Clone, Debug)]
pub struct LabelSurvey<'s> {
    set: &'s LabelledSet,
    /// How many were examined.
    pub looked_at: usize,
    /// Pixels of each label value.
    values: [u64; 256],
}

/// A property of the labels of a set that makes a score less meaningful than it seems; displayed as a sentence that
/// says what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelFinding {
    /// The set, for example `folder val`.
    pub set: String,
    /// What is wrong.
    pub problem: LabelProblem,
    /// The classes without a labelled pixel.
    pub absent: Vec<String>,
    /// The share of pixels that are void, in 0..=1.
    pub void: f64,
    /// How many of its label maps were examined, and how many it has.
    pub looked_at: [usize; 2],
}

/// What can be wrong with the labels of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelProblem {
    /// No pixel has a class.
    AllVoid,
    /// The masks have only the values 0 and 255, so only one class is scored, and the pixels of 255 are void.
    ZeroAnd255 {
        /// The class of 0.
        class: String,
    },
    /// Only one class has labelled pixels.
    OneClass {
        /// That class.
        class: String,
    },
    /// Some classes have no labelled pixel, and at least two have some.
    Absent,
}

impl<'s> LabelSurvey<'s> {
    /// Examines label maps in random order until every class was seen, at most 128. Unreadable ones are skipped,
    /// because the evaluation reports them by name.
    pub fn of(set: &'s LabelledSet, limits: &DecodeLimits) -> Self {
        let mut survey = Self { set, looked_at: 0, values: [0; 256] };
        for sample in Order::new(set.len(), 0, 0).batch(0, set.len().min(MOST)) {
            if survey.looked_at >= LEAST && survey.absent().is_empty() {
                break;
            }
            if let Ok(map) = read_values(&set.label(sample as usize), limits) {
                map.classes.iter().for_each(|&value| survey.values[usize::from(value)] += 1);
                survey.looked_at += 1;
            }
        }
        survey
    }

    /// Labelled pixels of each class.
    pub fn pixels(&self) -> Vec<u64> {
        let mut pixels = vec![0; self.set.taxonomy.classes.len()];
        for (value, count) in (0..=VOID).zip(self.values) {
            if let Some(class) = self.set.taxonomy.class_of(value) {
                pixels[usize::from(class)] += count;
            }
        }
        pixels
    }

    /// The share of pixels that are void, in 0..=1; 0 if there is no pixel.
    pub fn void(&self) -> f64 {
        let is_void = |value| self.set.taxonomy.meaning(value) == Meaning::Void;
        let void: u64 =
            (0..=VOID).zip(self.values).filter(|&(value, _)| is_void(value)).map(|(_, n)| n).sum();
        void as f64 / self.values.iter().sum::<u64>().max(1) as f64
    }

    /// The classes without a labelled pixel, by number.
    fn absent(&self) -> Vec<usize> {
        self.pixels().iter().enumerate().filter(|(_, pixels)| **pixels == 0).map(|(class, _)| class).collect()
    }

    /// What is wrong, if anything. Values outside the classes are not a finding, because the evaluation refuses them. A
    /// class counts as absent only if all label maps were examined.
    pub fn finding(&self) -> Option<LabelFinding> {
        let there: Vec<u8> =
            (0..=VOID).zip(self.values).filter(|(_, count)| *count > 0).map(|(value, _)| value).collect();
        let outside = there.iter().any(|&value| self.set.taxonomy.meaning(value) == Meaning::Outside);
        if there.is_empty() || outside {
            return None;
        }
        let (names, absent) = (self.set.taxonomy.names(), self.absent());
        let mut present = (0..names.len()).filter(|class| !absent.contains(class));
        let problem = match (present.next(), present.next()) {
            (None, _) => LabelProblem::AllVoid,
            (Some(class), None) if there == [0, VOID] => {
                LabelProblem::ZeroAnd255 { class: names[class].into() }
            }
            (Some(class), None) => LabelProblem::OneClass { class: names[class].into() },
            _ if !absent.is_empty() && self.looked_at == self.set.len() => LabelProblem::Absent,
            _ => return None,
        };
        Some(LabelFinding {
            set: self.set.name.clone(),
            problem,
            absent: absent.into_iter().map(|class| names[class].to_owned()).collect(),
            void: self.void(),
            looked_at: [self.looked_at, self.set.len()],
        })
    }
}

impl fmt::Display for LabelFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, problem, absent, void, looked_at: [looked_at, all] } = self;
        let of = if looked_at < all {
            format!(" ({looked_at} of {all} label maps looked at)")
        } else {
            String::new()
        };
        let void = format!("{:.1} percent of the pixels are void", 100.0 * void);
        let absent = match absent.len() {
            0 => String::new(),
            _ => format!("; without a labelled pixel: {}", names_listed(absent)),
        };
        write!(formatter, "{set}{of}: ")?;
        match problem {
            LabelProblem::AllVoid => write!(
                formatter,
                "no pixel has a class, for all are void (255), and there is no score; label values are the numbers of the \
                 classes, from 0"
            ),
            LabelProblem::ZeroAnd255 { class } => write!(
                formatter,
                "the only label values are 0 and 255, and 255 is void: {void} and left out of the scores, which are about \
                 {class} alone{absent}; where 255 stands for a class, write 1 in its place into the label maps"
            ),
            LabelProblem::OneClass { class } => write!(
                formatter,
                "{class} is the only class with labelled pixels, and a score over one class says nothing; {void}{absent}; \
                 check that label values are the numbers of the classes, and that none is written as 255, which is void"
            ),
            LabelProblem::Absent => write!(
                formatter,
                "{void}{absent}; check that label values are the numbers of the classes, and that none is written as 255, \
                 which is void"
            ),
        }
    }
}

/// Names of classes in a message: the first few, and how many more there are.
pub fn names_listed<N: AsRef<str>>(names: &[N]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = names.len() - first.len();
    if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
}
