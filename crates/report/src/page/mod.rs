//! `report.html`: one page that shows how a run went, for a reader who comes back to it the next morning.
//!
//! The file needs no other files: styles, curves (SVG) and pictures (base64) are inside, there is no script, and it
//! follows the reader's light or dark setting. The page is a list of sections, each a function from its data to markup;
//! a task that has more to show adds a function and a line in [`Report::render`].

mod chart;
mod classes;
mod comparison;
mod confusion;
mod verdict;

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use chart::{Chart, Series};
pub use classes::ClassBar;
pub use comparison::Comparison;
pub use confusion::ConfusionTable;
pub use verdict::Verdict;

use chart::chart_figure;
use classes::{class_section, colour_legend};
use confusion::confusion_section;
use verdict::verdict_section;

/// How a run ended, or that it has not.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Still running; the report shows the progress so far.
    Running,
    /// Reached its last step.
    Finished,
    /// Stopped on request; it can be resumed.
    Interrupted,
    /// Ended by an error, with its reason.
    Failed(String),
}

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the run.
    pub title: String,
    /// How it ended.
    pub status: Status,
    /// The result, in words.
    pub verdict: Verdict,
    /// Tiles for the head of the page: steps, duration, final losses.
    pub summary: Vec<Tile>,
    /// Curves, in reading order.
    pub charts: Vec<Chart>,
    /// The scores of a segmentation's classes, if there are labels.
    pub classes: Option<ClassReport>,
    /// Contact sheets.
    pub sheets: Sheets,
    /// The resolved recipe as TOML.
    pub recipe: String,
    /// Versions and hardware, as text.
    pub environment: String,
    /// Warnings that a person should look at.
    pub warnings: Vec<String>,
}

/// A number at the head of the page.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its name.
    pub name: &'static str,
    /// The number, as text.
    pub value: String,
    /// What it means, and which values are good.
    pub meaning: &'static str,
}

/// Contact sheets, to be compared with each other.
#[derive(Clone, Debug)]
pub struct Sheets {
    /// What they show.
    pub sentence: &'static str,
    /// By step: the first beside one of the others at a time, at most [`Sheets::MOST`].
    pub pictures: Vec<Picture>,
}

impl Sheets {
    /// How many sheets a page can show; the styles know as many.
    pub const MOST: usize = 6;
}

/// A picture with a caption.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The step of the run that the picture shows.
    pub caption: String,
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
}

/// The scores of a segmentation's classes in one evaluation.
#[derive(Clone, Debug)]
pub struct ClassReport {
    /// Steps that had been done.
    pub step: u64,
    /// How it was learnt.
    pub learnt: Learnt,
    /// The classes by number.
    pub bars: Vec<ClassBar>,
    /// Labelled pixels by class and pseudo-category, if they were recorded.
    pub confusion: Option<ConfusionTable>,
}

/// How a segmentation has learnt what it predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// By labels: it predicts classes.
    WithLabels,
    /// Without: it predicts pseudo-categories, which an evaluation matches to classes.
    WithoutLabels,
}

impl ClassReport {
    fn has_unmatched_categories(&self) -> bool {
        self.confusion.as_ref().is_some_and(|confusion| confusion.class_of_category.contains(&None))
    }
}

impl Report {
    /// The page as HTML.
    pub fn render(&self) -> String {
        let body = html! {
            (head_section(&self.title, &self.status))
            (verdict_section(&self.verdict))
            (tile_section(&self.summary))
            (warning_section(&self.warnings))
            main {
                @if let Some(classes) = &self.classes {
                    (section("Classes", &class_section(classes)))
                    @if let Some(confusion) = &classes.confusion {
                        (section("What is taken for what", &confusion_section(confusion, classes)))
                    }
                }
                (section("Curves", &chart_section(&self.charts)))
                (section("Pictures", &picture_section(&self.sheets, self.classes.as_ref())))
                (section("Recipe", &text_section("Resolved recipe, every key", &self.recipe)))
                (section("Environment", &text_section("Versions and hardware", &self.environment)))
            }
        };
        document(&self.title, &body, self.status == Status::Running)
    }
}

/// A page that needs no other files. One that still `changes` is loaded again by the browser.
fn document(title: &str, body: &Markup, changes: bool) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Seconds after which a browser loads it again.
                @if changes { meta http-equiv="refresh" content="120"; }
                title { (title) " · DenseSiam" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer { "Written by densesiam " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    page.into_string()
}

/// A titled part of the page; empty if there is nothing to show.
fn section(title: &str, body: &Markup) -> Markup {
    html! {
        @if !body.0.is_empty() {
            section { h2 { (title) } (body) }
        }
    }
}

fn head_section(title: &str, status: &Status) -> Markup {
    let (class, word, reason) = match status {
        Status::Running => {
            ("running", "running", "as of its last checkpoint; this page is loaded again by itself")
        }
        Status::Finished => ("finished", "finished", ""),
        Status::Interrupted => ("interrupted", "interrupted", "it can be continued with --resume"),
        Status::Failed(reason) => ("failed", "failed", reason.as_str()),
    };
    html! {
        header {
            h1 { (title) " " span class={ "status " (class) } { (word) } }
            @if !reason.is_empty() { p.reason { (reason) } }
        }
    }
}

fn tile_section(tiles: &[Tile]) -> Markup {
    html! {
        dl.summary {
            @for tile in tiles {
                div { dt { (tile.name) } dd { (tile.value) } dd.meaning { (tile.meaning) } }
            }
        }
    }
}

fn warning_section(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            aside.warnings {
                strong { (warnings.len()) @if warnings.len() == 1 { " warning" } @else { " warnings" } }
                ul { @for warning in warnings { li { (warning) } } }
            }
        }
    }
}

