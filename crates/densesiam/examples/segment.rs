//! Segments a picture with a trained run:
//!
//!     cargo run --release -p densesiam --example segment -- RUN PICTURE

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use densesiam::segmentation::Segmentation;
use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_engine::log::say;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(run), Some(picture)) = (arguments.next(), arguments.next()) else {
        return Err("name a run directory of `densesiam segment` and a picture".into());
    };
    for (name, share) in shares(run.as_ref(), picture.as_ref())? {
        say(format_args!("{:5.1} % {name}", 100.0 * share));
    }
    Ok(())
}

/// The share of a picture that each label has, by its name.
pub fn shares(run: &Path, picture: &Path) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let segmentation = Segmentation::open(run, &[])?;
    let picture = decode(&std::fs::read(picture)?, &DecodeLimits::default())?;
    // A label for each pixel, row by row.
    let labels = segmentation.predict(&picture)?;
    let mut shares = BTreeMap::new();
    for &label in &labels {
        *shares.entry(segmentation.name_of(label)).or_insert(0.0) += 1.0 / labels.len() as f64;
    }
    Ok(shares)
}
