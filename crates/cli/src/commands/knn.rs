//! `densesiam knn`: how often pictures of one kind are close to each other for an encoder.

use std::fmt::Write;

use densesiam::error::Error;
use densesiam::recipe::knn::KnnRecipe;
use densesiam::recipe::load;
use densesiam::tasks::knn::{Plan, Score, knn};
use densesiam::tasks::probe::encoders_and_settings;
use densesiam_engine::log::{Voice, say};
use serde_json::json;

use crate::answer::{answer, answer_line};

/// Classifies by each encoder, and prints a table or JSON.
pub(super) fn run(arguments: &[String], json: bool) -> Result<(), Error> {
    let (encoders, settings) = encoders_and_settings(arguments)?;
    let recipe: KnnRecipe = load("", "the defaults", &settings)?;
    let plan = Plan::new(recipe, encoders)?;
    say(&plan);
    let scores = knn(&plan, &Voice::Terminal)?;
    if json {
        let recipe = &plan.recipe;
        let line = json!({ "kinds": plan.kinds.len(), "constant": plan.chance(), "recipe": recipe, "scores": scores });
        return answer_line(format_args!("{line:#}"));
    }
    answer(table(&scores, plan.chance()))
}

fn table(scores: &[Score], chance: f64) -> String {
    let wide = scores.iter().map(|score| score.name.chars().count()).max().unwrap_or(0).max(8);
    let mut table = format!("{:wide$}  accuracy  pictures\n", "");
    for Score { name, accuracy, pictures, .. } in scores {
        let _ = writeln!(table, "{name:wide$}  {:8.2}  {pictures:8}", 100.0 * accuracy);
    }
    let _ = writeln!(table, "{:wide$}  {:8.2}", "constant", 100.0 * chance);
    table
}
