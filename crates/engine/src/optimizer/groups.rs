//! Parameter groups by ordered name patterns, first match wins. A pattern that fits nothing and a parameter that fits
//! no pattern are errors, because renaming a layer must not silently change how it is trained.

use std::collections::HashSet;
use std::fmt;

/// How the learning rate of a group follows the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GroupRate {
    /// The scheduled learning rate times this factor.
    Scheduled(f64),
    /// The peak learning rate throughout, warm-up included.
    Fixed,
}

/// One group and the pattern of its members' names.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRule {
    /// What the group is called in summaries.
    pub name: String,
    /// The names that belong to it; `*` stands for any run of characters (`encoder.*`, `*.bias`, `*`).
    pub pattern: String,
    /// Its learning rate.
    pub rate: GroupRate,
}

impl GroupRule {
    /// A rule whose members follow the schedule.
    pub fn scheduled(name: &str, pattern: &str) -> Self {
        Self { name: name.to_owned(), pattern: pattern.to_owned(), rate: GroupRate::Scheduled(1.0) }
    }

    /// A rule whose members keep the peak learning rate.
    pub fn fixed(name: &str, pattern: &str) -> Self {
        Self { name: name.to_owned(), pattern: pattern.to_owned(), rate: GroupRate::Fixed }
    }
}

/// Rules and parameters that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// A rule has no members: it is misspelt, or an earlier rule takes all of them.
    #[error(
        "parameter group {group:?}: pattern {pattern:?} takes no parameter; correct it, or move it before the rule that does"
    )]
    UnmatchedRule {
        /// The rule's name.
        group: String,
        /// Its pattern.
        pattern: String,
    },
    /// A parameter fits no rule.
    #[error("parameter {name:?} belongs to no group; add a rule, such as a last one with the pattern \"*\"")]
    UnmatchedParameter {
        /// The parameter's name.
        name: String,
    },
    /// Two parameters share a name.
    #[error("two parameters are called {name:?}; names must be unique")]
    DuplicateName {
        /// The shared name.
        name: String,
    },
}

/// The members of every rule, as indices into `names`; each name belongs to the first rule that fits.
///
/// # Errors
/// [`GroupError`] when rules and names do not cover each other, or a name occurs twice.
pub fn assign(names: &[&str], rules: &[GroupRule]) -> Result<Vec<Vec<usize>>, GroupError> {
    let mut seen = HashSet::new();
    let mut members = vec![Vec::new(); rules.len()];
    for (place, name) in names.iter().enumerate() {
        if !seen.insert(name) {
            return Err(GroupError::DuplicateName { name: (*name).to_owned() });
        }
        let rule = rules.iter().position(|rule| matches(&rule.pattern, name));
        let rule = rule.ok_or_else(|| GroupError::UnmatchedParameter { name: (*name).to_owned() })?;
        members[rule].push(place);
    }
    match rules.iter().zip(&members).find(|(_, members)| members.is_empty()) {
        Some((rule, _)) => {
            Err(GroupError::UnmatchedRule { group: rule.name.clone(), pattern: rule.pattern.clone() })
        }
        None => Ok(members),
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters, including an empty one.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((prefix, rest)) => name.strip_prefix(prefix).is_some_and(|name| {
            (0..=name.len()).filter(|&at| name.is_char_boundary(at)).any(|at| matches(rest, &name[at..]))
        }),
    }
}

/// A line of the summary that is printed at the start of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSummary {
    /// The group's name.
    pub name: String,
    /// Its tensors.
    pub tensors: usize,
    /// Its scalars, all tensors together.
    pub parameters: u64,
    /// Its learning rate at the schedule's peak.
    pub peak_learning_rate: f64,
    /// Whether it keeps that rate.
    pub fixed: bool,
    /// Its weight decay.
    pub weight_decay: f64,
}

impl fmt::Display for GroupSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, tensors, parameters, peak_learning_rate, weight_decay, .. } = self;
        let course = if self.fixed { "fixed" } else { "peak" };
        write!(formatter, "{name}: {tensors} tensors, {parameters} parameters, ")?;
        write!(formatter, "learning rate {peak_learning_rate} ({course}), weight decay {weight_decay}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = [
        "encoder.conv1.weight",
        "encoder.bn1.bias",
        "global.predictor.0.weight",
        "pixsim.predictor.0.weight",
    ];

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("encoder.*", "encoder.conv1.weight", true),
            ("encoder.*", "my.encoder.conv1", false),
            ("*.bias", "bn.bias", true),
            ("*.bias", "bn.bias.x", false),
            ("*predictor*weight", "a.predictor.0.weight", true),
            ("a*b*b", "ab", false),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_wins() {
        let rules = [GroupRule::fixed("predictor", "global.predictor.*"), GroupRule::scheduled("rest", "*")];
        assert_eq!(assign(&NAMES, &rules).unwrap(), [vec![2], vec![0, 1, 3]]);
    }

    #[test]
    fn rules_and_parameters_must_cover_each_other() {
        let shadowed =
            [GroupRule::scheduled("all", "*"), GroupRule::fixed("predictor", "global.predictor.*")];
        assert!(
            matches!(assign(&NAMES, &shadowed), Err(GroupError::UnmatchedRule { group, .. }) if group == "predictor")
        );
        let partial = [GroupRule::scheduled("encoder", "encoder.*")];
        assert!(
            matches!(assign(&NAMES, &partial), Err(GroupError::UnmatchedParameter { name }) if name == NAMES[2])
        );
        let everything = [GroupRule::scheduled("all", "*")];
        assert!(matches!(assign(&["a", "a"], &everything), Err(GroupError::DuplicateName { .. })));
    }
}
