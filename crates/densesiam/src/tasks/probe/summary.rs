//! Figures grouped by name: mean, deviation, and the difference from the first name.

use densesiam_metrics::Spread;
use serde::Serialize;

use super::Figure;

/// All figures of one name: every encoder of the name with every seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Mean IoU.
    #[serde(rename = "mIoU")]
    pub miou: Spread,
    /// Share of labelled pixels that are right.
    #[serde(rename = "aAcc")]
    pub aacc: Spread,
    /// Mean IoU less that of the first name; `None` for the first.
    pub difference: Option<f64>,
}

/// A group for each name, in the order of the names' first occurrence.
pub fn summarise(figures: &[Figure]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for figure in figures {
        if groups.iter().any(|group| group.name == figure.name) {
            continue;
        }
        let of_name = || figures.iter().filter(|other| other.name == figure.name);
        let miou = of_name().map(|figure| figure.scores.overall.miou.unwrap_or_default());
        let aacc = of_name().map(|figure| figure.scores.overall.aacc.unwrap_or_default());
        let (Some(miou), Some(aacc)) = (Spread::of(miou.collect()), Spread::of(aacc.collect())) else {
            continue;
        };
        let difference = groups.first().map(|first| miou.mean - first.miou.mean);
        groups.push(Group { name: figure.name.clone(), miou, aacc, difference });
    }
    groups
}
