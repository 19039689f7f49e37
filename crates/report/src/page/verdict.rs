//! The result of a run, in words, at the top of the page.

use maud::{Markup, html};

/// Whether a run does well, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In a few words: healthy, or not.
    pub word: &'static str,
    /// Whether the run is healthy.
    pub healthy: bool,
    /// Why, in sentences.
    pub why: Vec<String>,
    /// Commands that a reader would type next, each with what it does.
    pub next: Vec<(String, &'static str)>,
}

impl Verdict {
    /// A good verdict, and its reasons.
    pub fn healthy(word: &'static str, why: Vec<String>) -> Self {
        Self { word, healthy: true, why, next: vec![] }
    }

    /// A verdict that asks for attention, and its reasons.
    pub fn doubtful(word: &'static str, why: Vec<String>) -> Self {
        Self { word, healthy: false, why, next: vec![] }
    }

    /// Adds the commands to type next.
    pub fn with_next(mut self, next: Vec<(String, &'static str)>) -> Self {
        self.next = next;
        self
    }
}

pub(super) fn verdict_section(verdict: &Verdict) -> Markup {
    html! {
        section.verdict {
            h2 class=(if verdict.healthy { "good" } else { "doubtful" }) { (verdict.word) }
            @for sentence in &verdict.why { p { (sentence) } }
            @if !verdict.next.is_empty() {
                h3 { "What to do next" }
                ul { @for (command, what) in &verdict.next { li { code { (command) } " " (what) } } }
            }
        }
    }
}
