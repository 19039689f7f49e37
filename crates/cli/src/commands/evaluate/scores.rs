//! Scores as a table for the terminal: the figures of a whole set, and those of each class.

use std::fmt::Write;

use densesiam_metrics::percent;

/// Scores of a set, as fractions.
pub(super) struct Scores {
    /// What was compared with what.
    pub(super) heading: String,
    /// Of the whole set, by name.
    pub(super) figures: Vec<(String, Option<f64>)>,
    /// The names of the classes.
    pub(super) classes: Vec<String>,
    /// Of each class, by name.
    pub(super) of_classes: Vec<(&'static str, Vec<Option<f64>>)>,
}

impl Scores {
    /// The table, in percent.
    pub(super) fn table(&self) -> String {
        let longest = |names: &mut dyn Iterator<Item = &str>| names.map(|name| name.chars().count()).max();
        let wide = longest(&mut self.figures.iter().map(|(name, _)| &**name)).unwrap_or(0).max(8);
        let mut table = format!("{}\n\n", self.heading);
        // Writing to a string cannot fail.
        for (name, figure) in &self.figures {
            let _ = writeln!(table, "{name:wide$}  {:>6}", percent(*figure));
        }
        let wide = longest(&mut self.classes.iter().map(String::as_str)).unwrap_or(0).max(8);
        let columns = self.of_classes.iter().map(|(name, _)| format!("  {name:>9}"));
        let _ = writeln!(table, "\n{:wide$}{}", "class", columns.collect::<String>());
        for (place, name) in self.classes.iter().enumerate() {
            let score = |scores: &Vec<Option<f64>>| percent(scores.get(place).copied().flatten());
            let columns = self.of_classes.iter().map(|(_, scores)| format!("  {:>9}", score(scores)));
            let _ = writeln!(table, "{name:wide$}{}", columns.collect::<String>());
        }
        table
    }
}
