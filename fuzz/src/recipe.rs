//! Recipes, and settings of the command line over them.

use std::fmt::{Debug, Display};

use densesiam_fixtures::fuzz::Target;
use densesiam_settings::duration::Duration;
use densesiam_settings::tables::{Tables, differences, tables_of};
use serde::{Deserialize, Serialize};

/// A recipe, and behind a line of two dashes settings (`key=value`), one a line.
pub const RECIPE: Target =
    Target { name: "recipe", read: read_recipe, most_memory: |bytes| (256 << 10) + 2048 * bytes };

/// Tables as the program's recipes have them.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Recipe {
    run: Run,
    augment: densesiam_data::views::random::RandomViews,
    optimizer: Optimizer,
    regionsim: RegionSim,
    train: Train,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Run {
    name: String,
    seed: u64,
    threads: usize,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Optimizer {
    base_learning_rate: f64,
    schedule: Schedule,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Schedule {
    kind: Kind,
    milestones: Vec<Duration>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Cosine,
    Poly,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct RegionSim {
    start: Duration,
    weight: f64,
    grid: Vec<i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Train {
    batch_size: usize,
    duration: Duration,
    stop: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self { name: String::new(), seed: 1, threads: 0 }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { base_learning_rate: 0.05, schedule: Schedule::default() }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { kind: Kind::Cosine, milestones: vec![Duration::OfTraining(0.5)] }
    }
}

impl Default for RegionSim {
    fn default() -> Self {
        Self { start: Duration::Never, weight: 0.1, grid: vec![7] }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self { batch_size: 512, duration: Duration::Epochs(200.0), stop: false }
    }
}

/// Reads it by tables.
fn read_recipe(bytes: &[u8]) {
    let load = |text: &str, settings: &[String]| {
        let tables = Tables::merge(&tables_of(&Recipe::default())?, text, "recipe.toml", settings)?;
        tables.all().and_then(|recipe: Recipe| Ok(tables_of(&recipe)?.to_string()))
    };
    read_and_again(bytes, load);
}

/// Reads a recipe, and what was read again from how it is written; `load` returns the complete recipe.
pub fn read_and_again<E: Display + Debug + PartialEq>(
    bytes: &[u8],
    load: impl Fn(&str, &[String]) -> Result<String, E>,
) {
    let text = String::from_utf8_lossy(bytes);
    let (file, settings) = text.split_once("\n--\n").unwrap_or((&text, ""));
    let settings: Vec<String> = settings.lines().map(str::to_owned).collect();
    match load(file, &settings) {
        Ok(written) => {
            assert_eq!(load(&written, &[]).as_ref(), Ok(&written));
            let _ = differences(file, &written);
        }
        Err(error) => drop(error.to_string()),
    }
}
