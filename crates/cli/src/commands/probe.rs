//! `densesiam probe`: compares how well the classes can be read off encoders.

use std::fmt::Write;

use serde_json::{Value, json};

use densesiam_engine::log::{Voice, say};

use crate::answer::{answer, answer_line};
use densesiam::error::Error;
use densesiam::recipe::load;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::tasks::probe::{Figure, Group, Plan, encoders_and_settings, probe, summarise};

/// Probes the encoders, and prints a table or JSON.
pub(super) fn run(arguments: &[String], seeds: u64, json: bool) -> Result<(), Error> {
    let (encoders, settings) = encoders_and_settings(arguments)?;
    let recipe: ProbeRecipe = load("", "the defaults", &settings)?;
    let plan = Plan::new(recipe, encoders, seeds)?;
    say(&plan);
    let figures = probe(&plan, &Voice::Terminal)?;
    let groups = summarise(&figures);
    if json {
        return answer_line(format_args!("{:#}", as_json(&plan, &figures, &groups)));
    }
    let absent = figures.first().filter(|figure| figure.absent.count() > 0);
    let absent = absent.map_or(String::new(), |figure| format!("mIoU{}\n", figure.absent));
    answer(table(&groups) + &absent)
}

fn table(groups: &[Group]) -> String {
    let wide = groups.iter().map(|group| group.name.chars().count()).max().unwrap_or(0).max(8);
    let mut table = format!("{:wide$}  runs  {:>14}  {:>14}  difference  each mIoU\n", "", "mIoU", "aAcc");
    for Group { name, miou, aacc, difference } in groups {
        let difference = difference.map_or("-".to_owned(), |value| format!("{:+.2}", 100.0 * value));
        let single: Vec<_> = miou.single.iter().map(|value| format!("{:.2}", 100.0 * value)).collect();
        let (runs, miou, aacc) = (single.len(), miou.percent().to_string(), aacc.percent().to_string());
        let single = single.join(" ");
        let _ = writeln!(table, "{name:wide$}  {runs:4}  {miou:>14}  {aacc:>14}  {difference:>10}  {single}");
    }
    table
}

fn as_json(plan: &Plan, figures: &[Figure], groups: &[Group]) -> Value {
    let figure = |figure: &Figure| {
        let mut value = serde_json::to_value(&figure.scores).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.insert("name".into(), json!(figure.name));
            object.insert("encoder".into(), json!(figure.source.to_string()));
            object.insert("architecture".into(), json!(figure.architecture));
            object.insert("seed".into(), json!(figure.seed));
            object.insert("loss".into(), json!(figure.loss));
        }
        value
    };
    json!({
        "training": { "set": plan.training.name, "pictures": plan.training.len() },
        "validation": { "set": plan.validation.name, "pictures": plan.validation.len() },
        "classes": plan.validation.taxonomy.names(),
        "seeds": plan.seeds,
        "recipe": plan.recipe,
        "summary": groups,
        "figures": figures.iter().map(figure).collect::<Vec<_>>(),
    })
}
