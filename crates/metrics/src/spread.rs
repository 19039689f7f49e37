//! Mean and standard deviation over seeds: a single run says little, because seeds can differ as much as methods do.

use std::fmt;

use serde::Serialize;

/// Mean and sample standard deviation of one figure over several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Their standard deviation with `n - 1`; `None` for a single run.
    pub deviation: Option<f64>,
    /// The figure of each run.
    pub single: Vec<f64>,
}

impl Spread {
    /// The spread of the runs' figures, in any unit; `None` without runs.
    pub fn of(single: Vec<f64>) -> Option<Self> {
        let runs = single.len();
        let mean = single.iter().sum::<f64>() / runs as f64;
        let squares: f64 = single.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (runs > 1).then(|| (squares / (runs - 1) as f64).sqrt());
        (runs > 0).then_some(Self { mean, deviation, single })
    }

    /// The same spread in percent, for a figure that is a fraction.
    pub fn percent(&self) -> Self {
        let Self { mean, deviation, single } = self;
        let single = single.iter().map(|value| 100.0 * value).collect();
        Self { mean: 100.0 * mean, deviation: deviation.map(|value| 100.0 * value), single }
    }
}

impl fmt::Display for Spread {
    /// `19.17 +- 2.03`, or `19.17` of a single run; two decimals unless the format says otherwise.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = formatter.precision().unwrap_or(2);
        write!(formatter, "{:.decimals$}", self.mean)?;
        self.deviation.map_or(Ok(()), |deviation| write!(formatter, " +- {deviation:.decimals$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation() {
        let spread = Spread::of(vec![21.33, 17.38, 18.80]).unwrap();
        assert_eq!(spread.to_string(), "19.17 +- 2.00");
        assert_eq!(format!("{spread:.1}"), "19.2 +- 2.0");
        assert_eq!(Spread::of(vec![0.2133, 0.1738, 0.1880]).unwrap().percent().to_string(), "19.17 +- 2.00");
    }

    #[test]
    fn one_run_has_no_deviation_and_none_no_mean() {
        assert_eq!(Spread::of(vec![5.0]).unwrap().to_string(), "5.00");
        assert_eq!(Spread::of(vec![]), None);
    }
}
