//! Curves over the steps, drawn as SVG.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::{
    coord::{
        ranged1d::{BoldPoints, DefaultFormatting, KeyPointHint, Ranged},
        types::RangedCoordf64,
    },
    prelude::*,
};

/// A diagram of one or more curves over the steps.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// Unit of the values; empty if there is none.
    pub y_label: String,
    /// The curves; up to six have different colours.
    pub series: Vec<Series>,
    /// A level to compare with, such as the healthy value of a monitor.
    pub reference: Option<(String, f64)>,
    /// Logarithmic values; drawn linearly if a value is not positive.
    pub log_scale: bool,
}

/// One curve. Its raw values are drawn in a pale colour and, if it has many points, its running mean on top in full
/// colour.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name for the legend.
    pub name: String,
    /// Step and value, in ascending order of steps; values that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}

/// The drawing, with its title above it, and below it a legend that repeats the last values.
pub(super) fn chart_figure(chart: &Chart) -> Markup {
    let series: Vec<Series> = chart.series.iter().map(Series::finite).collect();
    let empty = series.iter().all(|series| series.points.is_empty());
    html! {
        figure.chart {
            h3 { (chart.title) @if !chart.y_label.is_empty() { span.unit { (chart.y_label) } } }
            @if empty {
                p.empty { "no values yet" }
            } @else {
                (drawing(chart, &series))
                (legend(chart, &series))
            }
        }
    }
}

fn legend(chart: &Chart, series: &[Series]) -> Markup {
    html! {
        ul.legend {
            @for (i, series) in series.iter().enumerate() {
                @if let Some((_, last)) = series.smoothed().last() {
                    li { i.{ "key c" (i % PALETTE.len()) } {} (series.name) " " b { (short(*last)) } }
                }
            }
            @if let Some((name, level)) = &chart.reference {
                li { i.key.level {} (name) " " b { (short(*level)) } }
            }
        }
    }
}

impl Series {
    fn finite(&self) -> Series {
        let finite = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        Series {
            name: self.name.clone(),
            points: self.points.iter().copied().filter(|p| finite(p)).collect(),
        }
    }

    /// The mean over a window around each point: a fiftieth of the curve to either side, cut off at its ends.
    fn smoothed(&self) -> Vec<(f64, f64)> {
        let reach = self.points.len() / 50;
        let sums: Vec<f64> = std::iter::once(0.0)
            .chain(self.points.iter().scan(0.0, |sum, (_, value)| {
                *sum += value;
                Some(*sum)
            }))
            .collect();
        let mean = |i: usize| {
            let (from, to) = (i.saturating_sub(reach), (i + reach + 1).min(self.points.len()));
            (sums[to] - sums[from]) / (to - from) as f64
        };
        self.points.iter().enumerate().map(|(i, &(step, _))| (step, mean(i))).collect()
    }
}

/// At most about `DRAWN` points: the lowest and the highest of each bucket, so that no spike is lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const DRAWN: usize = 600;
    if points.len() <= DRAWN {
        return points.to_vec();
    }
    let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let extremes = |bucket: &[(f64, f64)]| {
        let mut both = [bucket.iter().min_by(by_value), bucket.iter().max_by(by_value)];
        both.sort_by(|a, b| a.map_or(0.0, |p| p.0).total_cmp(&b.map_or(0.0, |p| p.0)));
        both.into_iter().flatten().copied().collect::<Vec<_>>()
    };
    points.chunks(points.len().div_ceil(DRAWN / 2)).flat_map(extremes).collect()
}

// The SVG backend rounds to whole pixels, so charts are drawn large and shown smaller.
const SIZE: (u32, u32) = (1100, 560);

/// Colours in the SVG. The style sheet finds them by value and replaces them with those of the reader's theme.
const INK: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const LEVEL: RGBColor = RGBColor(0x88, 0x88, 0x88);
const PALETTE: [RGBColor; 6] = [
    RGBColor(0x1f, 0x6f, 0xb4),
    RGBColor(0xd9, 0x5f, 0x0e),
    RGBColor(0x1b, 0x8a, 0x5a),
    RGBColor(0xb0, 0x3a, 0x8c),
    RGBColor(0x8a, 0x6d, 0x00),
    RGBColor(0x5b, 0x5f, 0xc7),
];

type DrawingError = DrawingAreaErrorKind<std::io::Error>;

fn drawing(chart: &Chart, series: &[Series]) -> Markup {
    let mut svg = String::new();
    match draw(&mut svg, chart, series) {
        Ok(()) => PreEscaped(svg),
        Err(error) => html! { p.empty { "this chart could not be drawn: " (error) } },
    }
}

