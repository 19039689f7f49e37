//! K-means of made-up features.

use std::time::Instant;

use densesiam_engine::device::{resolve_threads, set_threads};
use densesiam_engine::memory;
use densesiam_nn::Group;
use densesiam_nn::segment::kmeans::Clusters;
use densesiam_random::{Key, Purpose, RngExt};
use serde_json::json;
use tch::Tensor;

use super::step::noise;
use super::{least, median};
use crate::answer::answer_line;
use densesiam::error::Error;

/// `densesiam bench clusters`: rounds of Lloyd over rows in memory, of which each is read once a round.
pub(super) fn run(
    [rows, dim, clusters]: [usize; 3],
    threads: usize,
    (warmup, rounds): (usize, usize),
) -> Result<(), Error> {
    if clusters > rows {
        return Err(Error::Usage(format!("--rows {rows} are fewer than --clusters {clusters}")));
    }
    let threads = resolve_threads(threads);
    set_threads(threads);
    let bytes = noise(rows * dim, 0);
    let features =
        Tensor::from_slice(&bytes).to_kind(tch::Kind::Float).view([rows as i64, dim as i64]) / 255.0;
    let mut start = features.narrow(0, 0, clusters as i64).copy();
    let mut seconds = Vec::new();
    for round in 0..warmup + rounds {
        let began = Instant::now();
        let draws = || {
            let mut rng = Key::new(round as u64, Purpose::Clusters).rng();
            move || rng.random()
        };
        start = Clusters::rounds(&[features.shallow_clone()], &start, 1, draws, &Group::alone());
        if round >= warmup {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    answer_line(json!({
        "bench": "clusters", "program": "densesiam", "rows": rows, "dim": dim, "clusters": clusters, "threads": threads,
        "million_rows_per_second": rows as f64 / median(&seconds) / 1e6,
        "seconds": {"round": median(&seconds), "minimum": least(&seconds)},
        "peak_memory_megabytes": memory::peak_megabytes(),
    }))
}
