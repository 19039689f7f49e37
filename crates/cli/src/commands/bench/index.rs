//! Finding the pictures of a data set.

use std::path::Path;
use std::time::Instant;

use densesiam_data::index::ImageIndex;
use densesiam_engine::memory;
use serde_json::json;

use crate::answer::answer_line;
use densesiam::error::Error;

/// `densesiam bench index`: a single scan, because a second would find the folders cached in memory.
pub(super) fn run(root: &Path) -> Result<(), Error> {
    let before = memory::resident_megabytes();
    let start = Instant::now();
    let index = ImageIndex::scan(root)?;
    let seconds = start.elapsed().as_secs_f64();
    let resident = memory::resident_megabytes();
    let line = json!({
        "bench": "index", "program": "densesiam", "pictures": index.len(), "seconds": seconds,
        "pictures_per_second": index.len() as f64 / seconds,
        "resident_megabytes": resident,
        "index_megabytes": resident.zip(before).map(|(after, before)| after - before),
        "peak_memory_megabytes": memory::peak_megabytes(),
    });
    answer_line(line)
}