fn chart_section(charts: &[Chart]) -> Markup {
    html! {
        @if !charts.is_empty() {
            p.note {
                "Over the steps of the run. Pale: every value. Strong: the running mean, whose last value the legend shows."
            }
            div.charts { @for chart in charts { (chart_figure(chart)) } }
        }
    }
}

fn picture_section(sheets: &Sheets, classes: Option<&ClassReport>) -> Markup {
    html! {
        @if !sheets.pictures.is_empty() {
            p.note { (sheets.sentence) }
            @if let Some(classes) = classes {
                (colour_legend(&classes.bars, classes.has_unmatched_categories()))
            }
            @if let [first, others @ .., last] = sheets.pictures.as_slice() {
                div.pictures {
                    (picture_figure(first))
                    @if others.is_empty() { (picture_figure(last)) } @else { (one_at_a_time(&sheets.pictures[1..])) }
                }
            } @else {
                div.pictures { @for picture in &sheets.pictures { (picture_figure(picture)) } }
            }
        }
    }
}

/// Pictures in one place, of which the reader chooses one; the last at first. It works without a script.
fn one_at_a_time(pictures: &[Picture]) -> Markup {
    html! {
        fieldset.choice {
            legend { "Choose what stands beside the first" }
            @for (number, picture) in pictures.iter().enumerate() {
                input type="radio" name="sheet" id={ "sheet-" (number) } checked[number + 1 == pictures.len()];
                label for={ "sheet-" (number) } { (picture.caption) }
            }
            @for picture in pictures { (picture_figure(picture)) }
        }
    }
}

fn picture_figure(picture: &Picture) -> Markup {
    html! {
        figure {
            img alt=(picture.caption) src={ "data:image/png;base64," (STANDARD.encode(&picture.png)) };
            figcaption { (picture.caption) }
        }
    }
}

fn text_section(title: &str, text: &str) -> Markup {
    html! {
        @if !text.is_empty() {
            details open[text.lines().count() <= 40] { summary { (title) } pre { code { (text) } } }
        }
    }
}

const STYLE: &str = include_str!("style.css");

#[cfg(test)]
mod tests {
    use super::*;

    fn page(charts: Vec<Chart>) -> String {
        let report = Report {
            title: "a <run>".to_owned(),
            status: Status::Failed("the loss is not finite & that is that".to_owned()),
            verdict: Verdict::doubtful("Failed", vec!["no <loss>".to_owned()])
                .with_next(vec![("densesiam doctor".to_owned(), "looks at the machine")]),
            summary: vec![Tile { name: "steps", value: "20".to_owned(), meaning: "of the optimizer" }],
            charts,
            classes: None,
            sheets: Sheets {
                sentence: "What is seen.",
                pictures: ["before", "after"]
                    .map(|caption| Picture { caption: caption.to_owned(), png: vec![1, 2, 3] })
                    .into(),
            },
            recipe: "[run]\nname = \"a\"".to_owned(),
            environment: String::new(),
            warnings: vec!["looks collapsed".to_owned()],
        };
        report.render()
    }

    #[test]
    fn a_reader_chooses_among_the_sheets_after_the_first() {
        let picture = |step| Picture { caption: format!("after {step} steps"), png: vec![1, 2, 3] };
        let sheets =
            |count| Sheets { sentence: "What is seen.", pictures: (0..count).map(picture).collect() };
        let page = picture_section(&sheets(Sheets::MOST), None).into_string();
        assert_eq!(page.matches("<input type=\"radio\"").count(), Sheets::MOST - 1);
        assert_eq!(page.matches("checked").count(), 1);
        assert!(page.contains("id=\"sheet-4\" checked") && page.contains("for=\"sheet-4\">after 5 steps"));
        let rule = format!("input:nth-of-type({0}):checked ~ figure:nth-of-type({0})", Sheets::MOST - 1);
        assert!(STYLE.contains(&rule), "the styles show every sheet that can be chosen");
        for count in 0..3 {
            let page = picture_section(&sheets(count), None).into_string();
            assert_eq!((page.matches("<img").count(), page.contains("<input")), (count, false));
        }
    }

    #[test]
    fn the_page_stands_alone_and_is_escaped() {
        let page = page(vec![Chart {
            title: "Losses".to_owned(),
            series: vec![Series { name: "loss".into(), points: vec![(0.0, 1.0), (1.0, 2.0)] }],
            ..Chart::default()
        }]);
        assert!(page.contains("a &lt;run&gt;") && page.contains("not finite &amp; that"));
        assert!(page.contains("no &lt;loss&gt;") && page.contains("<code>densesiam doctor</code>"));
        assert_eq!(page.matches("src=\"data:image/png;base64,AQID\"").count(), 2);
        let [sentence, before, after] = ["What is seen.", "<figcaption>before<", "<figcaption>after<"]
            .map(|text| page.find(text).unwrap());
        assert!(sentence < before && before < after);
        assert!(page.contains("<svg") && page.contains("1 warning<"));
        assert!(
            !page.contains("<script") && !page.contains("src=\"http") && !page.contains("<h2>Environment")
        );
    }
}