fn draw(svg: &mut String, chart: &Chart, series: &[Series]) -> Result<(), DrawingError> {
    let level = chart.reference.as_ref().map(|(_, level)| *level);
    let (steps, values) = bounds(series, level);
    let axis = Axis::new(chart.log_scale, values);
    let label = axis.labels();
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut context = ChartBuilder::on(&root)
        .margin(14)
        .margin_right(44)
        .x_label_area_size(48)
        .y_label_area_size(100)
        .build_cartesian_2d(steps.0..steps.1, axis)?;
    context
        .configure_mesh()
        .x_labels(6)
        .y_labels(TICKS)
        .max_light_lines(0)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(GRID.stroke_width(2))
        .label_style(("sans-serif", 32).into_font().color(&INK))
        .x_label_formatter(&|step| short(*step))
        .y_label_formatter(&|value| label(*value))
        .draw()?;
    if let Some(level) = level {
        let ends = [(steps.0, level), (steps.1, level)];
        context.draw_series(DashedLineSeries::new(ends, 14, 10, LEVEL.stroke_width(3)))?;
    }
    for (series, colour) in series.iter().zip(PALETTE.iter().cycle()) {
        context.draw_series(LineSeries::new(thinned(&series.points), colour.mix(0.28).stroke_width(2)))?;
    }
    for (series, colour) in series.iter().zip(PALETTE.iter().cycle()) {
        context.draw_series(LineSeries::new(thinned(&series.smoothed()), colour.stroke_width(4)))?;
        if let &[only] = series.points.as_slice() {
            context.draw_series([Circle::new(only, 8, colour.filled())])?;
        }
    }
    root.present()
}

/// The vertical axis, linear or logarithmic. plotters has both, but as two types, and gives few labels to the
/// logarithmic one.
struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(log_scale: bool, (low, high): (f64, f64)) -> Self {
        // Below a factor of four the two scales look alike, and the linear one has the rounder labels.
        if log_scale && low > 0.0 && high >= 4.0 * low {
            let room = (high / low).powf(0.05);
            return Self { logarithmic: true, low: low / room, high: high * room };
        }
        // A single level gets as much space as its height; a level of 0, such as a loss that has not started, gets a
        // space of 1.
        let spread = match high - low {
            0.0 if high == 0.0 => 20.0,
            0.0 => 2.0 * high.abs(),
            difference => difference.max(1e-3 * high.abs()),
        };
        let room = 0.05 * spread;
        // Values that are never negative get no space below zero.
        let floor = if low >= 0.0 { (low - room).max(0.0) } else { low - room };
        Self { logarithmic: false, low: floor, high: high + room }
    }
}

impl Axis {
    /// The labels of its ticks: with enough digits to distinguish neighbours, and with 0 for sums that differ from 0
    /// only by rounding.
    fn labels(&self) -> impl Fn(f64) -> String + use<> {
        let ticks = self.key_points(BoldPoints(TICKS));
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let fine = !self.logarithmic && step.is_finite();
        move |value| match value {
            _ if fine && value.abs() < 1e-6 * step => "0".to_owned(),
            _ if fine && step < 1.0 && (1e-3..1e4).contains(&value.abs()) => {
                format!("{value:.0$}", (-step.log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize)
            }
            _ => short(value),
        }
    }
}

/// About how many ticks an axis has.
const TICKS: usize = 6;

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }

    fn map(&self, value: &f64, (bottom, top): (i32, i32)) -> i32 {
        let place = |value: f64| if self.logarithmic { value.log10() } else { value };
        let fraction = (place(*value) - place(self.low)) / (place(self.high) - place(self.low));
        bottom + (fraction * f64::from(top - bottom)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if !self.logarithmic {
            return RangedCoordf64::from(self.range()).key_points(hint);
        }
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let mantissas: &[f64] = if decades.clone().count() > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        decades
            .flat_map(|decade| mantissas.iter().map(move |mantissa| mantissa * 10_f64.powi(decade)))
            .filter(|value| self.range().contains(value))
            .collect()
    }
}

