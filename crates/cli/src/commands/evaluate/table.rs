//! An evaluation as a table for the terminal: the classes under both matchings, their means, and the categories and
//! classes that are not matched.

use std::fmt::{Display, Write};

use densesiam_data::labelled::Taxonomy;
use densesiam_metrics::{ClassScores, MeanScores, SegmentationScores, ThingsStuff, percent};

use densesiam::tasks::segment::Evaluation;

/// The most numbers that a remark lists; it only counts the rest.
const NUMBERS_NAMED: usize = 20;

/// The whole table, in percent.
pub(super) fn table(evaluation: &Evaluation, taxonomy: &Taxonomy) -> String {
    let names = taxonomy.names();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("many-to-one".len());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = class_rows(&mut text, evaluation, &names, width);
    let _ = mean_rows(&mut text, evaluation, width);
    let _ = remarks(&mut text, evaluation, &names);
    text
}

fn class_rows(text: &mut String, evaluation: &Evaluation, names: &[&str], width: usize) -> std::fmt::Result {
    writeln!(text, "{:width$} {:>8} |{:^30} |{:^30}", "", "percent", "one-to-one", "many-to-one")?;
    let columns = ["IoU", "accuracy"].map(|name| format!("{name:>9}")).concat();
    writeln!(
        text,
        "{:width$} {:>8} |{:>12}{columns} |{:>12}{columns}",
        "class", "pixels", "category", "categories"
    )?;
    let total = evaluation.confusion.total();
    let scores = evaluation.scores.per_class.iter().zip(&evaluation.many_to_one.per_class);
    for ((class, name), (one, many)) in names.iter().enumerate().zip(scores) {
        let share = (one.labelled > 0).then(|| one.labelled as f64 / total as f64);
        let category = evaluation.matching.clusters_of_class(class).first().map(usize::to_string);
        let categories = match evaluation.majority_categories(class).as_slice() {
            [] => "-".to_owned(),
            [only] => only.to_string(),
            several => format!("{} of them", several.len()),
        };
        let pair =
            |scores: &ClassScores| format!("{:>9}{:>9}", percent(scores.iou), percent(scores.accuracy));
        let (one, many) = (pair(one), pair(many));
        let (share, category) = (percent(share), category.unwrap_or("-".into()));
        writeln!(text, "{name:width$} {share:>8} |{category:>12}{one} |{categories:>12}{many}")?;
    }
    Ok(())
}

fn mean_rows(text: &mut String, evaluation: &Evaluation, width: usize) -> std::fmt::Result {
    writeln!(text, "\n{:width$} {:>8}{:>8}{:>8}", "", "mIoU", "aAcc", "mAcc")?;
    for (name, scores) in [("one-to-one", &evaluation.scores), ("many-to-one", &evaluation.many_to_one)] {
        mean_row(text, width, name, &scores.overall, &evaluation.absent)?;
        split_rows(text, width, scores.split.as_ref())?;
    }
    if evaluation.scores.legacy_split.is_some() {
        writeln!(text, "\none-to-one, split cut by cluster as released")?;
        split_rows(text, width, evaluation.scores.legacy_split.as_ref())?;
    }
    Ok(())
}

fn split_rows(text: &mut String, width: usize, split: Option<&ThingsStuff>) -> std::fmt::Result {
    let Some(split) = split else { return Ok(()) };
    mean_row(text, width, "  things", &split.things, &"")?;
    mean_row(text, width, "  stuff", &split.stuff, &"")
}

/// A row of means, followed by remarks about them.
fn mean_row(
    text: &mut String,
    width: usize,
    name: &str,
    scores: &MeanScores,
    remark: &dyn Display,
) -> std::fmt::Result {
    let [miou, aacc, macc] = [scores.miou, scores.aacc, scores.macc].map(percent);
    writeln!(text, "{name:width$} {miou:>8}{aacc:>8}{macc:>8}{remark}")
}

