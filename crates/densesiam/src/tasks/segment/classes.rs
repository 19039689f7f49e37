//! The last evaluation of a run, read back for its report.

use densesiam_metrics::ClassScores;
use serde::Deserialize;
use serde_json::Value;

use densesiam_report::page::{ClassBar, ClassReport, ConfusionTable, Learnt};
use densesiam_report::pictures::Palette;

/// The entries of a line of `evaluations.jsonl` about the classes. The defaults replace entries that older runs did not
/// record.
#[derive(Debug, Deserialize)]
struct Recorded {
    step: u64,
    classes: Vec<String>,
    #[serde(default)]
    things: Vec<bool>,
    #[serde(default)]
    colours: Vec<Option<[u8; 3]>>,
    per_class: Vec<ClassScores>,
    class_of_cluster: Vec<Option<usize>>,
    #[serde(default)]
    confusion: RecordedConfusion,
}

#[derive(Debug, Default, Deserialize)]
struct RecordedConfusion {
    counts: Vec<Vec<u64>>,
}

/// The classes of an evaluation; `None` if the line is not an evaluation.
pub(super) fn class_report(row: &Value) -> Option<ClassReport> {
    let recorded = Recorded::deserialize(row).ok()?;
    let labelled: u64 = recorded.per_class.iter().map(|class| class.labelled).sum();
    let palette = Palette(recorded.colours);
    let bars =
        recorded.classes.iter().zip(&recorded.per_class).enumerate().map(|(number, (name, scores))| {
            ClassBar {
                name: name.clone(),
                colour: palette.colour_of(number),
                thing: recorded.things.get(number).copied().unwrap_or_default(),
                matched: recorded.class_of_cluster.contains(&Some(number)),
                share: scores.labelled as f64 / labelled.max(1) as f64,
                iou: scores.iou,
                accuracy: scores.accuracy,
            }
        });
    let bars: Vec<ClassBar> = bars.collect();
    let counts = recorded.confusion.counts;
    let class_of_category = recorded.class_of_cluster;
    let whole = counts.len() == bars.len() && counts.iter().all(|row| row.len() == class_of_category.len());
    let confusion = (whole && !bars.is_empty()).then_some(ConfusionTable { counts, class_of_category });
    Some(ClassReport { step: recorded.step, learnt: Learnt::WithoutLabels, bars, confusion })
}

#[cfg(test)]
mod tests {
    use densesiam_data::labelled::Taxonomy;
    use densesiam_metrics::ConfusionMatrix;

    use super::*;
    use crate::tasks::segment::Evaluation;
    use densesiam_report::pictures::colour_of;

    /// CamVid with 12 categories; category `i` is class `i`, the last category has no class, and no pixel is a fence.
    fn line() -> Value {
        let count = |cell: usize| match (cell / 12, cell % 12) {
            (7, _) => 0,
            (class, category) if class == category => 100,
            (class, 11) => class as u64,
            _ => 1,
        };
        let counts = (0..11 * 12).map(count).collect();
        let taxonomy = Taxonomy::camvid();
        let evaluation =
            Evaluation::new(ConfusionMatrix::from_counts(11, 12, 255, counts).unwrap(), &taxonomy);
        evaluation.unwrap().to_json(40, &taxonomy)
    }

    #[test]
    fn a_recorded_evaluation_is_read_back() {
        let report = class_report(&line()).unwrap();
        let (car, fence) = (&report.bars[8], &report.bars[7]);
        assert_eq!((report.step, car.name.as_str(), car.thing, fence.thing), (40, "car", true, false));
        assert_eq!((car.accuracy, fence.accuracy), (Some(100.0 / 118.0), None));
        assert_eq!(car.colour, [64, 0, 128], "CamVid's own");
        let confusion = report.confusion.unwrap();
        assert_eq!((confusion.counts[2][2], confusion.class_of_category[11]), (100, None));
    }

    #[test]
    fn a_line_of_an_older_run_has_bars_and_no_matrix() {
        let mut line = line();
        let object = line.as_object_mut().unwrap();
        for name in ["confusion", "things", "colours", "many_to_one"] {
            object.remove(name).unwrap();
        }
        let report = class_report(&line).unwrap();
        assert!(report.confusion.is_none() && report.bars.len() == 11);
        assert_eq!(report.bars[8].colour, colour_of(8));
        assert!(class_report(&serde_json::json!({"step": 1})).is_none());
    }
}
