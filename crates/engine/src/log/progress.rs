//! The terminal's view of a run: a bar if standard error is a terminal, plain lines if it goes to a file.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Voice;

/// The content of a report on one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressLine<'a> {
    /// Steps done.
    pub step: u64,
    /// How long the steps since the last report took, without the work between them.
    pub seconds: f64,
    /// Named numbers, losses first, shown in this order.
    pub values: &'a [(&'a str, f64)],
}

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Progress {
    voice: Voice,
    label: String,
    total_steps: u64,
    images_per_step: u64,
    bar: Option<ProgressBar>,
    /// When the first step began, and its number.
    began: (Instant, u64),
    /// Steps done at the last report.
    reported: Cell<u64>,
    /// How long all steps took so far.
    in_steps: Cell<f64>,
}

impl Progress {
    /// A display of `total_steps` steps, of which `done` are already done. A bar on a terminal, else plain lines.
    pub fn new(voice: &Voice, label: &str, done: u64, total_steps: u64, images_per_step: u64) -> Self {
        let bar = voice.has_bar().then(|| bar(label, done, total_steps));
        Self {
            voice: voice.clone(),
            label: label.to_owned(),
            total_steps,
            images_per_step,
            bar,
            began: (Instant::now(), done),
            reported: Cell::new(done),
            in_steps: Cell::new(0.0),
        }
    }

    /// Moves the bar to `step` steps done; prints nothing if there is no bar. Cheap enough for every step.
    pub fn advance(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// Shows the numbers of an interval, with throughput and time left: beside the bar, or as one line. The caller
    /// calls this at its log interval.
    pub fn report(&self, report: &ProgressLine) {
        let ProgressLine { step, seconds, values } = *report;
        let steps = step.saturating_sub(self.reported.replace(step)).max(1) as f64;
        self.in_steps.set(self.in_steps.get() + seconds);
        let aside = self.began.0.elapsed().as_secs_f64() - self.in_steps.get();
        let left = self.left(step, seconds / steps, aside.max(0.0));
        let rate = steps * self.images_per_step as f64 / seconds.max(1e-9);
        let numbers = numbers(values, rate) + &left.map_or(String::new(), |left| format!("  {left} left"));
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(numbers);
            }
            None => self.voice.say(plain_line(&self.label, step, self.total_steps, &numbers)),
        }
    }

    /// The time left in words, `None` at the end: the steps at the rate of the last interval, plus the work between
    /// steps (evaluations, checkpoints), which has taken `aside` seconds so far, at its mean per step. One evaluation
    /// within an interval therefore does not count for every later interval.
    fn left(&self, step: u64, seconds_per_step: f64, aside: f64) -> Option<String> {
        let done = step.saturating_sub(self.began.1).max(1) as f64;
        let remaining = self.total_steps.saturating_sub(step) as f64;
        let seconds = remaining * (seconds_per_step + aside / done);
        let left = Duration::try_from_secs_f64(seconds.ceil()).ok().filter(|_| remaining > 0.0)?;
        Some(spoken(left.as_secs()))
    }

    /// Prints a line without disturbing the bar.
    pub fn println(&self, line: impl AsRef<str>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.voice.say(line.as_ref())),
            None => self.voice.say(line.as_ref()),
        }
    }

    /// Leaves the bar as it is and releases the terminal.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}

fn bar(label: &str, done: u64, total_steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_steps).with_position(done).with_prefix(label.to_owned());
    // The default style is used if this template is ever wrong, because a display must not end a run.
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.reset_eta();
    bar
}

/// `loss -0.9132  pixsim 0.4211  85.1 images/s`
fn numbers(values: &[(&str, f64)], images_per_second: f64) -> String {
    let shown = |value: f64| match value.abs() {
        size if size > 0.0 && size < 0.01 => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    };
    let values: String = values.iter().map(|(name, value)| format!("{name} {}  ", shown(*value))).collect();
    format!("{values}{images_per_second:.1} images/s")
}

/// `pretrain 120/20000 (0.6%)  loss -0.9132  85.1 images/s  1h 2m left`
fn plain_line(label: &str, step: u64, total: u64, numbers: &str) -> String {
    let percent = 100.0 * step as f64 / total.max(1) as f64;
    format!("{label} {step}/{total} ({percent:.1}%)  {numbers}")
}

/// A length of time in its two largest units: `3d 4h`, `1h 2m`, `5m 3s`, `7s`.
pub fn spoken(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_far_and_how_well() {
        let numbers = numbers(&[("loss", -0.91321), ("pixsim", 0.5)], 85.12);
        assert_eq!(
            plain_line("pretrain", 120, 20_000, &numbers),
            "pretrain 120/20000 (0.6%)  loss -0.9132  pixsim 0.5000  85.1 images/s"
        );
    }

    #[test]
    fn times_are_spoken_in_two_units() {
        let spoken = [7, 303, 3720, 273_600].map(spoken);
        assert_eq!(spoken, ["7s", "5m 3s", "1h 2m", "3d 4h"]);
    }

    #[test]
    fn an_evaluation_counts_once_for_the_steps_that_share_it() {
        let progress = Progress::new(&Voice::Nobody, "segment", 100, 200, 8);
        // 50 steps of 2 s, and 60 s of evaluations beside them: 50 more take 100 s and 60 s.
        assert_eq!(progress.left(150, 2.0, 60.0).unwrap(), "2m 40s");
        assert_eq!(progress.left(200, 2.0, 60.0), None);
        // The interval in which the evaluation fell has the rate of its steps.
        progress.report(&ProgressLine { step: 150, seconds: 100.0, values: &[] });
        assert_eq!((progress.reported.get(), progress.in_steps.get()), (150, 100.0));
    }
}
