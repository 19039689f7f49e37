//! A file of JSON lines read back as columns over the steps, for reports.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use densesiam_report::page::{Chart, Series};

/// Rows of named numbers, each with its step.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Value>,
}

impl Table {
    /// Reads a file of JSON lines; a missing file has no rows.
    ///
    /// # Errors
    /// When the system refuses to read it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::file(path, source)),
        };
        // An editor may have added a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        Ok(Self { rows: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() })
    }

    /// The row of this step, or else the last row before it, together with the row's step.
    pub fn newest_until(&self, step: u64) -> Option<(u64, &Value)> {
        let steps = self.rows.iter().filter_map(|row| Some((row.get("step")?.as_u64()?, row)));
        steps.filter(|(of_row, _)| *of_row <= step).max_by_key(|(of_row, _)| *of_row)
    }

    /// All rows, in the order of the steps.
    pub fn rows(&self) -> impl Iterator<Item = &Value> {
        self.rows.iter()
    }

    /// The newest row.
    pub fn last_row(&self) -> Option<&Value> {
        self.rows.last()
    }

    /// The names of all numbers, each where it comes first.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let numbers = self.rows.iter().filter_map(Value::as_object).flatten();
        for (name, _) in numbers.filter(|(_, value)| value.is_number()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// The numbers of this name, in the order of the steps.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = f64> {
        self.rows.iter().filter_map(move |row| row.get(name)?.as_f64())
    }

    /// The steps and numbers of this name.
    pub fn points(&self, name: &str) -> impl Iterator<Item = (f64, f64)> {
        self.rows.iter().filter_map(move |row| Some((row.get("step")?.as_f64()?, row.get(name)?.as_f64()?)))
    }

    /// The newest number of this name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.values(name).next_back()
    }

    /// The newest number of this name, with four decimals, or a dash.
    pub fn last_text(&self, name: &str) -> String {
        self.last(name).map_or("-".to_owned(), |value| format!("{value:.4}"))
    }

    /// The peak of the memory at the last log, with its unit, or a dash.
    pub fn peak_memory(&self) -> String {
        self.last("peak_memory_megabytes").map_or("-".to_owned(), |megabytes| format!("{megabytes:.0} MB"))
    }

    /// The median of the numbers of this name; 0 when there are none.
    pub fn median(&self, name: &str) -> f64 {
        let mut values: Vec<f64> = self.values(name).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    /// Means of the first and of the last tenth of the numbers of this name, without numbers that are exactly 0,
    /// because a loss is 0 before it starts; `None` if there are fewer than two.
    pub fn change(&self, name: &str) -> Option<(f64, f64)> {
        let values: Vec<f64> = self.values(name).filter(|&value| value != 0.0).collect();
        let tenth = values.len().div_ceil(10);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        (values.len() > 1).then(|| (mean(&values[..tenth]), mean(&values[values.len() - tenth..])))
    }

    /// A chart of columns over the steps: labels and names.
    pub fn chart(&self, title: &str, y_label: &str, lines: &[(&str, &str)]) -> Chart {
        let series = |(label, name): &(&str, &str)| Series {
            name: (*label).to_owned(),
            points: self.points(name).collect(),
        };
        Chart {
            title: title.to_owned(),
            y_label: y_label.to_owned(),
            series: lines.iter().map(series).collect(),
            ..Chart::default()
        }
    }
}
