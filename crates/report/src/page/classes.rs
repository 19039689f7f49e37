//! The classes of a segmentation: a bar for each, and the legend of their colours.

use maud::{Markup, html};

use super::{ClassReport, Learnt};

/// One class.
#[derive(Clone, Debug)]
pub struct ClassBar {
    /// Its name.
    pub name: String,
    /// Its colour on the contact sheets.
    pub colour: [u8; 3],
    /// Whether it is a thing rather than stuff.
    pub thing: bool,
    /// Whether a pseudo-category stands for it.
    pub matched: bool,
    /// Its share of all labelled pixels, in 0..=1.
    pub share: f64,
    /// Intersection over union, in 0..=1; `None` if there is no union.
    pub iou: Option<f64>,
    /// Share of its pixels that are right, in 0..=1; `None` if the class has no pixels.
    pub accuracy: Option<f64>,
}

/// The bars: things and stuff are separate if there are both.
pub(super) fn class_section(ClassReport { step, learnt, bars, .. }: &ClassReport) -> Markup {
    let group = |thing: bool| bars.iter().filter(|bar| bar.thing == thing).collect::<Vec<_>>();
    let (things, stuff) = (group(true), group(false));
    let groups = if things.is_empty() || stuff.is_empty() {
        vec![("All classes", bars.iter().collect())]
    } else {
        vec![("Stuff", stuff), ("Things", things)]
    };
    html! {
        p.note {
            "The evaluation after " (step) " steps, in percent. Strong: IoU. Pale: accuracy, the share of the class "
            "that is right."
            @if *learnt == Learnt::WithoutLabels {
                " Each class has the one pseudo-category of the optimal assignment."
            }
        }
        div.classes { @for (title, bars) in &groups { (bar_table(title, bars)) } }
    }
}

fn bar_table(title: &str, bars: &[&ClassBar]) -> Markup {
    let scored: Vec<f64> = bars.iter().filter_map(|bar| bar.iou).collect();
    let mean = scored.iter().sum::<f64>() / scored.len() as f64;
    html! {
        figure.chart {
            h3 { (title) @if mean.is_finite() { span.unit { "mIoU " (percent(Some(mean))) } } }
            table.bars {
                thead { tr { th {} th.share { "pixels" } th.track {} th { "IoU" } th { "accuracy" } } }
                tbody { @for bar in bars { (bar_row(bar)) } }
            }
        }
    }
}

fn bar_row(bar: &ClassBar) -> Markup {
    let width = |score: Option<f64>| format!("width:{:.2}%", 100.0 * score.unwrap_or_default());
    let remark = match (bar.accuracy, bar.iou, bar.matched) {
        (None, None, _) => "no labelled pixel",
        // Such a class counts as 0 in the mean.
        (None, Some(_), _) => "no labelled pixel, but predicted",
        (_, _, false) => "no pseudo-category",
        _ => "",
    };
    html! {
        tr.absent[bar.accuracy.is_none()] {
            th scope="row" { (swatch(bar.colour)) (bar.name) }
            td.share { (percent(bar.accuracy.map(|_| bar.share))) }
            td.track {
                @if remark.is_empty() {
                    div.track { i.accuracy style=(width(bar.accuracy)) {} i.iou style=(width(bar.iou)) {} }
                } @else {
                    span.remark { (remark) }
                }
            }
            td { b { (percent(bar.iou)) } }
            td { (percent(bar.accuracy)) }
        }
    }
}

/// The colours of the classes, as a key to the contact sheets, and a note about unmatched categories if there are any.
pub(super) fn colour_legend(bars: &[ClassBar], unmatched: bool) -> Markup {
    html! {
        ul.legend.colours {
            @for bar in bars { li { (swatch(bar.colour)) (bar.name) } }
            @if unmatched { li.quiet { "any other colour: a pseudo-category of no class" } }
        }
    }
}

/// A patch of a class's colour.
pub(super) fn swatch([red, green, blue]: [u8; 3]) -> Markup {
    html! { i.swatch style=(format!("background:#{red:02x}{green:02x}{blue:02x}")) {} }
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("–".to_owned(), |fraction| format!("{:.1}", 100.0 * fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, thing: bool, scores: Option<(f64, f64)>) -> ClassBar {
        let (iou, accuracy) = (scores.map(|(iou, _)| iou), scores.map(|(_, accuracy)| accuracy));
        ClassBar {
            name: name.into(),
            colour: [1, 2, 255],
            thing,
            matched: name != "pole",
            share: 0.25,
            iou,
            accuracy,
        }
    }

    fn page(bars: &[ClassBar]) -> String {
        let learnt = Learnt::WithoutLabels;
        class_section(&ClassReport { step: 7, learnt, bars: bars.to_vec(), confusion: None }).0
    }

    #[test]
    fn things_and_stuff_stand_apart_with_their_means() {
        let page = page(&[
            bar("sky", false, Some((0.5, 0.75))),
            bar("pole", false, Some((0.0, 0.0))),
            bar("car", true, Some((0.125, 0.25))),
        ]);
        assert!(page.contains("Stuff<span class=\"unit\">mIoU 25.0<"), "{page}");
        assert!(page.contains("Things<span class=\"unit\">mIoU 12.5<"));
        assert!(page.contains("width:75.00%") && page.contains("no pseudo-category"));
        assert!(page.contains("background:#0102ff"));
    }

    #[test]
    fn an_absent_class_that_is_predicted_counts_zero() {
        let fog = ClassBar { iou: Some(0.0), ..bar("fog", false, None) };
        let page = page(&[bar("sky", false, Some((0.5, 0.75))), fog]);
        assert!(page.contains("mIoU 25.0<") && page.contains("no labelled pixel, but predicted<"), "{page}");
    }

    #[test]
    fn an_absent_class_is_marked_and_counts_in_no_mean() {
        let page = page(&[bar("sky", false, Some((0.5, 0.75))), bar("<fog>", false, None)]);
        assert!(page.contains("All classes<span class=\"unit\">mIoU 50.0<"), "{page}");
        assert!(page.contains("&lt;fog&gt;") && page.contains("no labelled pixel<"));
    }
}
