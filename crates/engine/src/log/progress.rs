//! The terminal's view of a run: a bar where a person looks on, plain lines where standard error goes to a file.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;

/// What a report says of one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report<'a> {
    /// Steps done.
    pub step: u64,
    /// Named numbers, losses first, shown in this order.
    pub values: &'a [(&'a str, f64)],
}

/// Shows how far a run is, on standard error.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total_steps: u64,
    images_per_step: u64,
    bar: Option<ProgressBar>,
    /// The last report, from which throughput is measured.
    last: Cell<(Instant, u64)>,
}

impl Progress {
    /// A display of `total_steps` steps of which `done` are behind. A bar on a terminal, else plain lines.
    pub fn new(label: &str, done: u64, total_steps: u64, images_per_step: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(label, done, total_steps));
        Self {
            label: label.to_owned(),
            total_steps,
            images_per_step,
            bar,
            last: Cell::new((Instant::now(), done)),
        }
    }

    /// Moves the bar to `step` steps done; says nothing where there is none. Cheap enough for every step.
    pub fn advance(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// Shows the numbers of an interval, with throughput and time left: beside the bar, or as one line. The caller
    /// calls this at its log interval.
    pub fn report(&self, report: &Report) {
        let rate = self.steps_per_second(report.step);
        let numbers = numbers(report.values, rate * self.images_per_step as f64);
        match &self.bar {
            Some(bar) => {
                bar.set_position(report.step);
                bar.set_message(numbers);
            }
            None => say(plain_line(&self.label, report.step, self.total_steps, rate, &numbers)),
        }
    }

    /// Prints a line on standard error without breaking the bar.
    pub fn println(&self, line: impl AsRef<str>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line.as_ref())),
            None => say(line.as_ref()),
        }
    }

    /// Leaves the bar as it stands and gives the terminal back.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }

    /// Steps a second since the last report.
    fn steps_per_second(&self, step: u64) -> f64 {
        let (instant, before) = self.last.replace((Instant::now(), step));
        step.saturating_sub(before) as f64 / instant.elapsed().as_secs_f64().max(1e-9)
    }
}

fn bar(label: &str, done: u64, total_steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_steps).with_position(done).with_prefix(label.to_owned());
    // The default style stands in should this template ever be wrong: a display must not end a run.
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {eta} left  {msg}");
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
fn plain_line(label: &str, step: u64, total: u64, steps_per_second: f64, numbers: &str) -> String {
    let percent = 100.0 * step as f64 / total.max(1) as f64;
    let line = format!("{label} {step}/{total} ({percent:.1}%)  {numbers}");
    let seconds = total.saturating_sub(step) as f64 / steps_per_second;
    match Duration::try_from_secs_f64(seconds.ceil()) {
        Ok(left) if step < total => format!("{line}  {} left", spoken(left.as_secs())),
        _ => line,
    }
}

/// A length of time in its two largest units: `3d 4h`, `1h 2m`, `5m 3s`, `7s`.
fn spoken(seconds: u64) -> String {
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
    fn a_plain_line_says_how_far_how_well_and_how_long() {
        let numbers = numbers(&[("loss", -0.91321), ("pixsim", 0.5)], 85.12);
        assert_eq!(
            plain_line("pretrain", 120, 20_000, 5.0, &numbers),
            "pretrain 120/20000 (0.6%)  loss -0.9132  pixsim 0.5000  85.1 images/s  1h 6m left"
        );
        assert_eq!(plain_line("pretrain", 10, 10, 5.0, "x"), "pretrain 10/10 (100.0%)  x");
        assert_eq!(plain_line("pretrain", 5, 10, 0.0, "x"), "pretrain 5/10 (50.0%)  x");
    }

    #[test]
    fn times_are_spoken_in_two_units() {
        let spoken = [7, 303, 3720, 273_600].map(spoken);
        assert_eq!(spoken, ["7s", "5m 3s", "1h 2m", "3d 4h"]);
    }

    #[test]
    fn throughput_is_of_the_steps_since_the_last_report() {
        let progress = Progress::new("pretrain", 100, 200, 8);
        progress.last.set((Instant::now() - Duration::from_secs(10), 100));
        let rate = progress.steps_per_second(150);
        assert!((4.9..=5.0).contains(&rate), "{rate}");
        assert_eq!(progress.last.get().1, 150);
    }
}