/// Explains in words what the dashes in the table mean.
fn remarks(text: &mut String, evaluation: &Evaluation, names: &[&str]) -> std::fmt::Result {
    let Evaluation { scores, many_to_one, .. } = evaluation;
    let classes =
        |classes: &[usize]| classes.iter().map(|&class| names[class]).collect::<Vec<_>>().join(", ");
    // An absent class has no score, so it loses nothing by being unmatched.
    let present = |scores: &SegmentationScores| {
        let absent = &scores.absent_classes;
        scores.unmatched_classes.iter().copied().filter(|class| !absent.contains(class)).collect::<Vec<_>>()
    };
    let lines = [
        ("absent, without a labelled pixel", classes(&scores.absent_classes)),
        ("one-to-one, classes without a pseudo-category (IoU 0)", classes(&present(scores))),
        ("one-to-one, pseudo-categories without a class", numbers(&scores.unmatched_clusters)),
        ("many-to-one, classes in no majority (IoU 0)", classes(&present(many_to_one))),
        ("pseudo-categories without a labelled pixel", numbers(&many_to_one.unmatched_clusters)),
    ];
    if lines.iter().any(|(_, what)| !what.is_empty()) {
        writeln!(text)?;
    }
    for (what, which) in lines.iter().filter(|(_, which)| !which.is_empty()) {
        writeln!(text, "{what}: {which}")?;
    }
    Ok(())
}

fn numbers(numbers: &[usize]) -> String {
    let named: Vec<String> = numbers.iter().take(NUMBERS_NAMED).map(usize::to_string).collect();
    let rest = numbers.len() - named.len();
    let and_more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    named.join(", ") + &and_more
}

#[cfg(test)]
mod tests {
    use densesiam_metrics::ConfusionMatrix;

    use super::*;

    fn camvid(categories: usize, count: impl Fn(usize, usize) -> u64) -> String {
        let taxonomy = Taxonomy::camvid();
        let counts = (0..11 * categories).map(|cell| count(cell / categories, cell % categories)).collect();
        let matrix = ConfusionMatrix::from_counts(11, categories, 255, counts).unwrap();
        table(&Evaluation::new(matrix, &taxonomy).unwrap(), &taxonomy)
    }

    #[test]
    fn rows_are_aligned_and_both_matchings_are_named() {
        let table = camvid(11, |class, category| if class == category { 90 } else { 1 });
        let bars: Vec<_> = table
            .lines()
            .filter(|line| line.contains('|'))
            .map(|line| line.match_indices('|').map(|(place, _)| place).collect::<Vec<_>>())
            .collect();
        assert_eq!(bars.len(), 13);
        assert!(bars.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
        assert!(table.contains("one-to-one") && table.contains("many-to-one"));
        // 90 of 100 pixels are right, and the union is 110.
        let car = table.lines().find(|line| line.starts_with("car ")).unwrap();
        assert_eq!(
            car.split_whitespace().collect::<Vec<_>>(),
            ["car", "9.09", "|", "8", "81.82", "90.00", "|", "8", "81.82", "90.00"]
        );
        assert!(!table.contains("without"), "{table}");
    }

    #[test]
    fn what_is_unmatched_or_absent_is_named() {
        // Two categories too few, and no fence; the category of the fence goes to the car.
        let count = |class: usize, category: usize| match (class, category) {
            (7, _) => 0,
            (8, 7) => 90,
            (9.., _) => 1,
            (class, category) => u64::from(class == category) * 90 + 1,
        };
        let few = camvid(8, count);
        assert!(few.contains("absent, without a labelled pixel: fence\n"), "{few}");
        let means: Vec<_> = few.lines().filter(|line| line.contains("absent: fence")).collect();
        assert_eq!(means.len(), 2, "both means say it: {few}");
        let unmatched = few.lines().find(|line| line.contains("without a pseudo-category")).unwrap();
        assert!(unmatched.ends_with("(IoU 0): pedestrian, bicyclist"), "{few}");
        // Thirty categories too many. The last is never used; each of the others is the second half of its class.
        let many = camvid(
            41,
            |class, category| if category < 40 { u64::from(category % 11 == class) * 9 } else { 0 },
        );
        let clusters = many.lines().find(|line| line.contains("pseudo-categories without a class")).unwrap();
        assert!(clusters.contains(" and 10 more"), "{many}");
        assert!(many.contains("pseudo-categories without a labelled pixel: 40\n"));
        assert!(many.lines().any(|line| line.starts_with("sky ") && line.contains("4 of them")), "{many}");
    }
}