/// The range of steps and of values, never empty.
fn bounds(series: &[Series], level: Option<f64>) -> ((f64, f64), (f64, f64)) {
    let points = || series.iter().flat_map(|series| &series.points);
    let around = |values: &mut dyn Iterator<Item = f64>| {
        values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let steps = around(&mut points().map(|point| point.0));
    let values = around(&mut points().map(|point| point.1).chain(level));
    (if steps.0 < steps.1 { steps } else { (steps.0 - 0.5, steps.1 + 0.5) }, values)
}

/// A number in few characters, so that it fits in a label: three digits, thousands as k, millions as M.
fn short(value: f64) -> String {
    let plain = |value: f64, digits: usize| {
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e9).contains(&size) => format!("{value:.1e}").replace(".0e", "e"),
        size if size >= 1e6 => format!("{}M", plain(value / 1e6, 2)),
        size if size >= 1e4 => format!("{}k", plain(value / 1e3, 1)),
        size if size >= 100.0 => plain(value, 0),
        size if size >= 1.0 => plain(value, 2),
        size => plain(value, 3 + (-size.log10()).floor() as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::super::STYLE;
    use super::*;

    fn curve(points: impl IntoIterator<Item = (f64, f64)>) -> Series {
        Series { name: "loss".to_owned(), points: points.into_iter().collect() }
    }

    #[test]
    fn charts_of_any_values_are_drawn() {
        let level = Some(("healthy".to_owned(), 1.0));
        for points in [
            vec![],
            vec![(5.0, 3.0)],
            vec![(0.0, 0.0), (1.0, 0.0)],
            vec![(0.0, -1.0), (1.0, f64::NAN), (2.0, 1e30)],
            vec![(0.0, 1e-12), (1.0, f64::INFINITY), (2.0, 1e-3)],
            (0..5000).map(|i| (f64::from(i), f64::from(i % 17) + 1.0)).collect(),
        ] {
            for (log_scale, reference) in [(false, None), (true, None), (true, level.clone())] {
                let empty = points.is_empty();
                let series = vec![curve(points.clone()); 7];
                let figure = chart_figure(&Chart { series, reference, log_scale, ..Chart::default() }).0;
                assert_eq!(figure.contains("<svg"), !empty);
                assert_eq!(figure.contains("no values yet"), empty);
                assert!(!figure.contains("could not be drawn"));
            }
        }
    }

    #[test]
    fn the_style_knows_every_colour_of_the_drawings() {
        for RGBColor(red, green, blue) in [INK, GRID, LEVEL].into_iter().chain(PALETTE) {
            let written = format!("='#{red:02X}{green:02X}{blue:02X}']");
            assert!(STYLE.contains(&written), "{written}");
        }
    }

    #[test]
    fn thinning_keeps_every_spike() {
        let mut points: Vec<_> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[77_777].1 = 50.0;
        let thinned = thinned(&points);
        assert!(thinned.len() <= 600 && thinned.contains(&(77_777.0, 50.0)));
        assert!(thinned.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn smoothing_keeps_levels_slopes_and_short_curves() {
        let line = curve((0..200).map(|i| (f64::from(i), 3.0 * f64::from(i))));
        assert!(line.smoothed()[4..196].iter().all(|(step, value)| (value - 3.0 * step).abs() < 1e-9));
        let level = curve((0..200).map(|i| (f64::from(i), 0.5)));
        assert_eq!(level.smoothed(), level.points);
        let short = curve((0..49).map(|i| (f64::from(i), f64::from(i % 3))));
        assert_eq!(short.smoothed(), short.points);
    }

    #[test]
    fn ticks_tell_neighbours_apart() {
        for (values, expected) in [
            ((5.608, 5.6125), Some("5.610")),
            ((-0.3, 0.1), Some("0")),
            ((0.0, 0.0), Some("0.4")),
            ((0.0, 90.0), Some("20")),
            ((1.0e6, 3.0e6), Some("2M")),
            ((-1e30, 1e30), None),
        ] {
            let axis = Axis::new(false, values);
            let ticks = axis.key_points(BoldPoints(TICKS));
            let labels: Vec<String> = ticks.iter().copied().map(axis.labels()).collect();
            let different: std::collections::BTreeSet<_> = labels.iter().collect();
            assert_eq!(different.len(), labels.len(), "{labels:?}");
            assert!(expected.is_none_or(|label| labels.iter().any(|other| other == label)), "{labels:?}");
            assert!(labels.iter().all(|label| !label.contains("e-17")), "{labels:?}");
        }
    }

    #[test]
    fn labels_are_short() {
        for (value, label) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.25, "-0.25"),
            (0.05, "0.05"),
            (0.012_34, "0.0123"),
            (6.238, "6.24"),
            (128.4, "128"),
            (2000.0, "2000"),
            (12_500.0, "12.5k"),
            (250_000.0, "250k"),
            (3_000_000.0, "3M"),
            (1e-5, "1e-5"),
        ] {
            assert_eq!(short(value), label);
        }
    }
}
